"""Bringing a training image to a generation's size, as training would have."""

import numpy as np
import pytest
from PIL import Image

from memex_audit.extraction.block_sums import block_sums
from memex_audit.extraction.distances import l2_between
from memex_audit.extraction.fitting import STEP, cover, cut_at, fit_to, nearest_cuts
from memex_audit.extraction.matching import Matcher
from memex_audit.extraction.reduction import l2_lower_bounds


def photograph(height, width, seed=0):
    """Smooth, as photographs are, with detail of a few pixels."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


class One:
    def __init__(self, pixels):
        self.pixels = pixels

    def load(self, example_ids):
        return [self.pixels for _ in example_ids]


def matcher(pixels, crop):
    def never():
        raise AssertionError("nothing is to be embedded")

    return Matcher(One(pixels), never, never, crop=crop)


@pytest.mark.parametrize("crop", ["center", "random", "squash"])
def test_an_image_of_the_right_size_is_left_as_it_is(crop):
    pixels = photograph(32, 48)
    assert fit_to(pixels, 32, 48, crop) is pixels


def test_at_the_centre_as_much_is_cut_off_at_either_side():
    wide = np.zeros((16, 48, 3), np.uint8)
    wide[:, 16:32] = 200
    assert (fit_to(wide, 16, 16) == 200).all()
    tall = wide.transpose(1, 0, 2)
    assert (fit_to(np.ascontiguousarray(tall), 16, 16) == 200).all()


def test_squashed_nothing_is_cut_off():
    wide = np.zeros((16, 64, 3), np.uint8)
    wide[:, 32:] = 200
    squashed = fit_to(wide, 16, 16, "squash")
    assert squashed.shape == (16, 16, 3)
    assert squashed[:, :6].max() < 20
    assert squashed[:, 10:].min() > 180


def test_a_smaller_image_is_enlarged_as_training_enlarges_it():
    small = photograph(32, 32)
    enlarged = np.asarray(Image.fromarray(small).resize((64, 64), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(fit_to(small, 64, 64), enlarged)
    np.testing.assert_array_equal(cover(small, 64, 64), enlarged)


@pytest.mark.parametrize("place", [0, 1, 13, 37, 64])
@pytest.mark.parametrize("tall", [False, True])
def test_a_picture_that_was_cut_anywhere_is_found_where_it_was_cut(place, tall):
    image = photograph(64, 128)
    image = np.ascontiguousarray(image.transpose(1, 0, 2)) if tall else image
    picture = cut_at(image, 64, 64, place)
    near = matcher(image, "random").distances_to(picture[None], ["a"]).distances[0, 0]
    centre = matcher(image, "center").distances_to(picture[None], ["a"]).distances[0, 0]
    assert near == 0
    assert centre > 0.1 or place == 32
    found = matcher(image, "random").training_image("a", 64, 64, picture[None])
    np.testing.assert_array_equal(found, picture)


def test_each_picture_is_compared_at_its_own_place():
    image = photograph(32, 96)
    pictures = np.stack([cut_at(image, 32, 32, place) for place in (5, 50)])
    np.testing.assert_array_equal(matcher(image, "random").distances_to(pictures, ["a", "b"]).distances, 0)


def test_the_distance_at_the_best_place_is_never_more_than_at_the_centre():
    image, others = photograph(48, 80), photograph(48, 48, seed=1)[None]
    near = matcher(image, "random").distances_to(others, ["a"]).distances
    assert (near <= matcher(image, "center").distances_to(others, ["a"]).distances).all()


def test_bounds_lie_under_the_distance_at_every_place():
    image, others = photograph(48, 48 + 3 * STEP, seed=2), photograph(48, 48, seed=3)[None]
    bound = matcher(image, "random").bounds_to(block_sums(others), ["a"]).distances[0, 0]
    cuts = [cut_at(image, 48, 48, place) for place in range(3 * STEP + 1)]
    exact = l2_between(others, np.stack(cuts))
    assert bound <= exact.min()
    bounds = l2_lower_bounds(block_sums(others), block_sums(np.stack(cuts)))
    assert bound == bounds.min()


def test_a_mirrored_picture_that_was_cut_anywhere_is_found():
    image = photograph(64, 128)
    picture = np.ascontiguousarray(cut_at(image, 64, 64, 11)[:, ::-1])
    near = matcher(image, "random").distances_to_altered(picture[None], ["a"])
    assert near["mirrored"].distances[0, 0] == 0
    bound = matcher(image, "random").bounds_to_altered(block_sums(picture[None]), ["a"])
    assert bound["mirrored"].distances[0, 0] == 0


def test_a_square_image_has_one_place():
    image = photograph(40, 40)
    seen = []

    def compare(cuts):
        seen.append(len(cuts))
        return np.zeros((1, len(cuts)))

    nearest_cuts(cover(image, 20, 20), 20, 20, compare)
    assert seen == [1]


def test_many_places_are_not_all_in_memory(monkeypatch):
    from memex_audit.extraction import fitting

    monkeypatch.setattr(fitting, "CUT_BYTES", 3 * 16 * 16 * 3)
    sizes = []

    def compare(cuts):
        sizes.append(len(cuts))
        return np.zeros((1, len(cuts)))

    nearest_cuts(photograph(16, 160), 16, 16, compare, every=True)
    assert max(sizes) == 3
    assert sum(sizes) == 145
