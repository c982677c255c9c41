import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from memex_audit.extraction.protocol import blind_spot, clique_test, flag_power
from memex_audit.rates.bounds import binomial_lower, binomial_upper, groups_needed

# A busy machine is no failure: no deadline on an example.
unhurried = settings(deadline=None)
confidences = st.floats(0.5, 0.999)


@st.composite
def counts(draw, max_n=2_000):
    n = draw(st.integers(1, max_n))
    return draw(st.integers(0, n)), n


@st.composite
def protocols(draw):
    looks = tuple(sorted(draw(st.sets(st.integers(2, 60), min_size=1, max_size=4))))
    return looks, draw(st.integers(2, looks[-1]))


@unhurried
@given(counts(), confidences)
def test_bounds_enclose_the_observed_share(seen, confidence):
    x, n = seen
    lower, upper = binomial_lower(x, n, confidence), binomial_upper(x, n, confidence)
    assert 0 <= lower <= x / n * (1 + 1e-9)
    assert x / n * (1 - 1e-9) <= upper <= 1


@unhurried
@given(counts(), confidences)
def test_bounds_rise_with_every_extraction(seen, confidence):
    x, n = seen
    assert binomial_lower(x, n + 1, confidence) < binomial_lower(x + 1, n + 1, confidence)
    assert binomial_upper(x, n + 1, confidence) < binomial_upper(x + 1, n + 1, confidence)


@unhurried
@given(counts(), confidences)
def test_bounds_do_not_rise_with_a_clean_group(seen, confidence):
    x, n = seen
    assert binomial_lower(x, n + 1, confidence) <= binomial_lower(x, n, confidence)
    assert binomial_upper(x, n + 1, confidence) < binomial_upper(x, n, confidence)


@unhurried
@given(counts(), st.floats(0.5, 0.99))
def test_more_confidence_widens_the_bounds(seen, confidence):
    x, n = seen
    assert binomial_lower(x, n, confidence + 0.005) <= binomial_lower(x, n, confidence)
    assert binomial_upper(x, n, confidence + 0.005) >= binomial_upper(x, n, confidence)


@unhurried
@given(counts(), confidences)
def test_the_upper_bound_is_the_lower_bound_of_the_complement(seen, confidence):
    x, n = seen
    mirrored = 1 - binomial_lower(n - x, n, confidence)
    assert binomial_upper(x, n, confidence) == pytest.approx(mirrored, abs=1e-9)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.995])
@pytest.mark.parametrize("n", [1, 2, 7, 50, 320])
def test_each_bound_covers_every_true_rate_at_least_as_often_as_it_claims(n, confidence):
    # Exact, no simulation: the probability of all x whose bound holds, summed, for a grid of true rates.
    p = np.concatenate([np.linspace(0, 1, 401), np.geomspace(1e-5, 0.05, 100)])
    x = np.arange(n + 1)
    lower = np.array([binomial_lower(k, n, confidence) for k in x.tolist()])
    upper = np.array([binomial_upper(k, n, confidence) for k in x.tolist()])
    probability = binom.pmf(x, n, p[:, None])
    covered_below = (probability * (lower <= p[:, None])).sum(axis=1)
    covered_above = (probability * (upper >= p[:, None])).sum(axis=1)
    assert covered_below.min() >= confidence - 1e-9
    assert covered_above.min() >= confidence - 1e-9


@unhurried
@given(st.floats(0.001, 1), confidences, st.integers(0, 20))
def test_groups_needed_is_the_first_number_of_groups_that_passes(limit, confidence, extracted):
    n = groups_needed(limit, confidence, extracted)
    assert binomial_upper(extracted, n, confidence) <= limit
    assert n == max(extracted, 1) or binomial_upper(extracted, n - 1, confidence) > limit


@unhurried
@given(protocols())
def test_power_is_a_probability_that_rises_with_the_share(protocol):
    power = flag_power(np.linspace(0, 1, 101), clique_test(*protocol))
    assert power[0] == 0
    assert power[-1] == pytest.approx(1)
    assert np.all(np.diff(power) >= -1e-12)


@unhurried
@given(protocols())
def test_looks_between_the_first_and_the_last_do_not_change_the_power(protocol):
    looks, clique_size = protocol
    p = np.linspace(0, 1, 21)
    ends = looks if len(looks) == 1 else (looks[0], looks[-1])
    assert np.allclose(
        flag_power(p, clique_test(looks, clique_size)), flag_power(p, clique_test(ends, clique_size))
    )


@unhurried
@given(protocols(), st.floats(0.05, 0.99))
def test_the_blind_spot_inverts_the_power(protocol, power):
    spot = blind_spot(clique_test(*protocol), power)
    assert float(flag_power(spot, clique_test(*protocol))) == pytest.approx(power, abs=1e-6)
