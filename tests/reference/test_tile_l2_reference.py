"""Tile-l2 against plain loops over Python integers and rational numbers, and against scipy."""

from fractions import Fraction
from math import isqrt

import numpy as np
import pytest
from kernel_arrays import in_each_library
from scipy.spatial.distance import pdist, squareform

from memex_audit.extraction.block_sums import block_sums, lower_bounds
from memex_audit.extraction.distances import l2_to_many, near_duplicate_graph, tile_l2

_library = in_each_library()


def tile_means(a, b):
    """Mean squared difference of each of the 16 tiles, as an exact fraction; pixels 0 to 255."""
    height, width, _ = a.shape
    means = []
    for i in range(4):
        for j in range(4):
            rows = range(i * height // 4, (i + 1) * height // 4)
            columns = range(j * width // 4, (j + 1) * width // 4)
            squares = [
                (int(a[y, x, c]) - int(b[y, x, c])) ** 2 for y in rows for x in columns for c in range(3)
            ]
            means.append(Fraction(sum(squares), len(squares)))
    return means


def decimal_root(mean):
    """Root of a fraction over 255, to 20 digits, by integer arithmetic."""
    scale = 10**40
    return isqrt(mean.numerator * scale // mean.denominator) / (255 * 10**20)


@pytest.fixture(params=[(4, 4), (8, 12), (33, 47), (30, 21)])
def images(request):
    height, width = request.param
    random = np.random.default_rng(height)
    images = random.integers(0, 256, (6, height, width, 3), dtype=np.uint8)
    images[2] = np.clip(images[1] + random.integers(-9, 10, images[1].shape), 0, 255)
    images[3] = 255 * (images[0] > 127)
    images[4] = 0
    images[5] = 255
    return images


def test_the_distance_is_that_of_a_loop_over_python_integers(images):
    got = tile_l2(images)
    for i in range(6):
        for j in range(6):
            assert got[i, j] == pytest.approx(
                decimal_root(max(tile_means(images[i], images[j]))), rel=1e-15, abs=0
            )


@pytest.mark.parametrize("delta", [0.02, 0.03, 0.3, 0.5])
def test_edges_are_those_of_rational_arithmetic(images, delta):
    limit = (Fraction(delta) * 255) ** 2
    expected = [
        [i != j and max(tile_means(images[i], images[j])) <= limit for j in range(6)] for i in range(6)
    ]
    assert near_duplicate_graph(images, delta).tolist() == expected


def test_the_bound_is_jensens_over_blocks_that_are_summed_by_a_loop():
    """64 x 64: tiles of 16 in blocks of 4, so that block (i, j) is pixels 4 i to 4 i + 3."""
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    images[1] //= 3
    blocks = images.reshape(2, 16, 4, 16, 4, 3).astype(int).sum(axis=(2, 4))
    assert block_sums(images).sums.reshape(2, 16, 16, 3).tolist() == blocks.tolist()
    squared = (blocks[0] - blocks[1]) ** 2 / 16
    tiles = squared.reshape(4, 4, 4, 4, 3).sum(axis=(1, 3, 4)) / (16 * 16 * 3)
    assert lower_bounds(block_sums(images))[0, 1] == pytest.approx(np.sqrt(tiles.max()) / 255, rel=1e-7)


def test_distances_agree_with_scipy_tile_by_tile():
    images = np.random.default_rng(1).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    images[1:20] //= 2
    tiles = images.reshape(40, 4, 16, 4, 16, 3).transpose(1, 3, 0, 2, 4, 5).reshape(16, 40, -1)
    expected = np.max([squareform(pdist(tile / 255.0)) for tile in tiles], axis=0) / np.sqrt(16 * 16 * 3)
    np.testing.assert_allclose(tile_l2(images), expected, rtol=1e-12, atol=0)


def test_l2_agrees_with_numpy_in_float64():
    images = np.random.default_rng(2).integers(0, 256, (9, 20, 30, 3), dtype=np.uint8)
    scaled = images / 255.0
    expected = np.sqrt(((scaled - scaled[0]) ** 2).mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(l2_to_many(images[0], images), expected, rtol=1e-12)
