"""Tests of paired rates against scipy and brute force; the coverage of their interval."""

from itertools import product
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, fisher_exact, multinomial, norm

from memex_audit.errors import ConfigurationError
from memex_audit.rates.paired import difference_interval, mcnemar_p, mcnemar_p_higher, share_p_higher

counts = st.integers(0, 60)


@given(newly=counts, no_longer=counts)
def test_mcnemar_is_scipys_binomial_test_of_the_changed_pairs(newly, no_longer):
    changed = newly + no_longer
    if changed:
        two_sided = binomtest(newly, changed, 0.5).pvalue
        higher = binomtest(newly, changed, 0.5, alternative="greater").pvalue
    else:
        two_sided = higher = 1.0
    assert mcnemar_p(newly, no_longer) == pytest.approx(two_sided)
    assert mcnemar_p_higher(newly, no_longer) == pytest.approx(higher)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_the_test_of_shares_is_scipys_fisher_exact(x_before, rest_before, x_after, rest_after):
    table = [[x_after, rest_after], [x_before, rest_before]]
    ours = share_p_higher(x_before, x_before + rest_before, x_after, x_after + rest_after)
    assert ours == pytest.approx(fisher_exact(table, alternative="greater").pvalue)


def score(newly, no_longer, n, delta):
    """The statistic with the nuisance found by searching the likelihood, not by its formula."""
    best, share = -float("inf"), None
    for step in range(1, 4000):
        q = step / 4000
        p, rest = q + delta, 1 - 2 * q - delta
        if p > 0 and rest > 0:
            likelihood = newly * log(p) + no_longer * log(q) + (n - newly - no_longer) * log(rest)
            if likelihood > best:
                best, share = likelihood, q
    return (newly - no_longer - n * delta) / (n * (2 * share + delta * (1 - delta))) ** 0.5


@pytest.mark.parametrize(("newly", "no_longer", "pairs"), [(5, 2, 40), (1, 0, 25), (3, 9, 120)])
def test_at_a_bound_the_score_is_the_normal_quantile(newly, no_longer, pairs):
    lower, upper = difference_interval(newly, no_longer, pairs, 0.95)
    assert score(newly, no_longer, pairs, lower) == pytest.approx(norm.ppf(0.975), abs=0.02)
    assert score(newly, no_longer, pairs, upper) == pytest.approx(norm.ppf(0.025), abs=0.02)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 300), st.floats(0.5, 0.999))
def test_the_interval_holds_what_was_observed_and_turns_with_the_audits(newly, no_longer, same, confidence):
    pairs = newly + no_longer + same
    if not pairs:
        return
    lower, upper = difference_interval(newly, no_longer, pairs, confidence)
    assert -1 <= lower <= (newly - no_longer) / pairs <= upper <= 1
    assert lower < upper
    turned = difference_interval(no_longer, newly, pairs, confidence)
    assert turned == pytest.approx((-upper, -lower))


def coverage(p_newly, p_no_longer, n):
    """Sum the probability of every outcome whose interval holds the true difference."""
    law = multinomial(n, [p_newly, p_no_longer, 1 - p_newly - p_no_longer])
    held = 0.0
    for newly, no_longer in product(range(n + 1), repeat=2):
        if newly + no_longer > n or (p := law.pmf([newly, no_longer, n - newly - no_longer])) < 1e-7:
            continue
        lower, upper = difference_interval(newly, no_longer, n, 0.95)
        held += p * (lower <= p_newly - p_no_longer <= upper)
    return held


@pytest.mark.parametrize("n", [40, 150])
@pytest.mark.parametrize(
    ("p_newly", "p_no_longer"), [(0.02, 0.02), (0.05, 0.0), (0.05, 0.02), (0.1, 0.1), (0.3, 0.1), (0.01, 0.0)]
)
def test_the_interval_covers_the_true_difference_as_often_as_stated(p_newly, p_no_longer, n):
    assert coverage(p_newly, p_no_longer, n) >= 0.94


def test_counts_that_cannot_be_are_refused():
    with pytest.raises(ConfigurationError, match=r"changed pairs must be counts of at most pairs=3"):
        difference_interval(2, 2, 3, 0.95)
    with pytest.raises(ConfigurationError, match="nothing to compare"):
        difference_interval(0, 0, 0, 0.95)
    with pytest.raises(ConfigurationError, match=r"`confidence` must be in \(0, 1\)"):
        difference_interval(0, 0, 3, 1.0)
    with pytest.raises(ConfigurationError, match="changed pairs"):
        mcnemar_p(-1, 0)
    with pytest.raises(ConfigurationError, match="got 5 of 4"):
        share_p_higher(0, 4, 5, 4)
