import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from memex_audit.exhibits import Exhibit
from memex_audit.reporting.figures import (
    MOST_BYTES,
    evidence_sheet,
    mosaic_of,
    original_pictures,
    pairs_sheet,
)


def noise(n, height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


def exhibit_of(n=3, height=64, width=64, *, matched=True):
    pictures = noise(n + 1, height, width)
    return Exhibit(generations=pictures[:n], training_image=pictures[n] if matched else None)


def decoded(sheet):
    return np.asarray(Image.open(io.BytesIO(sheet)).convert("RGB"))


def least_crop_error(sheet, pictures, step=8):
    """Mean absolute error of the original 8 x 8 crop that comes nearest to any place of the sheet."""
    windows = np.lib.stride_tricks.sliding_window_view(sheet[..., 1].astype(np.float32), (8, 8))
    windows = windows.reshape(-1, 64)
    squares = (windows**2).sum(1)
    least = np.inf
    for picture in pictures:
        for top in range(0, picture.shape[0] - 7, step):
            for left in range(0, picture.shape[1] - 7, step):
                crop = picture[top : top + 8, left : left + 8, 1].astype(np.float32).ravel()
                error = (squares - 2 * windows @ crop + (crop**2).sum()).min() / 64
                least = min(least, float(error) ** 0.5)
    return least


# Panels are 112 pixels, so pictures of 112 are shown at their own scale where they are shown at all.
def test_no_crop_of_the_originals_is_in_a_mosaic_sheet():
    exhibit = exhibit_of(n=2, height=112, width=112)
    originals = [*exhibit.generations, exhibit.training_image]
    assert least_crop_error(decoded(evidence_sheet(exhibit)), originals, step=28) > 50


def test_the_search_for_crops_does_find_them_where_the_originals_are_shown():
    exhibit = exhibit_of(n=2, height=112, width=112)
    sheet = decoded(evidence_sheet(exhibit, mosaic=False))
    assert least_crop_error(sheet, exhibit.generations, step=28) < 40


@pytest.mark.parametrize("mosaic", [True, False])
@pytest.mark.parametrize("n", [1, 8, 40])
def test_a_sheet_of_noise_stays_under_60_kib(n, mosaic):
    sheet = evidence_sheet(exhibit_of(n=n, height=96, width=96), mosaic=mosaic)
    assert len(sheet) < MOST_BYTES
    assert Image.open(io.BytesIO(sheet)).format == "JPEG"


def test_a_sheet_has_a_panel_for_each_generation_the_training_image_and_the_difference():
    one, with_match = exhibit_of(n=8, matched=False), exhibit_of(n=8)
    assert decoded(evidence_sheet(one)).shape[1] == 8 + 8 * 120
    assert decoded(evidence_sheet(with_match)).shape[1] == 8 + 10 * 120


def test_the_nearest_generation_is_shown_whichever_it_is():
    pictures = np.zeros((12, 32, 32, 3), np.uint8)
    pictures[11] = (0, 0, 255)
    sheet = decoded(evidence_sheet(Exhibit(generations=pictures, training_image=pictures[11])))
    blue = (sheet[100, :, 2] > 200) & (sheet[100, :, 0] < 60)
    # Two blue panels: the nearest generation and the training image; their difference is black.
    assert blue.sum() == pytest.approx(2 * 112, abs=12)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40))
def test_a_mosaic_has_at_most_8_cells_a_side_and_two_pixels_a_cell(height, width):
    mosaic = mosaic_of(noise(1, height, width)[0])
    assert mosaic.shape[0] == max(1, min(8, height // 2))
    assert mosaic.shape[1] == max(1, min(8, width // 2))


def test_a_cell_is_the_mean_of_its_pixels():
    picture = noise(1, 16, 16)[0]
    assert mosaic_of(picture)[0, 1].tolist() == np.rint(picture[:2, 2:4].mean(axis=(0, 1))).tolist()


def test_original_pictures_are_pixel_for_pixel_and_by_name():
    exhibit = exhibit_of(n=2, height=20, width=30)
    pictures = original_pictures(exhibit)
    assert sorted(pictures) == [
        "difference.png", "generation-001.png", "generation-002.png", "training-image.png",
    ]  # fmt: skip
    assert (decoded(pictures["training-image.png"]) == exhibit.training_image).all()
    assert (decoded(pictures["generation-002.png"]) == exhibit.generations[1]).all()


def test_without_a_match_only_generations_are_written():
    assert list(original_pictures(exhibit_of(n=1, matched=False))) == ["generation-001.png"]


def test_a_sheet_of_several_images_has_a_row_for_each_of_the_first_eight():
    heights = [decoded(pairs_sheet([exhibit_of()] * n, n)).shape[0] for n in (1, 2, 8, 9)]
    assert heights[1] == 2 * heights[0]
    assert heights[2] == heights[3] == 8 * heights[0]
    assert len(pairs_sheet([exhibit_of(height=512, width=512)] * 20, 20, mosaic=False)) < MOST_BYTES


def test_no_crop_of_the_originals_is_in_a_sheet_of_several_images():
    exhibit = exhibit_of(n=2, height=112, width=112)
    originals = [*exhibit.generations, exhibit.training_image]
    assert least_crop_error(decoded(pairs_sheet([exhibit] * 2, 2)), originals, step=28) > 50
    shown = decoded(pairs_sheet([exhibit] * 2, 2, mosaic=False))
    assert least_crop_error(shown, originals, step=28) < 30
