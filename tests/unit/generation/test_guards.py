"""What is no picture is set aside before it can look like a replica."""

import numpy as np
import pytest

from memex_audit.generation.guards import flat_reason, to_bytes


def noise(shape=(8, 8, 3)):
    return np.random.default_rng(0).random(shape, dtype=np.float32)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_value_that_is_not_finite_sets_a_picture_aside(value):
    pixels = noise()
    pixels[3, 4, 1] = value
    assert to_bytes(pixels) == (None, "not finite")


def test_a_black_picture_is_blank():
    assert to_bytes(np.zeros((8, 8, 3), np.float32)) == (None, "blank")


def test_a_picture_of_one_colour_is_blank():
    assert to_bytes(np.full((8, 8, 3), [0.2, 0.5, 0.9], np.float32)) == (None, "blank")


def test_one_level_of_dither_on_a_flat_colour_is_blank():
    image = np.random.default_rng(1).integers(100, 102, (16, 16, 3), dtype=np.uint8)
    assert flat_reason(image) == "blank"


def test_a_picture_that_varies_in_one_channel_only_is_kept():
    image = np.zeros((8, 8, 3), np.uint8)
    image[:4, :, 2] = 40
    assert flat_reason(image) is None


@pytest.mark.parametrize(
    ("shape", "reason"),
    [((8, 8), "shape (8, 8)"), ((8, 8, 4), "shape (8, 8, 4)"), ((1, 8, 8, 3), "shape (1, 8, 8, 3)")],
)
def test_a_wrong_shape_is_named(shape, reason):
    assert to_bytes(noise(shape)) == (None, reason)


def test_levels_are_rounded_to_the_nearest_and_clipped():
    pixels = noise()
    pixels[0, 0] = (0.5, 1.0, 0.0)
    pixels[0, 1] = (-0.2, 1.7, 0.0039)
    image, reason = to_bytes(pixels)
    assert reason is None
    assert image.dtype == np.uint8
    assert image[0, 0].tolist() == [128, 255, 0]  # 127.5 rounds to the even 128
    assert image[0, 1].tolist() == [0, 255, 1]
