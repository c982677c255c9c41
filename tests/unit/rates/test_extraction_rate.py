import dataclasses

import pytest

from memex_audit.errors import ConfigurationError
from memex_audit.rates.bounds import binomial_lower, binomial_upper
from memex_audit.rates.extraction_rate import extraction_rate
from memex_audit.rates.frames import hypergeometric_upper
from memex_audit.records import Finding, Frame, FrameStratum, StratumCount, Verdict

FRAME = Frame(description="groups with 8 or more near-copies", size=5_000)
CLEAN, FLAGGED, EXTRACTED, UNDECIDED = (
    Verdict.NOT_FLAGGED,
    Verdict.FLAGGED,
    Verdict.EXTRACTED,
    Verdict.UNDECIDED,
)


def finding(group, verdict, near_miss=False, replicas=0, drawn=True):
    return Finding(
        prompt_id="0" * 12,
        prompt="a red barn",
        duplication_count=8,
        group_id=group,
        verdict=verdict,
        near_miss=near_miss,
        generations=4 if drawn else 0,
        set_aside=1 if drawn else 0,
        network_evaluations=200,
        clique_size=0,
        clique_seeds=(),
        replicas=replicas,
        replica_seeds=(),
        blind_spot=0.75,
        match=None,
    )


def rate_of(*findings, **changes):
    arguments = {"limit": 0.01, "confidence": 0.95, "blind_spot": 0.75} | changes
    return extraction_rate(findings, FRAME, **arguments)


def test_a_rate_counts_prompts_by_verdict_and_groups_by_outcome():
    rate = rate_of(
        finding("a", EXTRACTED, replicas=3),
        finding("a", CLEAN),
        finding("a", UNDECIDED),
        finding("b", UNDECIDED),
        finding("b", FLAGGED, replicas=2),
        finding("c", CLEAN, near_miss=True, replicas=1),
        finding("d", FLAGGED),
    )
    assert dataclasses.asdict(rate) == {
        "extracted": 1,
        "flagged": 2,
        "undecided": 2,
        "near_misses": 1,
        "prompts": 7,
        "groups": 4,
        "extracted_groups": 1,
        "undecided_groups": 1,
        "generations": 28,
        "replicas": 6,
        "lower": binomial_lower(1, 4, 0.95),
        "upper": binomial_upper(2, 4, 0.95),
        "confidence": 0.95,
        "limit": 0.01,
        "frame": "groups with 8 or more near-copies",
        "frame_size": 5_000,
        "method": "binomial (Clopper-Pearson), one-sided",
        "blind_spot": 0.75,
        "unit": "prompt group",
        "unit_reason": "",
        "captions": None,
        "images": None,
        "images_extracted": None,
        "strata": (),
        "upper_of_alike": None,
        "attempt": 0,
        "overall_confidence": None,
    }


def test_many_extracted_prompts_of_one_group_are_one_extraction():
    # 148 of the 500 public "memorized" prompts of SD 1.4 are one shop's template (FACTS, section 3)
    rate = rate_of(*[finding("carpets", EXTRACTED)] * 148, finding("other", CLEAN))
    assert (rate.extracted, rate.extracted_groups, rate.groups) == (148, 1, 2)


def test_an_undecided_group_counts_in_the_upper_bound_only_and_stays_in_the_denominator():
    rate = rate_of(finding("a", UNDECIDED), *[finding(f"g{i}", CLEAN) for i in range(472)])
    assert (rate.groups, rate.extracted_groups, rate.undecided_groups) == (473, 0, 1)
    assert rate.lower == 0.0
    assert rate.upper == binomial_upper(1, 473, 0.95)


def test_an_undecided_prompt_beside_an_extracted_one_is_not_counted_twice():
    rate = rate_of(finding("a", UNDECIDED), finding("a", EXTRACTED), finding("b", CLEAN))
    assert (rate.extracted_groups, rate.undecided_groups) == (1, 0)
    assert rate.upper == binomial_upper(1, 2, 0.95)


def test_all_groups_undecided_say_nothing_at_all():
    rate = rate_of(finding("a", UNDECIDED), finding("b", UNDECIDED))
    assert (rate.lower, rate.upper) == (0.0, 1.0)


def test_flagged_prompts_count_where_there_is_no_index_to_match_in():
    findings = (finding("a", FLAGGED), finding("a", UNDECIDED), finding("b", CLEAN))
    with_index, without = rate_of(*findings), rate_of(*findings, count_flagged=True)
    assert (with_index.extracted_groups, with_index.undecided_groups) == (0, 1)
    assert (without.extracted_groups, without.undecided_groups) == (1, 0)
    assert (without.extracted, without.flagged) == (0, 1)


def test_the_order_of_findings_does_not_matter():
    findings = [finding("a", UNDECIDED), finding("a", EXTRACTED), finding("b", FLAGGED)]
    assert rate_of(*findings) == rate_of(*reversed(findings))


def test_a_frame_of_unknown_size_stays_unknown():
    rate = extraction_rate(
        [finding("a", CLEAN)],
        Frame(description="a file", size=None),
        limit=0.01,
        confidence=0.95,
        blind_spot=0.75,
    )
    assert (rate.frame, rate.frame_size) == ("a file", None)


NO_FINDINGS = (
    r"^`findings` must hold at least one finding, got findings=\(\): a rate of nothing\. "
    r"Audit at least one prompt\.$"
)


def test_no_findings_are_an_error_and_no_rate_of_zero():
    with pytest.raises(ConfigurationError, match=NO_FINDINGS):
        rate_of()


def test_settings_out_of_range_are_an_error():
    with pytest.raises(ConfigurationError, match=r"`limit` must be in \(0, 1\], got limit=0"):
        rate_of(finding("a", CLEAN), limit=0)
    with pytest.raises(ConfigurationError, match=r"`confidence` must be in \[0.5, 1\), got confidence=95"):
        rate_of(finding("a", CLEAN), confidence=95)
    with pytest.raises(ConfigurationError, match=r"`blind_spot` must be in \[0, 1\], got blind_spot=75"):
        rate_of(finding("a", CLEAN), blind_spot=75)


@pytest.mark.parametrize("blind_spot", [0, 1])
def test_a_blind_spot_may_be_nothing_or_everything(blind_spot):
    assert rate_of(finding("a", CLEAN), blind_spot=blind_spot).blind_spot == blind_spot


@pytest.mark.parametrize("blind_spot", [-0.01, 1.01, float("nan")])
def test_a_blind_spot_that_is_no_share_is_an_error(blind_spot):
    with pytest.raises(ConfigurationError, match=r"`blind_spot` must be in \[0, 1\], got blind_spot="):
        rate_of(finding("a", CLEAN), blind_spot=blind_spot)


def stratum(name, size, groups):
    return FrameStratum(name=name, size=size, group_ids=tuple(groups))


def test_a_census_has_no_sampling_error_and_is_no_bound_for_prompts_like_these():
    found = [finding("a", EXTRACTED), finding("b", CLEAN), finding("c", UNDECIDED), finding("d", CLEAN)]
    rate = extraction_rate(
        found, FRAME, limit=0.5, confidence=0.95, blind_spot=0.75, strata=[stratum("all", 4, "abcd")]
    )
    assert (rate.lower, rate.upper) == (1 / 4, 2 / 4)
    assert rate.upper_of_alike == binomial_upper(2, 4, 0.95)
    assert rate.strata == (StratumCount(name="all", size=4, sampled=4, extracted=1, undecided=1),)
    assert rate.method == "census of all 4 groups, no sampling error"


def test_a_sampled_stratum_is_bounded_by_its_draw_and_a_census_added():
    found = [finding("a", EXTRACTED), *(finding(f"u{i}", CLEAN) for i in range(50))]
    strata = [stratum("census", 1, "a"), stratum("sample", 1_000, [f"u{i}" for i in range(50)])]
    rate = extraction_rate(found, FRAME, limit=0.5, confidence=0.95, blind_spot=0.75, strata=strata)
    assert rate.upper == (1 + hypergeometric_upper(0, 50, 1_000, 0.95)) / 1_001
    assert rate.lower == 1 / 1_001


def test_a_sample_that_the_budget_cut_short_is_a_smaller_sample():
    begun = [finding(f"u{i}", CLEAN) for i in range(30)]
    found = [*begun, *(finding(f"u{i}", UNDECIDED, drawn=False) for i in range(30, 50))]
    drawn = stratum("sample", 1_000, [f"u{i}" for i in range(50)])
    rate = extraction_rate(found, FRAME, limit=0.5, confidence=0.95, blind_spot=0.75, strata=[drawn])
    (counted,) = rate.strata
    assert (counted.sampled, counted.undecided, counted.cut_short) == (30, 0, True)
    assert rate.upper == hypergeometric_upper(0, 30, 1_000, 0.95) / 1_000
    assert "cut short by the budget" in rate.method


@pytest.mark.parametrize(
    ("size", "not_begun"), [(4, {3}), (1_000, {1})], ids=["a census", "a sample in another order"]
)
def test_what_was_not_begun_is_undecided_where_the_rest_is_no_random_sample(size, not_begun):
    found = [
        finding(f"u{i}", UNDECIDED, drawn=False) if i in not_begun else finding(f"u{i}", CLEAN)
        for i in range(4)
    ]
    drawn = stratum("all", size, [f"u{i}" for i in range(4)])
    rate = extraction_rate(found, FRAME, limit=0.5, confidence=0.95, blind_spot=0.75, strata=[drawn])
    (counted,) = rate.strata
    assert (counted.sampled, counted.undecided, counted.cut_short) == (4, 1, False)


def test_a_group_of_a_stratum_without_a_finding_is_not_known():
    rate = extraction_rate(
        [finding("a", CLEAN)], FRAME, limit=0.5, confidence=0.95, blind_spot=0.75,
        strata=[stratum("all", 2, "ab")],
    )  # fmt: skip
    assert (rate.lower, rate.upper) == (0, 1 / 2)
