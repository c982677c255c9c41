"""Thresholds from negatives, against brute force."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memex_audit.errors import CalibrationError
from memex_audit.extraction.calibration import (
    LARGEST_EDGE_DELTA,
    LARGEST_MATCH_DELTA,
    check_negatives,
    choose_edge_delta,
    choose_match_delta,
    flagging_delta,
    least_delta_beyond,
    negatives_needed,
)
from memex_audit.extraction.distances import tile_l2_between
from memex_audit.extraction.protocol import SequentialTest, clique_test


def pictures(seed, n=8):
    """Pictures with something in common, so that their distances differ."""
    rng = np.random.default_rng(seed)
    parts = rng.integers(0, 256, (n, 8, 8, 3)) * rng.random((n, 1, 1, 1)) + rng.integers(0, 60, (8, 8, 3))
    return np.clip(parts, 0, 255).astype(np.uint8)


TESTS = [
    clique_test((8,), 4),
    clique_test((2, 8), 3),
    clique_test((4, 8), 4),
    clique_test((4, 8), 8),
    SequentialTest(looks=(3, 5, 8), flag_at=(3, 4, 5), clean_at=(1, 2, 4)),
    SequentialTest(looks=(4, 6, 8), flag_at=(4, 5, 5), clean_at=(0, 1, 4)),
]


def flags(images, test, delta):
    """Follow the test itself, with every subset tried for the largest clique."""
    n = len(images)
    pairs = {pair: tile_l2_between(images[pair[0]], images[pair[1]]) for pair in combinations(range(n), 2)}

    def largest(n_seen):
        for size in range(n_seen, 1, -1):
            for rows in combinations(range(n_seen), size):
                if all(pairs[pair] <= delta for pair in combinations(rows, 2)):
                    return size
        return min(n_seen, 1)

    for look, flag_at, clean_at in zip(test.looks, test.flag_at, test.clean_at, strict=True):
        clique = largest(look)
        if clique >= flag_at:
            return True
        if clique <= clean_at:
            return False
    return False


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("seed", range(4))
def test_the_flagging_delta_is_where_the_test_begins_to_flag(seed, test):
    images = pictures(seed)
    delta = flagging_delta(images, test)
    assert flags(images, test, delta)
    assert not flags(images, test, delta - 1e-9)
    for look in range(len(test.looks)):
        assert least_delta_beyond(images[: test.looks[look]], test, look) <= delta


def test_a_clique_beyond_a_clean_first_look_flags_only_once_the_first_look_has_an_edge():
    images = pictures(0)
    images[4:] = images[4]  # a perfect clique that the first four pictures do not hint at
    expected = min(tile_l2_between(images[a], images[b]) for a, b in combinations(range(4), 2))
    assert expected > 0
    assert flagging_delta(images, clique_test((4, 8), 4)) == expected
    assert flagging_delta(images, clique_test((8,), 4)) == 0


@pytest.mark.parametrize(("n", "looks"), [(0, (2, 8)), (3, (2, 8)), (1, (4, 8)), (3, (8,))])
def test_too_few_pictures_are_never_flagged(n, looks):
    assert flagging_delta(pictures(0)[:n], clique_test(looks, 4)) == math.inf


def test_before_the_last_look_the_least_edge_bounds_the_flagging_delta():
    images = pictures(1)[:4]
    expected = min(tile_l2_between(a, b) for a, b in combinations(images, 2))
    assert least_delta_beyond(images, clique_test((4, 16), 4), 0) == pytest.approx(expected, abs=1e-12)
    assert least_delta_beyond(images[:1], clique_test((4, 16), 4), 0) == math.inf


deltas = st.one_of(
    st.floats(0.001, 1),
    st.integers(10, 5000).map(lambda k: k / 10_000),  # exactly on a step
    st.just(math.inf),
)


@given(st.lists(deltas, min_size=1, max_size=80), st.floats(0.001, 0.5))
def test_the_edge_delta_flags_at_most_its_share_and_no_larger_step_does(flagging, alpha):
    chosen = choose_edge_delta(flagging, alpha)

    def flagged(delta):
        return sum(least <= delta for least in flagging)

    step = round(chosen * 10_000)
    assert chosen == step / 10_000
    assert flagged(chosen) <= alpha * len(flagging)
    larger = (step + 1) / 10_000
    assert larger >= LARGEST_EDGE_DELTA or flagged(larger) > math.floor(alpha * len(flagging))


@pytest.mark.parametrize("value", [0.0051, 0.0061, 0.0175, 0.2])
def test_a_negative_exactly_on_a_step_is_not_flagged(value):
    # 0.0051 * 10_000 is 51.00000000000001
    assert choose_edge_delta([value] * 10, 0.05) == pytest.approx(value - 1e-4)
    assert choose_edge_delta([value] * 10, 0.05) < value


def test_no_calibration_joins_pictures_that_share_little_but_their_mean():
    assert choose_edge_delta([math.inf] * 60, 0.05) == 0.1999


def test_negatives_that_repeat_one_picture_cannot_calibrate():
    with pytest.raises(
        CalibrationError, match=r"at most 1 of 20 negatives may repeat one picture, but more do"
    ):
        choose_edge_delta([0.0, 0.0, *[0.2] * 18], 0.05)
    assert choose_edge_delta([0.0, *[0.2] * 19], 0.05) == 0.1999


@pytest.mark.parametrize(("alpha", "needed"), [(0.05, 59), (0.01, 299), (0.1, 29)])
def test_the_negatives_needed_are_the_least_that_bound_the_share(alpha, needed):
    assert negatives_needed(alpha) == needed
    assert (1 - alpha) ** needed <= 0.05 < (1 - alpha) ** (needed - 1)
    check_negatives(needed, alpha)
    message = rf"rate of {alpha:g} needs at least {needed} negative prompts, got {needed - 1}; give more"
    with pytest.raises(CalibrationError, match=message):
        check_negatives(needed - 1, alpha)


def test_the_match_delta_is_the_lowest_percent_and_never_looser_than_published():
    # The 1 % quantile of 101 even steps from 0.1 to 0.2 is the second: 0.101.
    assert choose_match_delta(np.linspace(0.1, 0.2, 101).tolist()) == pytest.approx(0.101, abs=1.1e-4)
    assert choose_match_delta([0.5] * 100) == LARGEST_MATCH_DELTA == 0.15
    assert choose_match_delta([]) == 0.15


def test_two_seeds_near_one_image_tighten_the_match_delta_to_a_margin_below_the_least():
    assert choose_match_delta([0.5] * 100, [0.3, 0.2, 0.22]) == 0.12
    assert choose_match_delta([0.5] * 100, [0.3, 0.4]) == 0.15


def test_no_image_of_few_captions_may_count_as_extracted_from_a_model_that_never_saw_it():
    # Of the negatives one may come nearer, where alpha allows it; of the audit's own captions none.
    assert choose_match_delta([0.5] * 100, [0.05, *[0.3] * 99], alpha=0.05) == 0.15
    assert choose_match_delta([0.5] * 100, [0.3] * 100, alpha=0.05, few_captions=[0.3, 0.2]) == 0.12


@pytest.mark.parametrize(("nearest", "second_seed"), [([0.0] * 3, []), ([0.3], [0.00005, 0.2])])
def test_negatives_that_lie_on_training_images_cannot_calibrate(nearest, second_seed):
    with pytest.raises(CalibrationError, match="negatives must not give training images back, got an l2 of"):
        choose_match_delta(nearest, second_seed)


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=50))
def test_the_match_delta_is_rounded_down(nearest):
    chosen = choose_match_delta(nearest)
    assert chosen <= min(0.15, np.quantile(nearest, 0.01))


@pytest.mark.parametrize(("value", "chosen"), [(0.00025, 0.0002), (0.00015, 0.0001), (0.0002, 0.0001)])
def test_the_smallest_steps_are_still_deltas(value, chosen):
    assert choose_edge_delta([value] * 20, 0.05) == chosen


@pytest.mark.parametrize("value", [0.0, 0.00005, 0.0001])
def test_a_delta_that_would_have_to_be_below_the_first_step_is_refused(value):
    message = (
        r"at most 1 of 20 negatives may repeat one picture, but more do; such a model cannot be calibrated "
        r"with them: look at what it draws, or give other negatives\."
    )
    with pytest.raises(CalibrationError, match=message):
        choose_edge_delta([value] * 20, 0.05)


def test_the_share_of_prompts_whose_second_seed_may_come_nearer_grows_with_their_number():
    # 1 % of 300 are 3: the fourth decides. 0.6 * 0.2 = 0.12.
    assert choose_match_delta([], [0.01, 0.02, 0.03, 0.2, *[0.25] * 296]) == 0.12
    assert choose_match_delta([], [0.01, 0.02, 0.2, *[0.25] * 297], alpha=0.005) == 0.012


def test_the_match_delta_is_cut_to_four_decimals():
    assert choose_match_delta([0.10999] * 100) == 0.1099


def test_a_match_delta_of_one_step_is_still_one():
    assert choose_match_delta([0.0001] * 100) == 0.0001


def test_captions_that_a_clean_model_was_asked_for_tighten_the_match_delta_by_their_nearest():
    assert choose_match_delta([0.5] * 100, few_captions=[0.3, 0.2, 0.22]) == 0.12
    assert choose_match_delta([0.5] * 100, few_captions=[0.3]) == 0.15


def test_negatives_that_lie_on_training_images_are_told_what_to_give():
    message = (
        r"^negatives must not give training images back, got an l2 of 5e-05 to one for more of them than "
        r"--alpha allows; give prompts that were never trained on with --negatives\.$"
    )
    with pytest.raises(CalibrationError, match=message):
        choose_match_delta([0.00005] * 100)
