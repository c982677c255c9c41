from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memex_audit.errors import ConfigurationError
from memex_audit.rates.bounds import binomial_lower, binomial_upper
from memex_audit.rates.duplication_tiers import rates_by_duplication
from memex_audit.records import Finding, Verdict

CLEAN, FLAGGED, EXTRACTED, UNDECIDED = (
    Verdict.NOT_FLAGGED,
    Verdict.FLAGGED,
    Verdict.EXTRACTED,
    Verdict.UNDECIDED,
)
CLEAN_FINDING = Finding(
    prompt_id="0" * 12, prompt="a red barn", duplication_count=1, group_id="a", verdict=CLEAN,
    near_miss=False, generations=4, set_aside=0, network_evaluations=200, clique_size=0, clique_seeds=(),
    replicas=0, replica_seeds=(), blind_spot=0.75, match=None,
)  # fmt: skip


def finding(group, copies, verdict=CLEAN):
    return replace(CLEAN_FINDING, group_id=group, duplication_count=copies, verdict=verdict)


def test_tiers_double_and_empty_ones_are_left_out():
    findings = [finding(str(copies), copies) for copies in (1, 2, 3, 4, 7, 8, 64)]
    tiers = rates_by_duplication(findings, confidence=0.95)
    assert [(tier.name, tier.groups) for tier in tiers] == [
        ("1", 1), ("2-3", 2), ("4-7", 2), ("8-15", 1), ("64-127", 1),
    ]  # fmt: skip


def test_a_tier_counts_groups_by_their_outcome_and_bounds_them_exactly():
    findings = [
        finding("a", 8, EXTRACTED), finding("a", 9), finding("b", 10), finding("c", 15, UNDECIDED),
        finding("d", 12, FLAGGED),
    ]  # fmt: skip
    (tier,) = rates_by_duplication(findings, confidence=0.95)
    assert (tier.groups, tier.extracted, tier.undecided) == (4, 1, 1)
    assert (tier.lower, tier.upper) == (binomial_lower(1, 4, 0.975), binomial_upper(2, 4, 0.975))


def test_an_interval_is_the_published_one():
    # Clopper and Pearson 1934, 95 %, 0 of 10: 0 to 30.85 %.
    (tier,) = rates_by_duplication([finding(str(i), 1) for i in range(10)], confidence=0.95)
    assert (tier.lower, round(tier.upper, 4)) == (0.0, 0.3085)


def test_a_group_stands_in_the_tier_of_its_most_duplicated_prompt():
    (tier,) = rates_by_duplication([finding("a", 1), finding("a", 5)], confidence=0.95)
    assert (tier.name, tier.groups) == ("4-7", 1)


@pytest.mark.parametrize(("count_flagged", "extracted"), [(False, 0), (True, 1)])
def test_a_flagged_group_counts_where_nothing_can_be_matched(count_flagged, extracted):
    (tier,) = rates_by_duplication([finding("a", 1, FLAGGED)], confidence=0.95, count_flagged=count_flagged)
    assert tier.extracted == extracted


def test_no_finding_gives_no_tier():
    assert rates_by_duplication([], confidence=0.95) == ()


def test_a_confidence_that_is_none_is_refused():
    with pytest.raises(ConfigurationError, match="`confidence` must be in"):
        rates_by_duplication([finding("a", 1)], confidence=1.0)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10**6), st.sampled_from(Verdict)), min_size=1))
def test_every_group_stands_in_exactly_one_tier_and_every_interval_holds_its_share(drawn):
    findings = [finding(str(group), copies, verdict) for group, copies, verdict in drawn]
    tiers = rates_by_duplication(findings, confidence=0.9)
    assert sum(tier.groups for tier in tiers) == len({group for group, _, _ in drawn})
    for tier in tiers:
        assert tier.lower <= tier.extracted / tier.groups <= tier.upper <= 1
