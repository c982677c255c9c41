import math

import numpy as np
import pytest

from memex_audit.errors import ConfigurationError
from memex_audit.rates.frames import hypergeometric_upper
from memex_audit.rates.two_phase import cut_at_share, group_scores, random_order, sample_needed, split_frame
from memex_audit.records import AuditPrompt


def _prompt(prompt_id: str, group_id: str) -> AuditPrompt:
    return AuditPrompt(prompt_id=prompt_id, text=prompt_id, group_id=group_id, duplication_count=1)


def test_a_group_scores_as_its_most_suspicious_prompt():
    prompts = [_prompt("a", "one"), _prompt("b", "one"), _prompt("c", "two")]
    assert group_scores(prompts, {"a": 0.2, "b": 0.7, "c": -1.0}) == {"one": 0.7, "two": -1.0}


def test_what_was_not_screened_is_audited():
    prompts = [_prompt("a", "one"), _prompt("b", "one"), _prompt("c", "two")]
    scores = group_scores(prompts, {"a": 0.2, "b": math.nan})
    assert scores == {"one": math.inf, "two": math.inf}
    assert set(split_frame(scores, cut=math.inf, seed=0).above) == {"one", "two"}


def test_a_group_at_the_cut_is_above_it():
    split = split_frame({"a": 0.5, "b": 0.4}, cut=0.5, seed=0)
    assert (split.above, split.below, split.size) == (("a",), ("b",), 2)


@pytest.mark.parametrize(
    ("share", "cut", "above"),
    [(0.0, math.inf, 0), (0.25, 4.0, 1), (0.6, 3.0, 2), (1.0, 1.0, 4)],
)
def test_a_cut_by_share_takes_no_more_than_the_share(share, cut, above):
    scores = [1.0, 2.0, 3.0, 4.0]
    assert cut_at_share(scores, share) == cut
    assert sum(score >= cut for score in scores) == above


def test_ties_never_widen_the_census():
    assert cut_at_share([1.0, 0.5, 0.5, 0.5, 0.0], 0.4) == 1.0
    assert cut_at_share([0.5, 0.5, 0.5], 0.4) == math.inf


def test_a_random_order_depends_on_seed_and_ids_alone():
    ids = [f"group {number}" for number in range(50)]
    order = random_order(ids, 3)
    assert order == random_order(reversed(ids), 3)
    assert order != random_order(ids, 4)
    assert sorted(order) == sorted(ids)


def test_a_group_that_goes_moves_no_other():
    ids = [f"group {number}" for number in range(50)]
    order = random_order(ids, 3)
    assert random_order(ids[1:], 3) == tuple(group for group in order if group != ids[0])


def test_every_group_is_as_likely_at_every_place_of_the_order():
    ids = [f"group {number}" for number in range(6)]
    places = np.zeros((6, 6))
    for seed in range(6_000):
        for place, group in enumerate(random_order(ids, seed)):
            places[place, ids.index(group)] += 1
    # chi-squared with 25 degrees of freedom stays below 52.6 with 99.9 %
    assert (((places - 1_000) ** 2) / 1_000).sum() < 52.6


@pytest.mark.parametrize(("above", "below"), [(0, 300), (25, 475), (10, 20)])
@pytest.mark.parametrize(("extracted_above", "extracted_below"), [(0, 0), (2, 0), (0, 1)])
@pytest.mark.parametrize("limit", [0.01, 0.2])
def test_the_sample_needed_is_the_smallest_that_passes(above, below, extracted_above, extracted_below, limit):
    if extracted_above > above:
        return
    uppers = [
        (extracted_above + hypergeometric_upper(extracted_below, n, below, 0.95)) / (above + below)
        for n in range(extracted_below, below + 1)
    ]
    passing = [n for n, upper in enumerate(uppers, start=extracted_below) if upper <= limit]
    needed = sample_needed(
        limit,
        0.95,
        above=above,
        below=below,
        extracted_above=extracted_above,
        extracted_below=extracted_below,
    )
    assert needed == (passing[0] if passing else None)


def test_a_frame_too_small_for_the_limit_is_audited_nearly_whole():
    # No group may be extracted; one would be missed by 48 of 50 with 2 / 50, not above 0.05
    assert sample_needed(0.01, 0.95, above=0, below=50) == 48
    assert sample_needed(0.01, 0.99, above=0, below=50) == 50


def test_no_sample_makes_up_for_what_is_extracted_already():
    assert sample_needed(0.01, 0.95, above=100, below=900, extracted_above=11) is None
    assert sample_needed(0.01, 0.95, above=100, below=900, extracted_above=10) == 855  # 45 / 900 = 0.05


def test_where_all_groups_are_above_the_cut_none_is_sampled():
    assert sample_needed(0.01, 0.95, above=500, below=0, extracted_above=5) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cut_at_share([], 0.1), r"`scores` must hold at least one score"),
        (lambda: cut_at_share([1.0], 10), r"`share` must be in \[0, 1\], got share=10"),
        (lambda: split_frame({}, cut=0.5, seed=0), r"`scores` must hold at least one group"),
        (lambda: split_frame({"a": 1.0}, cut=math.nan, seed=0), r"`cut` must be a number, got cut=nan"),
        (lambda: sample_needed(0.0, 0.95, above=0, below=9), r"`limit` must be in \(0, 1\]"),
        (lambda: sample_needed(0.1, 0.95, above=0, below=0), r"at least one group, got none"),
        (lambda: sample_needed(0.1, 0.95, above=-1, below=9), r"`above` must be 0 or more, got above=-1"),
        (
            lambda: sample_needed(0.1, 0.95, above=1, below=9, extracted_above=2),
            r"`extracted_above` must be in 0 to 1, got extracted_above=2",
        ),
        (lambda: sample_needed(0.1, 1.0, above=1, below=9), r"`confidence` must be in \[0.5, 1\)"),
    ],
)
def test_what_makes_no_strata_is_an_error(call, message):
    with pytest.raises(ConfigurationError, match=message):
        call()
