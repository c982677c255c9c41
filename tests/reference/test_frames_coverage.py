"""Bounds of a frame in simulated audits: they hold as often as they say, whatever screen, group or budget."""

from functools import lru_cache

import numpy as np
import pytest
from scipy.stats import binom

from memex_audit.rates.frames import Stratum, bound_frame
from memex_audit.rates.two_phase import split_frame

RUNS = 2_000
SIZE = 400
CONFIDENCE = 0.95
# With a bound that fails in exactly 5 % of audits, more failures than these are seen with 1 in 10,000.
MOST_FAILURES = int(binom.isf(1e-4, RUNS, 1 - CONFIDENCE))

bound = lru_cache(maxsize=None)(lambda *strata: bound_frame(strata, CONFIDENCE))


def _groups(rng, rate, prompts):
    """Outcomes of groups of 1 to 2 * prompts - 1 prompts that replicate together: few groups have most."""
    sizes = rng.integers(1, 2 * prompts, SIZE)
    leaning = rng.beta(0.05, 0.05 * (1 - rate) / rate, SIZE)
    return (rng.random((SIZE, sizes.max())) < leaning[:, None]) & (np.arange(sizes.max()) < sizes[:, None])


SCREENS = {
    "perfect": lambda rng, extracted: extracted + rng.random(SIZE) / 2,
    "useful": lambda rng, extracted: 1.5 * extracted + rng.normal(size=SIZE),
    "useless": lambda rng, extracted: rng.random(SIZE),
    "adversarial": lambda rng, extracted: rng.random(SIZE) / 2 - extracted,
}


def _orders(rng, n):
    """A random order of n groups in every run."""
    return rng.permuted(np.tile(np.arange(n), (RUNS, 1)), axis=1)


def _fixed(rng, groups, undecided, n):
    """What n drawn groups show in every run: extracted ones that were decided, and undecided ones."""
    drawn = _orders(rng, groups.size)[:, :n]
    return (groups & ~undecided)[drawn].sum(axis=1), undecided[drawn].sum(axis=1)


def _failures(strata_of_runs, true):
    bounds = [bound(*strata) for strata in strata_of_runs]
    above = sum(b.upper_groups < true for b in bounds)
    below = sum(b.lower_groups > true for b in bounds)
    return above, below


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("prompts", [1, 5])
@pytest.mark.parametrize("rate", [0.005, 0.05, 0.3])
def test_two_phases_cover_whatever_the_screen_is_worth(screen, prompts, rate):
    rng = np.random.default_rng(20_260_101)
    extracted = _groups(rng, rate, prompts).any(axis=1)
    scores = SCREENS[screen](rng, extracted)
    above = np.argsort(-scores)[: SIZE // 10]
    below = np.setdiff1d(np.arange(SIZE), above)
    census = Stratum(size=above.size, sampled=above.size, extracted=int(extracted[above].sum()))
    for n in (60, 200):
        x, _ = _fixed(rng, extracted[below], np.zeros(below.size, bool), n)
        runs = [(census, Stratum(size=below.size, sampled=n, extracted=int(k))) for k in x]
        assert max(_failures(runs, extracted.sum())) <= MOST_FAILURES


@pytest.mark.parametrize("of_extracted", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("of_others", [0.0, 0.2])
def test_undecided_groups_hide_nothing(of_extracted, of_others):
    rng = np.random.default_rng(20_260_102)
    extracted = rng.random(SIZE) < 0.06
    undecided = rng.random(SIZE) < np.where(extracted, of_extracted, of_others)
    x, u = _fixed(rng, extracted, undecided, 150)
    runs = [
        (Stratum(size=SIZE, sampled=150, extracted=int(k), undecided=int(v)),)
        for k, v in zip(x, u, strict=True)
    ]
    assert max(_failures(runs, extracted.sum())) <= MOST_FAILURES


@pytest.mark.parametrize("rates", [(0.5, 0.01), (0.05, 0.05), (0.0, 0.1), (0.9, 0.5)])
def test_several_sampled_strata_cover_together(rates):
    rng = np.random.default_rng(20_260_103)
    parts = [rng.random(n) < rate for n, rate in zip((50, 150), rates, strict=True)]
    drawn = [
        _fixed(rng, part, np.zeros(part.size, bool), n)[0] for part, n in zip(parts, (40, 60), strict=True)
    ]
    runs = [
        (
            Stratum(size=50, sampled=40, extracted=int(a)),
            Stratum(size=150, sampled=60, extracted=int(b)),
        )
        for a, b in zip(*drawn, strict=True)
    ]
    assert max(_failures(runs, sum(part.sum() for part in parts))) <= MOST_FAILURES


def _until_budget(rng, extracted, costs, budget, last):
    """Strata of runs that end in the group that spends the budget; `last` says what becomes of that group."""
    order = _orders(rng, extracted.size)
    finished = (np.cumsum(costs[order], axis=1) < budget).sum(axis=1)
    if last == "finished":
        finished += 1
    counts = np.hstack([np.zeros((RUNS, 1), int), np.cumsum(extracted[order], axis=1)])
    begun = np.minimum(finished + (last == "undecided"), extracted.size)
    return [
        Stratum(size=extracted.size, sampled=n, extracted=x, undecided=n - f, cut_short=n < extracted.size)
        for n, f, x in zip(
            begun.tolist(), finished.tolist(), counts[np.arange(RUNS), finished].tolist(), strict=True
        )
    ]


COSTS = {
    "equal": lambda rng, extracted: np.ones(SIZE),
    "extracted groups cost ten times as much": lambda rng, extracted: np.where(extracted, 10.0, 1.0),
    "extracted groups end at the first look": lambda rng, extracted: np.where(extracted, 1.0, 16.0),
    "extracted groups cost nothing": lambda rng, extracted: np.where(extracted, 0.0, 1.0),
    "of all sizes": lambda rng, extracted: rng.gamma(0.5, 1 + 4 * extracted),
}


@pytest.mark.parametrize("costs", COSTS)
@pytest.mark.parametrize("rate", [0.01, 0.1])
@pytest.mark.parametrize("share", [0.05, 0.4])
@pytest.mark.parametrize("last", ["finished", "undecided", "left out"])
def test_a_budget_may_end_a_sample(costs, rate, share, last):
    rng = np.random.default_rng(20_260_104)
    extracted = rng.random(SIZE) < rate
    cost = COSTS[costs](rng, extracted)
    strata = _until_budget(rng, extracted, cost, share * cost.sum(), last)
    assert max(_failures([(stratum,) for stratum in strata], extracted.sum())) <= MOST_FAILURES


@pytest.mark.parametrize("costs", COSTS)
def test_a_census_that_its_budget_cuts_short_shares_alpha_with_the_sample(costs):
    rng = np.random.default_rng(20_260_105)
    extracted = rng.random(SIZE) < 0.15
    cost = COSTS[costs](rng, extracted)
    above, below = np.arange(SIZE) < 100, np.arange(SIZE) >= 100
    cut = _until_budget(rng, extracted[above], cost[above], 0.7 * cost[above].sum(), "finished")
    sample = _until_budget(rng, extracted[below], cost[below], 0.3 * cost[below].sum(), "finished")
    assert max(_failures(zip(cut, sample, strict=True), extracted.sum())) <= MOST_FAILURES


def test_hash_orders_cover_as_random_ones_do():
    rng = np.random.default_rng(20_260_108)
    extracted = {f"group {number}": number % 25 == 0 for number in range(200)}
    scores = {group: float(rng.random()) for group in extracted}
    runs = []
    for seed in range(RUNS):
        split = split_frame(scores, cut=0.8, seed=seed)
        census = Stratum(
            size=len(split.above),
            sampled=len(split.above),
            extracted=sum(extracted[group] for group in split.above),
        )
        sample = Stratum(
            size=len(split.below), sampled=70, extracted=sum(extracted[group] for group in split.below[:70])
        )
        runs.append((census, sample))
    assert max(_failures(runs, sum(extracted.values()))) <= MOST_FAILURES
