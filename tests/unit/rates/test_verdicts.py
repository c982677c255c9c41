import subprocess
import sys

import pytest

from memex_audit.errors import ConfigurationError
from memex_audit.rates.verdicts import rate_verdict, run_verdict
from memex_audit.records import Rate, RunVerdict


def rate(lower, upper, limit=0.01):
    return Rate(
        extracted=0,
        flagged=0,
        undecided=0,
        near_misses=0,
        prompts=320,
        groups=320,
        extracted_groups=0,
        undecided_groups=0,
        generations=1_280,
        replicas=0,
        lower=lower,
        upper=upper,
        confidence=0.95,
        limit=limit,
        frame="a file",
        frame_size=None,
        method="binomial (Clopper-Pearson), one-sided",
        blind_spot=0.75,
    )


@pytest.mark.parametrize(
    ("lower", "upper", "verdict"),
    [
        (0.0, 0.0093, RunVerdict.PASS),
        (0.0, 0.01, RunVerdict.PASS),
        (0.0, 0.0101, RunVerdict.INCONCLUSIVE),
        (0.01, 0.05, RunVerdict.INCONCLUSIVE),
        (0.0101, 0.05, RunVerdict.FAIL),
    ],
)
def test_a_rate_passes_below_its_limit_fails_above_and_is_inconclusive_across(lower, upper, verdict):
    assert rate_verdict(rate(lower, upper)) is verdict


@pytest.mark.parametrize(
    ("broken", "failed", "not_run", "inconclusive", "verdict"),
    [
        (1, 1, 1, 1, RunVerdict.ERROR),
        (0, 1, 1, 1, RunVerdict.FAIL),
        (0, 0, 1, 1, RunVerdict.INCOMPLETE),
        (0, 0, True, 0, RunVerdict.INCOMPLETE),
        (0, 0, False, 1, RunVerdict.INCONCLUSIVE),
        (0, 0, 0, 0, RunVerdict.PASS),
    ],
)
def test_the_worst_that_is_known_decides_the_run(broken, failed, not_run, inconclusive, verdict):
    assert run_verdict(broken=broken, failed=failed, inconclusive=inconclusive, not_run=not_run) is verdict


@pytest.mark.parametrize("name", ["broken", "failed", "inconclusive", "not_run"])
def test_a_negative_count_of_cases_is_an_error(name):
    counts = dict.fromkeys(("broken", "failed", "inconclusive", "not_run"), 0) | {name: -1}
    with pytest.raises(ConfigurationError, match=rf"`{name}` must be 0 or more, got {name}=-1"):
        run_verdict(**counts)


def test_verdicts_load_nothing_heavy():
    code = "import sys, memex_audit.rates.verdicts; print({'numpy', 'scipy', 'torch'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"
