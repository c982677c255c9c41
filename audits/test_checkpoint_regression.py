"""Against the baseline that `memex bless` wrote: an earlier checkpoint, or the model that was released last.

Fails when a prompt is newly extracted, the rate is higher, or prompts are no longer audited; without a
baseline there is nothing to compare with, and --memex-baseline-policy says what that does.
"""

from memex_audit.assertions import assert_no_regression


def test_nothing_is_newly_extracted(memex):
    assert_no_regression(memex.comparison())
