"""Comparison of two audits: what is newly extracted, what changed, what is lost, by group and by image."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from memex_audit.rates.comparison import Change, Comparison, PromptOutcome, compare_outcomes
from memex_audit.records import Unit, Verdict

NO, YES = Verdict.NOT_FLAGGED, Verdict.EXTRACTED


def outcome(name: str, verdict: Verdict, agreeing: int = 0, n: int = 4, group: str | None = None, **more):
    return PromptOutcome(
        prompt_id=name, group_id=group or name, verdict=verdict, generations=n, clique_size=agreeing,
        replicas=0, **more,
    )  # fmt: skip


def compare(
    before: Sequence[PromptOutcome], after: Sequence[PromptOutcome], confidence: float = 0.95, **more
) -> Comparison:
    return compare_outcomes(before, after, confidence=confidence, count_flagged=False, **more)


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        # Nothing agreed, and now at least half does: 1 and 2 of 4 are on either side of it.
        ((NO, 0, 4), (YES, 4, 4), Change.NEWLY_EXTRACTED),
        ((NO, 1, 4), (YES, 2, 4), Change.NEWLY_EXTRACTED),
        ((NO, 1, 8), (YES, 7, 16), Change.CHANGED),
        # An edge in the baseline: Fisher's test has to tell, 0.016 for 4 of 16 and 11 of 16, 0.14 for 8.
        ((NO, 4, 16), (YES, 11, 16), Change.NEWLY_EXTRACTED),
        ((NO, 4, 16), (YES, 8, 16), Change.CHANGED),
        ((YES, 16, 16), (NO, 1, 4), Change.NO_LONGER_EXTRACTED),
        # What the baseline could not judge was not without an edge.
        ((Verdict.UNDECIDED, 0, 1), (YES, 4, 4), Change.CHANGED),
        # Extracted twice, or twice not, is no change, however the share moves.
        ((YES, 4, 16), (YES, 16, 16), None),
        ((NO, 0, 4), (NO, 3, 16), None),
        ((NO, 0, 4), (Verdict.FLAGGED, 4, 4), None),
        ((YES, 4, 4), (Verdict.UNDECIDED, 0, 1), None),
    ],
)
def test_a_prompt_is_newly_extracted_where_chance_does_not_explain_it(before, after, change):
    found = compare([outcome("a", *before)], [outcome("a", *after)])
    assert [entry.change for entry in found.changes] == ([change] if change else [])


def test_the_level_of_a_prompts_test_is_shared_by_all_prompts():
    # Fisher's p for 4 of 16 and 11 of 16 is 0.016: enough for one prompt of three, not for one of four.
    others = [outcome(f"b{i}", NO) for i in range(3)]
    before, after = outcome("a", NO, 4, 16), outcome("a", YES, 11, 16)
    for n, change in ((2, Change.NEWLY_EXTRACTED), (3, Change.CHANGED)):
        found = compare([before, *others[:n]], [after, *others[:n]])
        assert [entry.change for entry in found.changes] == [change]
        assert found.changes[0].p_value == pytest.approx(0.0160, abs=0.0005)


def test_generations_near_a_training_image_count_as_agreeing_where_they_are_more_than_the_clique():
    found = compare([outcome("a", NO)], [replace(outcome("a", YES, 0, 16), replicas=9)])
    assert found.of_kind(Change.NEWLY_EXTRACTED)[0].agreeing_after == 9


def test_flagged_prompts_count_where_there_is_no_training_set():
    before, after = [outcome("a", NO)], [outcome("a", Verdict.FLAGGED, 4)]
    found = compare_outcomes(before, after, confidence=0.95, count_flagged=True)
    assert (found.newly, found.pairs) == (1, 1)
    assert found.of_kind(Change.NEWLY_EXTRACTED)


def test_rates_are_compared_on_groups_and_undecided_ones_are_left_out():
    before = [
        outcome("a1", YES, group="a"), outcome("a2", NO, group="a"), outcome("b", NO), outcome("c", YES),
        outcome("d", Verdict.UNDECIDED), outcome("e", NO), outcome("e2", NO, group="e"),
    ]  # fmt: skip
    after = [
        outcome("a1", NO, group="a"), outcome("a2", YES, group="a"), outcome("b", YES), outcome("c", NO),
        outcome("d", NO), outcome("e", NO), outcome("e2", Verdict.UNDECIDED, group="e"),
    ]  # fmt: skip
    found = compare(before, after)
    assert (found.pairs, found.both, found.newly, found.no_longer, found.undecided) == (3, 1, 1, 1, 2)
    assert found.difference == 0.0
    assert found.p_value == 1.0


def test_five_groups_that_are_newly_extracted_and_none_that_is_not_make_a_higher_rate():
    # 1/2^5 = 0.031, and 1/2^4 = 0.063 is not enough at 95 %.
    for n, higher in ((5, True), (4, False)):
        before = [outcome(f"p{i}", NO, 2, 16) for i in range(100)]
        after = [outcome(f"p{i}", YES if i < n else NO, 3, 16) for i in range(100)]
        found = compare(before, after)
        assert (found.newly, found.rate_is_higher) == (n, higher)
        assert found.regressed is higher
        assert found.lower < found.difference == n / 100 < found.upper


def test_prompts_that_the_audit_set_has_no_more_are_missing_and_those_left_undone_are_not():
    before = [outcome(name, NO) for name in "abc"]
    found = compare(before, [outcome("a", NO), outcome("d", NO)], audit_set=["a", "b", "d"])
    assert (found.missing, found.unaudited, found.added) == (("c",), ("b",), ("d",))
    assert found.regressed
    assert not compare(before, [outcome("a", NO)], audit_set="abc").regressed


def test_where_the_rate_counts_training_images_these_are_the_pairs():
    before = [outcome("a", YES, images=("i", "j")), outcome("b", NO)]
    after = [outcome("a", YES, images=("j", "k", "l")), outcome("b", YES, images=("j",))]
    found = compare(before, after, n_images=50)
    assert found.unit is Unit.TRAINING_IMAGE
    assert (found.pairs, found.both, found.newly, found.no_longer) == (50, 1, 2, 1)


def test_nothing_decided_in_both_gives_no_interval():
    found = compare([outcome("a", Verdict.UNDECIDED)], [outcome("a", YES)])
    assert (found.pairs, found.lower, found.upper, found.difference) == (0, None, None, 0.0)


# -- false alarms, simulated: two audits of one model with other seeds

LOOKS, FLAG_AT, CLEAN_AT = (4, 8, 16, 32), (4, 5, 6, 8), (1, 1, 3, 7)


def audited(name: str, share: float, random: np.random.Generator) -> PromptOutcome:
    """Audit a prompt that replicates in this share of its generations by the default protocol."""
    agree = np.cumsum(random.random(LOOKS[-1]) < share)
    for n, flag_at, clean_at in zip(LOOKS, FLAG_AT, CLEAN_AT, strict=True):
        if (agreeing := int(agree[n - 1])) >= flag_at:
            return outcome(name, YES, agreeing, n)
        if agreeing <= clean_at:
            return outcome(name, NO, agreeing, n)
    raise AssertionError("the last look decides")


def share_of_runs_that_regress(shares: Sequence[float], runs: int = 400) -> float:
    random = np.random.default_rng(20260101)
    regressed = 0
    for _ in range(runs):
        before, after = (
            [audited(f"p{i}", share, random) for i, share in enumerate(shares)] for _ in range(2)
        )
        regressed += compare(before, after).regressed
    return regressed / runs


def test_a_model_that_replicates_wholly_or_not_at_all_hardly_ever_regresses_against_itself():
    # As the specimen: most prompts draw two alike at most by chance, some replicate nearly always.
    assert share_of_runs_that_regress([0.05] * 90 + [0.97] * 10) <= 0.02


@pytest.mark.parametrize(("share", "measured"), [(0.2, 0.012), (0.5, 0.159), (0.8, 0.029)])
def test_a_prompt_that_replicates_now_and_then_may_regress_with_other_seeds(share, measured):
    # The worst that docs/how-to/checkpoints.md states; with the same seeds the same model changes nothing.
    assert share_of_runs_that_regress([share], runs=1500) == pytest.approx(measured, abs=0.025)
