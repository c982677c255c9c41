from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, fisher_exact

from memex_audit.errors import ConfigurationError
from memex_audit.rates.bounds import binomial_lower, binomial_upper
from memex_audit.rates.slices import benjamini_hochberg, rates_by_slice
from memex_audit.records import Finding, Match, MatchKind, Verdict

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


def findings(part, extracted, clean, undecided=0):
    verdicts = [EXTRACTED] * extracted + [CLEAN] * clean + [UNDECIDED] * undecided
    return [
        replace(CLEAN_FINDING, group_id=f"{part}{number}", verdict=verdict, slice=part)
        for number, verdict in enumerate(verdicts)
    ]


def by_name(found, **options):
    return {entry.name: entry for entry in rates_by_slice(found, confidence=0.95, **options)}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_adjusted_p_values_are_those_of_scipy(p_values):
    assert benjamini_hochberg(p_values) == pytest.approx(false_discovery_control(p_values, method="bh"))


def test_adjusted_p_values_of_the_paper():
    # Benjamini and Hochberg 1995, section 3.2: 15 p values, of which 4 are rejected at 5 %
    p_values = [
        0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719,
        0.6528, 0.7590, 1.0,
    ]  # fmt: skip
    assert sum(q <= 0.05 for q in benjamini_hochberg(p_values)) == 4


def test_no_p_values_stay_none():
    assert benjamini_hochberg([]) == ()


@pytest.mark.parametrize("p_value", [-0.1, 1.1, float("nan")])
def test_a_p_value_that_is_none_is_an_error(p_value):
    with pytest.raises(ConfigurationError, match=r"`p_values` must be in \[0, 1\]"):
        benjamini_hochberg([0.5, p_value])


def test_prompts_without_a_slice_make_none():
    assert rates_by_slice([CLEAN_FINDING], confidence=0.95) == ()


def test_a_slice_has_its_own_rate_and_exact_interval():
    slices = by_name(findings("logos", 3, 7) + findings("faces", 0, 40))
    logos = slices["logos"]
    assert (logos.groups, logos.extracted, logos.prompts, logos.generations) == (10, 3, 10, 40)
    assert (logos.lower, logos.upper) == (binomial_lower(3, 10, 0.975), binomial_upper(3, 10, 0.975))


def test_a_slice_is_tested_against_the_rest_by_fishers_exact_test():
    slices = by_name(findings("logos", 3, 7) + findings("faces", 2, 38))
    assert slices["logos"].p_value == pytest.approx(
        fisher_exact([[3, 7], [2, 38]], alternative="greater").pvalue
    )
    assert slices["faces"].p_value == pytest.approx(
        fisher_exact([[2, 38], [3, 7]], alternative="greater").pvalue
    )


def test_prompts_without_a_slice_are_part_of_the_rest():
    rest = [replace(finding, slice=None) for finding in findings("rest", 0, 40)]
    assert by_name(findings("logos", 3, 7) + rest)["logos"].p_value == pytest.approx(
        fisher_exact([[3, 7], [0, 40]], alternative="greater").pvalue
    )


def test_the_slice_that_stands_out_comes_first():
    slices = rates_by_slice(findings("faces", 0, 200) + findings("logos", 8, 12), confidence=0.95)
    assert [entry.name for entry in slices] == ["logos", "faces"]
    assert [entry.stands_out(0.95) for entry in slices] == [True, False]


def test_what_is_undecided_makes_no_slice_stand_out():
    decided = by_name(findings("logos", 3, 7) + findings("faces", 0, 40))["logos"].p_value
    inside = by_name(findings("logos", 3, 3, 4) + findings("faces", 0, 40))["logos"]
    assert inside.p_value == pytest.approx(decided)
    assert inside.upper == binomial_upper(7, 10, 0.975)
    outside = by_name(findings("logos", 3, 7) + findings("faces", 0, 30, 10))["logos"]
    assert outside.p_value == pytest.approx(fisher_exact([[3, 7], [10, 30]], alternative="greater").pvalue)


def test_a_group_with_prompts_inside_and_outside_is_not_part_of_the_rest():
    shared = [
        replace(CLEAN_FINDING, group_id="shared", slice="logos"),
        replace(CLEAN_FINDING, group_id="shared", slice="faces", verdict=EXTRACTED),
    ]
    slices = by_name(shared + findings("faces", 0, 9))
    assert (slices["logos"].groups, slices["logos"].extracted) == (1, 0)
    assert (slices["faces"].groups, slices["faces"].extracted, slices["faces"].p_value) == (10, 1, 1.0)


def test_an_audit_of_one_slice_has_nothing_to_stand_out_from():
    (entry,) = rates_by_slice(findings("all", 5, 5), confidence=0.95)
    assert (entry.p_value, entry.q_value) == (1.0, 1.0)


def test_without_a_training_set_what_is_flagged_counts():
    found = [replace(finding, verdict=FLAGGED) for finding in findings("a", 1, 0)] + findings("b", 0, 3)
    assert by_name(found)["a"].extracted == 0
    assert by_name(found, count_flagged=True)["a"].extracted == 1


def test_images_given_back_are_counted_once():
    match = Match(example_id="cat.png", distance=0.1, kind=MatchKind.MATCHING, k=1)
    found = [replace(finding, match=match, replicas=3) for finding in findings("a", 2, 1)]
    (entry,) = rates_by_slice(found, confidence=0.95)
    assert (entry.images, entry.replicas, entry.generations) == (1, 9, 12)


@pytest.mark.parametrize("worse", [0, 2])
def test_false_discoveries_stay_within_the_stated_share(worse):
    rng = np.random.default_rng(20_260_114)
    false_share = []
    for _ in range(400):
        counts = rng.binomial(30, [0.6] * worse + [0.1] * (6 - worse))
        found = [
            finding
            for number, x in enumerate(counts)
            for finding in findings(f"s{number}", int(x), 30 - int(x))
        ]
        out = [entry.name for entry in rates_by_slice(found, confidence=0.9) if entry.stands_out(0.9)]
        wrong = sum(int(name[1:]) >= worse for name in out)
        false_share.append(wrong / max(1, len(out)))
    # three standard errors of 400 runs above 10 %
    assert np.mean(false_share) <= 0.145
