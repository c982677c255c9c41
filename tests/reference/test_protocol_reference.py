"""The sequential test, simulated: what it flags where nothing replicates, and misses where something does.

A prompt's generations fall into modes with given shares; those of one mode agree with each other and with no
other. The largest clique after n generations is then the largest count of a mode, found here by counting.
"""

import numpy as np
import pytest

from memex_audit.extraction.protocol import (
    blind_spot,
    clique_test,
    flag_bound,
    outcomes,
    plan_test,
)

N_PROMPTS = 20_000
NULL_SHARE, ALPHA, POWER = 0.05, 0.01, 0.95
TESTS = {
    "default": plan_test(blind_spot=0.76, null_share=NULL_SHARE, alpha=ALPHA),
    "half": plan_test(blind_spot=0.5, null_share=NULL_SHARE, alpha=ALPHA),
    "three tenths": plan_test(blind_spot=0.3, null_share=NULL_SHARE, alpha=ALPHA),
    "two looks": clique_test((4, 16), 4),
}
# Shares of modes; what is left falls into modes of one generation each.
NULLS = {
    "nothing alike": [],
    "twenty modes": [0.05] * 20,
    "one mode": [0.05],
    "ten modes and some": [0.05] * 10 + [0.02] * 10,
    "many small": [0.01] * 100,
}


def simulate(test, shares, seed, n_prompts=N_PROMPTS):
    """Return for each prompt whether it was flagged, clean or neither, and how many generations it took."""
    random = np.random.default_rng(seed)
    edges = np.cumsum(shares)
    flagged, clean = np.zeros(n_prompts, bool), np.zeros(n_prompts, bool)
    taken = np.zeros(n_prompts, int)
    counts = np.zeros((n_prompts, len(shares) + 1), int)
    drawn = 0
    for n, flag_at, clean_at in zip(test.looks, test.flag_at, test.clean_at, strict=True):
        still_open = ~flagged & ~clean
        taken[still_open] = n
        for _ in range(n - drawn):
            mode = np.searchsorted(edges, random.random(n_prompts), side="right")
            counts[np.arange(n_prompts), mode] += 1
        drawn = n
        largest = np.maximum(counts[:, :-1].max(axis=1, initial=0), 1)
        flagged |= still_open & (largest >= flag_at)
        clean |= still_open & (largest < flag_at) & (largest <= clean_at)
    return flagged, clean, taken


@pytest.mark.parametrize("shares", NULLS.values(), ids=NULLS)
@pytest.mark.parametrize("name", ["default", "half", "three tenths"])
def test_prompts_that_chance_alone_makes_alike_are_flagged_at_most_as_often_as_stated(name, shares):
    flagged, _, _ = simulate(TESTS[name], shares, seed=1)
    bound = flag_bound(TESTS[name], NULL_SHARE)
    assert bound <= ALPHA
    assert flagged.mean() <= bound + 3 * np.sqrt(bound / N_PROMPTS)


@pytest.mark.parametrize("share", [0.76, 0.8, 0.9, 1.0])
def test_prompts_at_and_above_the_blind_spot_are_missed_at_most_as_often_as_stated(share):
    flagged, _, _ = simulate(TESTS["default"], [share], seed=2)
    assert 1 - flagged.mean() <= 1 - POWER + 3 * np.sqrt((1 - POWER) / N_PROMPTS)


@pytest.mark.parametrize("name", ["half", "three tenths"])
@pytest.mark.parametrize("above", [0.0, 0.1, 0.3])
def test_a_smaller_blind_spot_is_kept_too(name, above):
    share = {"half": 0.5, "three tenths": 0.3}[name] + above
    flagged, _, _ = simulate(TESTS[name], [share], seed=3)
    assert 1 - flagged.mean() <= 1 - POWER + 3 * np.sqrt((1 - POWER) / N_PROMPTS)


@pytest.mark.parametrize("test", TESTS.values(), ids=TESTS)
@pytest.mark.parametrize("share", [0.0, 0.03, 0.1, 0.3, 0.5, 0.76, 0.95])
def test_the_exact_outcomes_are_those_of_simulated_prompts(test, share):
    flagged, clean, taken = simulate(test, [share], seed=4)
    exact = outcomes(share, test)
    assert flagged.mean() == pytest.approx(float(exact.flagged), abs=0.015)
    assert clean.mean() == pytest.approx(float(exact.clean), abs=0.015)
    assert taken.mean() == pytest.approx(float(exact.generations), rel=0.02)
    assert float(exact.flagged + exact.clean + exact.undecided) == pytest.approx(1)


def test_a_mode_beside_the_replicas_only_adds_to_the_flags():
    alone = simulate(TESTS["default"], [0.4], seed=5)[0].mean()
    beside = simulate(TESTS["default"], [0.4, 0.4], seed=5)[0].mean()
    assert beside > alone


def test_the_sequential_test_sees_as_much_as_two_looks_and_takes_fewer_of_a_replica():
    default, two_looks = TESTS["default"], TESTS["two looks"]
    assert blind_spot(default) == pytest.approx(blind_spot(two_looks), abs=0.001)
    assert outcomes(1.0, default).generations == 4
    assert outcomes(1.0, two_looks).generations == 16
    assert outcomes(0.0, default).generations == outcomes(0.0, two_looks).generations == 4
