import pytest

from memex_audit.errors import ConfigurationError
from memex_audit.rates.bounds import binomial_lower, binomial_upper, groups_needed


def test_nothing_seen_bounds_the_rate_from_below_by_exactly_zero():
    assert binomial_lower(0, 300, 0.95) == 0.0


def test_everything_seen_bounds_the_rate_from_above_by_exactly_one():
    assert binomial_upper(7, 7, 0.95) == 1.0


def test_nothing_seen_never_bounds_the_rate_from_above_by_zero():
    assert binomial_upper(0, 1_000_000, 0.95) == pytest.approx(2.9957e-6, rel=1e-4)  # 1 - 0.05^(1 / 10^6)


def test_everything_seen_in_one_trial_leaves_the_lower_bound_at_one_minus_confidence():
    assert binomial_lower(1, 1, 0.95) == pytest.approx(0.05)  # P(Bin(1, p) >= 1) = p


@pytest.mark.parametrize("bound", [binomial_lower, binomial_upper])
def test_a_rate_of_nothing_is_an_error(bound):
    with pytest.raises(ConfigurationError, match=r"`n` must be at least 1, got n=0: a rate of nothing"):
        bound(0, 0, 0.95)


@pytest.mark.parametrize("bound", [binomial_lower, binomial_upper])
@pytest.mark.parametrize("x", [-1, 11])
def test_a_count_outside_its_trials_is_an_error(bound, x):
    with pytest.raises(ConfigurationError, match=rf"`x` must be in 0 to n=10, got x={x}"):
        bound(x, 10, 0.95)


@pytest.mark.parametrize("bound", [binomial_lower, binomial_upper])
@pytest.mark.parametrize("confidence", [0.05, 1.0, 95.0, float("nan")])
def test_a_confidence_that_is_no_confidence_is_an_error(bound, confidence):
    with pytest.raises(ConfigurationError, match=r"`confidence` must be in \[0.5, 1\), got confidence="):
        bound(0, 10, confidence)


@pytest.mark.parametrize("limit", [0.0, -0.1, 1.5, float("nan")])
def test_a_limit_that_no_audit_can_meet_is_an_error(limit):
    message = (
        r"^`limit` must be in \(0, 1\], got limit=.*\. "
        r"No number of groups shows a rate of 0; 0.01 is one group in a hundred\.$"
    )
    with pytest.raises(ConfigurationError, match=message):
        groups_needed(limit, 0.95)


def test_a_negative_number_of_extractions_is_an_error():
    with pytest.raises(ConfigurationError, match=r"`extracted` must be 0 or more, got extracted=-1"):
        groups_needed(0.01, 0.95, -1)


@pytest.mark.parametrize(("extracted", "needed"), [(0, 1), (1, 1), (5, 5)])
def test_a_limit_of_one_needs_only_the_groups_that_were_seen(extracted, needed):
    assert groups_needed(1.0, 0.95, extracted) == needed


def test_one_group_is_enough_where_the_limit_is_the_confidence():
    assert groups_needed(0.96, 0.95) == 1  # upper of 0 of 1 is 0.95


@pytest.mark.parametrize(("extracted", "needed"), [(3, 773), (5, 1049), (7, 1312)])
def test_groups_needed_is_a_whole_number(extracted, needed):
    found = groups_needed(0.01, 0.95, extracted)
    assert isinstance(found, int)
    assert found == needed
    assert binomial_upper(extracted, needed, 0.95) <= 0.01 < binomial_upper(extracted, needed - 1, 0.95)
