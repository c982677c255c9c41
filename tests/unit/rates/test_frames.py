import pytest

from memex_audit.errors import ConfigurationError
from memex_audit.rates.frames import (
    Stratum,
    bound_frame,
    groups_that_settle,
    hypergeometric_lower,
    hypergeometric_upper,
)


def test_a_census_is_what_was_counted():
    assert hypergeometric_upper(3, 50, 50, 0.95) == 3
    assert hypergeometric_lower(3, 50, 50, 0.95) == 3


def test_no_draw_says_nothing():
    assert hypergeometric_upper(0, 0, 50, 0.95) == 50
    assert hypergeometric_lower(0, 0, 50, 0.95) == 0


def test_a_probability_of_exactly_alpha_is_rejected():
    # P(Hyp(20, 1, 19) = 0) = 1/20, not above 0.05: one extracted group is rejected
    assert hypergeometric_upper(0, 19, 20, 0.95) == 0
    assert hypergeometric_upper(0, 18, 20, 0.95) == 1  # P = 2/20


def test_a_small_frame_is_bounded_tighter_than_prompts_like_these():
    assert (
        hypergeometric_upper(0, 45, 50, 0.95) == 1
    )  # P(no 2 of 50 in 45) = 5 * 4 / (50 * 49) < 0.05 < 5 / 50


def test_a_frame_of_a_million_takes_no_time_and_no_more_than_the_binomial():
    assert hypergeometric_upper(0, 3_000, 1_000_000, 0.95) == 996  # binomial: 998


@pytest.mark.parametrize("bound", [hypergeometric_upper, hypergeometric_lower])
@pytest.mark.parametrize(
    ("x", "n", "size", "message"),
    [
        (0, 11, 10, r"`n` must be in 0 to 10, the groups that there are, got n=11"),
        (0, -1, 10, r"`n` must be in 0 to 10"),
        (4, 3, 10, r"`x` must be in 0 to n=3, got x=4"),
        (-1, 3, 10, r"`x` must be in 0 to n=3, got x=-1"),
    ],
)
def test_counts_that_no_draw_can_give_are_errors(bound, x, n, size, message):
    with pytest.raises(ConfigurationError, match=message):
        bound(x, n, size, 0.95)


@pytest.mark.parametrize("confidence", [0.05, 1.0, 95.0, float("nan")])
def test_a_confidence_that_is_no_confidence_is_an_error(confidence):
    with pytest.raises(ConfigurationError, match=r"`confidence` must be in \[0.5, 1\), got confidence="):
        hypergeometric_upper(0, 10, 20, confidence)
    with pytest.raises(ConfigurationError, match=r"`confidence` must be in \[0.5, 1\), got confidence="):
        bound_frame([Stratum(size=10, sampled=10, extracted=0)], confidence)


def test_more_outcomes_than_groups_are_an_error():
    with pytest.raises(ConfigurationError, match=r"`undecided` must be in 0 to 2, .* got undecided=3"):
        Stratum(size=10, sampled=5, extracted=3, undecided=3)


@pytest.mark.parametrize("strata", [[], [Stratum(size=0, sampled=0, extracted=0)]])
def test_a_frame_of_nothing_is_an_error(strata):
    with pytest.raises(ConfigurationError, match=r"must hold at least one group, .* a rate of nothing"):
        bound_frame(strata, 0.95)


def test_fifty_groups_all_audited_have_no_sampling_error():
    bound = bound_frame([Stratum(size=50, sampled=50, extracted=0)], 0.95)
    assert (bound.lower, bound.upper) == (0.0, 0.0)
    assert bound.method == "census of all 50 groups, no sampling error"


def test_undecided_groups_count_against_whichever_bound_is_claimed():
    bound = bound_frame([Stratum(size=50, sampled=50, extracted=2, undecided=3)], 0.95)
    assert (bound.lower_groups, bound.upper_groups, bound.undecided) == (2, 5, 3)


def test_one_sampled_stratum_gets_all_of_alpha():
    census = Stratum(size=250, sampled=250, extracted=3)
    sample = Stratum(size=4_750, sampled=310, extracted=0)
    bound = bound_frame([census, sample], 0.95)
    assert bound.upper_groups == 3 + hypergeometric_upper(0, 310, 4_750, 0.95)
    assert bound.lower_groups == 3
    assert bound.method == (
        "census of 250 groups; simple random sample of 310 of 4,750; hypergeometric, one-sided"
    )


def test_two_sampled_strata_share_alpha():
    cut = Stratum(size=250, sampled=200, extracted=2, undecided=1, cut_short=True)
    sample = Stratum(size=4_750, sampled=310, extracted=5)
    bound = bound_frame([cut, sample], 0.95)
    assert bound.upper_groups == (
        hypergeometric_upper(3, 200, 250, 0.975) + hypergeometric_upper(5, 310, 4_750, 0.975)
    )
    assert bound.lower_groups == 2 + hypergeometric_lower(5, 310, 4_750, 0.975)
    assert bound.method == (
        "simple random sample of 200 of 250, cut short by the budget; "
        "simple random sample of 310 of 4,750; hypergeometric, one-sided, alpha split in 2"
    )


def test_an_empty_stratum_spends_no_alpha():
    sample = Stratum(size=100, sampled=60, extracted=0)
    empty = Stratum(size=0, sampled=0, extracted=0)
    assert bound_frame([empty, sample], 0.95).upper == bound_frame([sample], 0.95).upper


@pytest.mark.parametrize("extracted", [0, 1, 3])
@pytest.mark.parametrize("limit", [0.01, 0.03])
def test_the_groups_that_settle_are_the_first_that_pass(extracted, limit):
    strata = [Stratum(size=5, sampled=5, extracted=0), Stratum(size=400, sampled=20, extracted=extracted)]

    def passes(n):
        grown = Stratum(size=400, sampled=n, extracted=extracted)
        return bound_frame([strata[0], grown], 0.95).upper <= limit

    needed = groups_that_settle(strata, limit, 0.95)
    assert passes(needed - 5)
    assert needed == 25 or not passes(needed - 6)


def test_no_sample_settles_a_frame_with_more_extracted_than_the_limit_allows():
    strata = [Stratum(size=5, sampled=5, extracted=5), Stratum(size=100, sampled=20, extracted=0)]
    assert groups_that_settle(strata, 0.01, 0.95) is None
