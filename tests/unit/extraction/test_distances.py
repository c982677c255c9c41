"""Distances, block sums and the near-duplicate graph on images small enough to work out by hand."""

import numpy as np
import pytest
from kernel_arrays import in_each_library

from memex_audit.errors import ConfigurationError
from memex_audit.extraction.block_sums import BlockSums, block_sums, candidate_graph, lower_bounds, n_blocks
from memex_audit.extraction.distances import (
    l2,
    l2_between,
    l2_to_many,
    near_duplicate_graph,
    tile_l2,
    tile_l2_between,
)
from memex_audit.extraction.tiles import block_edges, tile_edges

_library = in_each_library()


def blank(n, height=8, width=8, value=0):
    return np.full((n, height, width, 3), value, dtype=np.uint8)


def noise(n, height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


def one_tile_apart(value, n=2):
    """Black images of 8 x 8; in the last, one of the 16 tiles (2 x 2 pixels) has this value."""
    images = blank(n)
    images[-1, 2:4, 4:6] = value
    return images


def test_l2_of_black_and_white_is_one():
    assert l2(blank(1)[0], blank(1, value=255)[0]) == 1.0


def test_l2_is_a_root_mean_square():
    a = blank(1)[0]
    b = a.copy()
    b[0, 0] = (255, 0, 0)  # one of 192 values differs by 1: sqrt(1 / 192)
    assert l2(a, b) == pytest.approx(0.07216878364870323, abs=1e-15)


def test_l2_to_many_gives_one_distance_an_image_in_order():
    others = np.concatenate([blank(1, value=v) for v in (0, 51, 255)])  # 51 / 255 = 0.2
    assert l2_to_many(blank(1)[0], others).tolist() == [0.0, 0.2, 1.0]


def test_l2_to_many_of_none_is_empty():
    assert l2_to_many(blank(1)[0], blank(0)).shape == (0,)


def test_l2_to_many_is_the_same_when_it_takes_more_strips(monkeypatch):
    images = noise(7, 9, 5)
    whole = l2_to_many(images[0], images)
    monkeypatch.setattr("memex_audit.extraction.distances.STRIP", 17)
    assert l2_to_many(images[0], images).tolist() == whole.tolist()


def test_tile_l2_is_the_distance_of_the_worst_tile_and_not_of_the_image():
    images = one_tile_apart(51)
    assert tile_l2(images).tolist() == [[0.0, 0.2], [0.2, 0.0]]
    assert l2(*images) == pytest.approx(0.05)  # a sixteenth of the squares: a quarter of the root


def test_the_same_grey_background_does_not_make_near_duplicates():
    images = blank(2, 64, 64, value=128)
    images[0, 16:32, 16:32] = 0
    images[1, 16:32, 16:32] = 255
    assert l2(*images) == 0.25
    assert tile_l2_between(*images) == 1.0


def test_tile_l2_between_agrees_with_the_matrix_to_the_last_bit():
    images = noise(3, 33, 47)
    assert tile_l2_between(images[0], images[2]) == tile_l2(images)[0, 2]


def test_black_against_white_is_exactly_one_where_a_float32_sum_would_have_rounded():
    images = np.concatenate([blank(1, 260, 260), blank(1, 260, 260, value=255)])
    assert tile_l2(images)[0, 1] == 1.0


def test_one_grey_level_in_one_pixel_is_seen_at_1024():
    images = blank(2, 1024, 1024, value=255)
    images[1, 1023, 1023, 2] = 254
    # one of 256 * 256 * 3 values differs by 1 of 255: a float32 Gram matrix returns 0 here
    assert tile_l2(images)[0, 1] == pytest.approx(1 / (255 * 443.40500673763256), rel=1e-12)


def test_no_images_have_no_distances():
    assert tile_l2(blank(0)).shape == (0, 0)
    assert near_duplicate_graph(blank(0), 0.1).shape == (0, 0)


@pytest.mark.parametrize("side", [4, 5, 6, 7, 33, 47, 511, 1023])
def test_tiles_cover_a_side_and_differ_by_at_most_a_pixel(side):
    edges = tile_edges(side)
    assert (edges[0], edges[-1], len(edges)) == (0, side, 5)
    assert np.ptp(np.diff(edges)) <= 1


@pytest.mark.parametrize("side", [4, 5, 6, 7, 33, 47, 511, 1023])
def test_blocks_nest_in_tiles_and_are_at_most_16_pixels(side):
    edges = block_edges(side)
    assert set(tile_edges(side)) <= set(edges)
    assert np.diff(edges).min() >= 1
    assert np.diff(edges).max() <= 16


def test_block_sums_of_white_fit_uint16():
    assert np.unique(block_sums(blank(1, 64, 512, value=255)).sums).tolist() == [255 * 4 * 16]
    assert np.unique(block_sums(blank(1, 512, 512, value=255)).sums).tolist() == [65280]


def test_block_sums_add_up_to_the_sum_of_the_image():
    images = noise(3, 37, 150)
    assert block_sums(images).sums.sum(axis=1).tolist() == images.sum(axis=(1, 2)).tolist()


def test_block_sums_are_rebuilt_from_an_array_and_the_size_of_the_images():
    made = block_sums(noise(3, 40, 72))
    stored = np.frombuffer(made.sums.tobytes(), dtype=np.uint16).reshape(3, n_blocks(40, 72), 3)
    again = BlockSums(sums=stored, height=40, width=72)
    assert lower_bounds(again).tolist() == lower_bounds(made).tolist()


def test_block_sums_of_another_size_are_refused():
    with pytest.raises(ConfigurationError, match=r"block sums of 64 x 64 images must be uint16 of shape"):
        BlockSums(sums=block_sums(noise(1, 512, 512)).sums, height=64, width=64)


def test_the_bound_is_the_distance_where_images_differ_by_a_constant():
    images = np.concatenate([blank(1, 64, 64, value=10), blank(1, 64, 64, value=61)])
    assert lower_bounds(block_sums(images))[0, 1] == pytest.approx(0.2, abs=1e-8)


def test_candidates_hold_an_edge_at_exactly_delta():
    images = np.concatenate([blank(1, 64, 64, value=10), blank(1, 64, 64, value=61)])
    assert candidate_graph(block_sums(images), 0.2).tolist() == [[False, True], [True, False]]


def test_an_edge_at_exactly_delta_is_an_edge_and_one_just_above_is_none():
    images = noise(2, 32, 32)
    distance = tile_l2(images)[0, 1]
    assert near_duplicate_graph(images, distance)[0, 1]
    assert not near_duplicate_graph(images, np.nextafter(distance, 0))[0, 1]


def test_no_image_is_its_own_neighbor():
    assert not near_duplicate_graph(blank(3), 1.0).diagonal().any()


def test_an_edge_holds_only_if_every_tile_is_near():
    assert near_duplicate_graph(one_tile_apart(51), 0.2)[0, 1]
    assert not near_duplicate_graph(one_tile_apart(52), 0.2)[0, 1]


def test_the_graph_for_cliques_of_three_is_the_two_core():
    """Greys 0 10 20 | 100 110 | 200, edges up to 20 grey levels: a triangle, a pair, a single."""
    images = np.concatenate([blank(1, value=v) for v in (0, 100, 10, 200, 20, 110)])
    delta = 20 / 255
    assert np.argwhere(np.triu(near_duplicate_graph(images, delta))).tolist() == [
        [0, 2],
        [0, 4],
        [1, 5],
        [2, 4],
    ]
    core = near_duplicate_graph(images, delta, clique_size=3)
    assert np.argwhere(np.triu(core)).tolist() == [[0, 2], [0, 4], [2, 4]]
    assert not near_duplicate_graph(images, delta, clique_size=4).any()


def test_pixels_are_not_loaded_where_block_sums_leave_no_core():
    images = np.concatenate([blank(2), blank(1, value=255)])

    def load(rows):
        raise AssertionError(f"rows {rows} were loaded")

    graph = near_duplicate_graph(load, 0.1, sums=block_sums(images), clique_size=3)
    assert not graph.any()


def test_only_the_images_of_a_connected_group_are_loaded_together():
    images = np.concatenate([blank(1, value=v) for v in (0, 200, 1, 100, 201)])
    loaded = []

    def load(rows):
        loaded.append(rows.tolist())
        return images[rows]

    graph = near_duplicate_graph(load, 0.1, sums=block_sums(images))
    assert loaded == [[0, 2], [1, 4]]
    assert graph.tolist() == near_duplicate_graph(images, 0.1).tolist()


def test_candidates_with_equal_block_sums_are_told_apart_by_their_pixels():
    images = blank(2, 64, 64)
    images[0, ::2] = 255
    images[1, 1::2] = 255
    assert candidate_graph(block_sums(images), 0.1)[0, 1]
    assert not near_duplicate_graph(images, 0.1).any()


@pytest.mark.parametrize("delta", [0, -0.1, 1.7, float("nan")])
def test_a_delta_outside_of_0_to_1_is_refused(delta):
    with pytest.raises(
        ConfigurationError, match=rf"`delta` must be in \(0, 1\], got delta={delta}\. Distances"
    ):
        near_duplicate_graph(blank(2), delta)


def test_a_clique_size_below_two_is_refused():
    with pytest.raises(ConfigurationError, match="`clique_size` must be at least 2, got clique_size=1"):
        near_duplicate_graph(blank(2), 0.1, clique_size=1)


def test_a_function_without_block_sums_is_refused():
    with pytest.raises(
        ConfigurationError,
        match=r"^`sums` must be given where images are loaded by a function; make them with block_sums when "
        r"the images are made\.$",
    ):
        near_duplicate_graph(lambda rows: blank(2)[rows], 0.1)


def test_block_sums_of_fewer_images_are_refused():
    with pytest.raises(ConfigurationError, match="got 2 block sums for 3 images"):
        near_duplicate_graph(blank(3), 0.1, sums=block_sums(blank(2)))


def test_images_of_another_size_than_their_block_sums_are_refused():
    with pytest.raises(ConfigurationError, match=r"uint8 of shape \(n, 8, 8, 3\) like their block sums"):
        near_duplicate_graph(lambda rows: blank(len(rows), 16, 16), 0.1, sums=block_sums(blank(2)))


@pytest.mark.parametrize("images", [blank(2).astype(np.float32), blank(2)[0], blank(2)[..., :1]])
def test_images_that_are_not_uint8_n_h_w_3_are_refused(images):
    with pytest.raises(ConfigurationError, match=r"images must be uint8 of shape \(n, h, w, 3\), got"):
        tile_l2(images)


def test_images_smaller_than_the_grid_are_refused():
    with pytest.raises(ConfigurationError, match="at least 4 pixels high and wide, got a side of 3"):
        tile_l2(blank(2, 3, 8))


@pytest.mark.parametrize("distance", [l2, tile_l2_between])
def test_two_images_of_different_shapes_are_refused(distance):
    with pytest.raises(ConfigurationError, match=r"must have one shape and dtype, got uint8 \(8, 8, 3\) and"):
        distance(blank(1)[0], blank(1, 8, 16)[0])


def test_block_sums_of_another_type_alone_are_refused():
    sums = np.zeros((2, n_blocks(64, 32), 3))
    message = (
        r"block sums of 64 x 32 images must be uint16 of shape \(n, 256, 3\), got float64 of shape "
        r"\(2, 256, 3\)\. They belong to images of another size or to another version; make them again\.$"
    )
    with pytest.raises(ConfigurationError, match=message):
        BlockSums(sums=sums, height=64, width=32)


def test_two_images_of_different_shapes_are_told_what_to_do():
    with pytest.raises(ConfigurationError, match=r"\(8, 8, 3\) and uint8 \(8, 9, 3\); resize one of them\.$"):
        l2(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8))


@pytest.mark.parametrize("shape", [(3, 8, 3), (8, 3, 3)])
def test_a_side_below_four_is_refused_wherever_it_is(shape):
    with pytest.raises(ConfigurationError, match="got a side of 3"):
        l2(np.zeros(shape, np.uint8), np.zeros(shape, np.uint8))


def test_sums_of_a_strip_of_dark_pixels_are_exact():
    # Centred by 128 the products of 1,024 of them sum to at most 2^24; by 129 an odd sum is lost.
    dark = np.random.default_rng(0).integers(0, 2, (12, 80, 80, 3), dtype=np.uint8)
    distances = tile_l2(dark)
    for i in range(12):
        assert tile_l2_between(dark[0], dark[i]) == distances[0, i]


def test_distances_of_dark_pictures_to_others_are_exact():
    dark = np.random.default_rng(1).integers(0, 2, (12, 20, 20, 3), dtype=np.uint8)
    for image, row in zip(dark[:6], l2_between(dark[:6], dark[6:]), strict=True):
        assert (l2_to_many(image, dark[6:]) == row).all()
