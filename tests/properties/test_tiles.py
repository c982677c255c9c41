"""What must hold of the tile grid and of the blocks in it for images of any size."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from memex_audit.extraction.block_sums import n_blocks
from memex_audit.extraction.tiles import block_edges, tile_edges, tile_windows

sides = st.integers(4, 3000)
small = st.integers(4, 90)


@given(sides)
def test_the_tiles_of_a_side_cover_it_and_differ_by_at_most_one_pixel(side):
    edges = tile_edges(side)
    lengths = [stop - start for start, stop in pairwise(edges)]
    assert (edges[0], edges[-1], len(edges)) == (0, side, 5)
    assert max(lengths) - min(lengths) <= 1
    assert min(lengths) >= 1


@given(sides)
def test_a_block_lies_in_one_tile_and_its_sum_fits_uint16(side):
    edges = block_edges(side)
    assert set(tile_edges(side)) <= set(edges)
    lengths = [stop - start for start, stop in pairwise(edges)]
    assert min(lengths) >= 1
    assert max(lengths) ** 2 * 255 <= np.iinfo(np.uint16).max


@given(sides)
def test_a_tile_has_four_blocks_or_more_where_it_has_four_pixels(side):
    edges = block_edges(side)
    for start, stop in pairwise(tile_edges(side)):
        blocks = sum(start <= edge < stop for edge in edges)
        assert blocks >= min(4, stop - start)


@given(small, small)
def test_every_pixel_lies_in_one_tile_and_in_one_block(height, width):
    seen = np.zeros((height, width), dtype=int)
    for window in tile_windows(height, width):
        seen[window] += 1
    assert (seen == 1).all()
    assert n_blocks(height, width) <= height * width


@given(small, small)
def test_turning_an_image_turns_its_grid(height, width):
    turned = [(columns, rows) for rows, columns in tile_windows(width, height)]
    assert sorted(map(str, turned)) == sorted(map(str, tile_windows(height, width)))
    assert n_blocks(height, width) == n_blocks(width, height)
