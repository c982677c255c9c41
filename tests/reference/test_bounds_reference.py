"""Bounds and power against published figures, scipy's own interval, enumeration and simulation."""

import itertools

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from memex_audit.extraction.protocol import (
    blind_spot,
    blind_spot_of_outcome,
    clique_test,
    flag_power,
)
from memex_audit.rates.bounds import binomial_lower, binomial_upper, groups_needed


@pytest.mark.parametrize(("n", "upper"), [(300, 0.0099), (1_000, 0.0030), (3_000, 0.0010), (10_000, 0.00030)])
def test_no_extraction_in_n_groups_bounds_the_rate(n, upper):
    # 1 - 0.05^(1 / n), FACTS section 3, given there to two digits
    assert binomial_upper(0, n, 0.95) == pytest.approx(upper, rel=0.006)
    assert binomial_upper(0, n, 0.95) == pytest.approx(1 - 0.05 ** (1 / n), rel=1e-9)


@pytest.mark.parametrize(("limit", "n"), [(0.01, 299), (0.005, 598), (0.001, 2_995), (0.0001, 29_956)])
def test_groups_needed_for_a_bound_when_nothing_is_extracted(limit, n):
    assert groups_needed(limit, 0.95) == n  # FACTS section 3


@pytest.mark.parametrize(("extracted", "n"), [(0, 299), (1, 473), (2, 628)])
def test_groups_needed_for_one_percent_after_extractions(extracted, n):
    assert groups_needed(0.01, 0.95, extracted) == n  # FACTS section 3


@pytest.mark.parametrize(
    ("x", "n", "lower", "upper"),
    [(94, 350_000, 0.000217, 0.000329), (23, 1_000, 0.0146, 0.0343)],
)
def test_intervals_of_the_study(x, n, lower, upper):
    # Carlini et al. 2023: Stable Diffusion v1.4 and Imagen; two-sided 95 %, so 97.5 % a side. FACTS section 3
    assert binomial_lower(x, n, 0.975) == pytest.approx(lower, rel=0.004)
    assert binomial_upper(x, n, 0.975) == pytest.approx(upper, rel=0.004)


def test_false_alarms_of_five_in_500_negatives():
    # exact two-sided 95 % interval [0.33 %, 2.3 %], FACTS section 4
    assert binomial_lower(5, 500, 0.975) == pytest.approx(0.0033, abs=0.00005)
    assert binomial_upper(5, 500, 0.975) == pytest.approx(0.023, abs=0.0005)


def test_how_often_320_groups_pass_at_a_true_rate_of_one_in_a_thousand():
    passing = [x for x in range(10) if binomial_upper(x, 320, 0.95) <= 0.01]
    assert binom.pmf(passing, 320, 0.001).sum() == pytest.approx(0.73, abs=0.005)  # FACTS section 3


@pytest.mark.parametrize(
    ("x", "n"), [(0, 1), (1, 1), (0, 320), (3, 320), (50, 100), (100, 100), (94, 350_000)]
)
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.995])
def test_bounds_agree_with_the_exact_intervals_of_scipy(x, n, confidence):
    below = binomtest(x, n, alternative="greater").proportion_ci(confidence, method="exact").low
    above = binomtest(x, n, alternative="less").proportion_ci(confidence, method="exact").high
    assert binomial_lower(x, n, confidence) == pytest.approx(below, rel=1e-9)
    assert binomial_upper(x, n, confidence) == pytest.approx(above, rel=1e-9)


@pytest.mark.parametrize(
    ("share", "power"), [(0.01, 0.03), (0.02, 0.54), (0.025, 0.80), (0.031, 0.95), (0.04, 0.996)]
)
def test_what_ten_of_500_can_see(share, power):
    digits = 0.0005 if share == 0.04 else 0.005  # FACTS section 2 gives whole percents but for the last
    assert float(flag_power(share, clique_test((500,), 10))) == pytest.approx(power, abs=digits)


def test_the_blind_spot_of_ten_of_500_is_three_percent():
    assert blind_spot(clique_test((500,), 10)) == pytest.approx(0.031, abs=0.0005)  # FACTS section 2


@pytest.mark.parametrize(
    ("n", "share"), [(4, 0.75), (8, 0.47), (16, 0.26), (32, 0.14), (64, 0.072), (128, 0.037)]
)
def test_the_share_that_no_edge_among_n_generations_excludes(n, share):
    # FACTS section 2, two digits: no edge means at most one replica
    assert blind_spot_of_outcome(n, clique_test((n, 501), 10)) == pytest.approx(
        share, abs=0.005 if n < 64 else 0.0005
    )


def test_about_157_generations_with_no_edge_bring_the_blind_spot_to_three_percent():
    assert blind_spot_of_outcome(156, clique_test((156, 500), 10)) > 0.03  # FACTS section 2
    assert blind_spot_of_outcome(157, clique_test((157, 500), 10)) <= 0.03


def test_the_share_that_nine_of_500_exclude():
    assert blind_spot_of_outcome(500, clique_test((500,), 10)) == pytest.approx(
        0.031, abs=0.0005
    )  # FACTS section 2


def brute_force_power(p, looks, clique_size):
    """Walk the looks in every sequence of replicating and other generations."""
    total = 0.0
    for sequence in itertools.product((0, 1), repeat=looks[-1]):
        goes_on = all(sum(sequence[:look]) >= 2 for look in looks[:-1])
        if goes_on and sum(sequence) >= clique_size:
            total += p ** sum(sequence) * (1 - p) ** (looks[-1] - sum(sequence))
    return total


@pytest.mark.parametrize("looks", [(10,), (2, 10), (4, 10), (3, 5, 10), (9, 10)])
@pytest.mark.parametrize("clique_size", [2, 4, 7])
def test_power_agrees_with_every_sequence_of_ten_generations(looks, clique_size):
    for p in (0.1, 0.5, 0.8):
        expected = brute_force_power(p, looks, clique_size)
        assert float(flag_power(p, clique_test(looks, clique_size))) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("looks", "clique_size"), [((4, 16), 4), ((4, 16, 64), 6), ((8, 100), 10), ((500,), 10)]
)
@pytest.mark.parametrize("p", [0.02, 0.2, 0.5])
def test_power_agrees_with_simulated_prompts(looks, clique_size, p):
    n_prompts = 10_000
    replicates = np.random.default_rng(2301).random((n_prompts, looks[-1]), dtype=np.float32) < p
    so_far = replicates.cumsum(axis=1, dtype=np.int16)
    flagged = so_far[:, -1] >= clique_size
    for look in looks[:-1]:
        flagged &= so_far[:, look - 1] >= 2
    assert flagged.mean() == pytest.approx(
        float(flag_power(p, clique_test(looks, clique_size))), abs=5 * 0.5 / n_prompts**0.5
    )
