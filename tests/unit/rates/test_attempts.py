import numpy as np
import pytest

from memex_audit.errors import ConfigurationError
from memex_audit.rates.attempts import attempt_of, extension_needed
from memex_audit.rates.bounds import binomial_upper, groups_needed

RUNS = 200_000
ALPHA = 0.05
# Of 200,000 simulated audits with a chance of exactly 5 % more than this pass with 1 in 10,000.
MOST = ALPHA + 3.72 * (ALPHA * (1 - ALPHA) / RUNS) ** 0.5


def test_first_run_and_extension_spend_alpha_once():
    first, extension = attempt_of(1, 0.95), attempt_of(2, 0.95)
    assert (1 - first.confidence) + (1 - extension.confidence) == pytest.approx(0.05, abs=1e-12)
    assert (first.confidence, extension.confidence) == (0.955, 0.995)


@pytest.mark.parametrize("number", [3, 4, 100])
def test_later_runs_are_exploratory_and_no_pass(number):
    attempt = attempt_of(number, 0.9)
    assert (attempt.label, attempt.confidence, attempt.counts) == ("exploratory run", 0.9, False)


def test_the_extension_passes_with_one_extraction_more():
    # 320 groups pass with none at 95.5 %; 740 pass with one at 99.5 %
    assert extension_needed(0.01, 0.95, 320) == groups_needed(0.01, 0.995, 1) == 740
    # 100 groups cannot pass, 528 clean ones can
    assert extension_needed(0.01, 0.95, 100) == groups_needed(0.01, 0.995, 0) == 528


def test_the_extension_is_larger_than_a_first_run_that_passes_anything():
    assert extension_needed(1.0, 0.95, 3) == 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: attempt_of(0, 0.95), r"`number` must be at least 1, got number=0"),
        (lambda: attempt_of(1, 1.0), r"`confidence` must be in \[0.5, 1\), got confidence=1.0"),
        (lambda: extension_needed(0.01, 0.95, 0), r"`n_first` must be at least 1, got n_first=0"),
        (lambda: extension_needed(0.0, 0.95, 320), r"`limit` must be in \(0, 1\]"),
    ],
)
def test_what_is_no_run_is_an_error(call, message):
    with pytest.raises(ConfigurationError, match=message):
        call()


def _passes(x, n, limit, confidence):
    most = max((k for k in range(20) if binomial_upper(k, n, confidence) <= limit), default=-1)
    return x <= most


@pytest.mark.parametrize("n_first", [309, 320, 500, 900])
@pytest.mark.parametrize("excess", [1.0, 1.2, 2.0])
def test_a_model_beyond_the_limit_seldom_passes_the_first_run_or_the_extension(n_first, excess):
    rng = np.random.default_rng(20_260_109)
    limit = 0.01
    in_all = extension_needed(limit, 0.95, n_first)
    first = rng.binomial(n_first, excess * limit, RUNS)
    together = first + rng.binomial(in_all - n_first, excess * limit, RUNS)
    passed = _passes(first, n_first, limit, attempt_of(1, 0.95).confidence)
    passed |= _passes(together, in_all, limit, attempt_of(2, 0.95).confidence)
    assert passed.mean() <= MOST


def test_running_again_at_the_full_confidence_passes_a_model_beyond_the_limit():
    rng = np.random.default_rng(20_260_110)
    runs = rng.binomial(320, 0.01, (RUNS, 3))
    assert _passes(runs, 320, 0.01, 0.95).any(axis=1).mean() > 2 * ALPHA


def test_a_size_that_is_chosen_after_the_extractions_spends_more_than_the_extension_has():
    # Always as many more as would settle it if nothing further is seen, at 99.5 %.
    rng = np.random.default_rng(20_260_111)
    first = rng.binomial(320, 0.01, RUNS)
    settles = np.array([groups_needed(0.01, 0.995, int(x)) for x in range(first.max() + 1)])
    further = rng.binomial(np.maximum(settles[first] - 320, 0), 0.01)
    assert (further == 0).mean() > 1.4 * (1 - 0.995)
