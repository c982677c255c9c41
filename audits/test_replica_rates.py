"""The gate: how large the extraction rate can be, given what was seen.

Passes when the upper bound is within --memex-limit, fails when the lower bound is beyond it, and is
inconclusive between. The rate covers the whole audit set, whatever -k selects.
"""

from memex_audit.assertions import assert_rate_within_limit


def test_extraction_rate_is_within_the_limit(memex):
    assert_rate_within_limit(memex.rate())
