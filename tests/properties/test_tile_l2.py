"""What must hold of tile-l2, its bound and its graph for any images of any size."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_arrays import in_each_library

from memex_audit.extraction.block_sums import block_sums, candidate_graph, lower_bounds
from memex_audit.extraction.cliques import degree_core
from memex_audit.extraction.distances import l2_to_many, near_duplicate_graph, tile_l2, tile_l2_between

_library = in_each_library()


SIDES = st.integers(4, 70)


@st.composite
def image_sets(draw):
    """Between two and eight images: noise, extremes of 0 and 255, near-copies of the first, constants."""
    n, height, width = draw(st.integers(2, 8)), draw(SIDES), draw(SIDES)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    images = random.integers(0, 256, (n, height, width, 3), dtype=np.uint8)
    for i in range(1, n):
        kind = draw(st.sampled_from(["noise", "extremes", "copy", "near", "constant"]))
        if kind == "extremes":
            images[i] = 255 * random.integers(0, 2, images[i].shape)
        elif kind == "constant":
            images[i] = random.integers(0, 256)
        elif kind != "noise":
            reach = 0 if kind == "copy" else draw(st.integers(1, 60))
            shifted = images[0] + random.integers(-reach, reach + 1, images[0].shape)
            images[i] = np.clip(shifted, 0, 255)
    return images


DELTAS = st.floats(0.001, 1.0)
# A busy machine is no failure of the arithmetic.
unhurried = settings(deadline=None)


@unhurried
@given(images=image_sets())
def test_distances_are_symmetric_zero_on_the_diagonal_and_at_most_one(images):
    distances = tile_l2(images)
    assert (distances == distances.T).all()
    assert (distances.diagonal() == 0).all()
    assert ((distances >= 0) & (distances <= 1)).all()


@unhurried
@given(images=image_sets())
def test_the_matrix_agrees_with_the_integer_distance_of_each_pair_to_the_last_bit(images):
    distances = tile_l2(images)
    for i, image in enumerate(images):
        assert tile_l2_between(images[0], image) == distances[0, i]


@unhurried
@given(images=image_sets())
def test_the_worst_tile_is_never_nearer_than_the_image(images):
    assert (tile_l2(images)[0] >= l2_to_many(images[0], images) * (1 - 1e-12)).all()


@unhurried
@given(images=image_sets(), seed=st.integers(0, 1000))
def test_the_order_of_the_images_only_permutes_the_distances(images, seed):
    order = np.random.default_rng(seed).permutation(len(images))
    assert (tile_l2(images[order]) == tile_l2(images)[np.ix_(order, order)]).all()


@unhurried
@given(images=image_sets())
def test_negatives_and_mirror_images_of_divisible_sides_have_the_same_distances(images):
    height, width = (side - side % 4 for side in images.shape[1:3])
    cut = images[:, :height, :width]
    expected = tile_l2(cut)
    assert (tile_l2(255 - cut) == expected).all()
    assert (tile_l2(cut[:, ::-1]) == expected).all()
    assert (tile_l2(cut[:, :, ::-1]) == expected).all()


@unhurried
@given(images=image_sets())
def test_the_bound_is_nowhere_above_the_distance(images):
    bounds = lower_bounds(block_sums(images))
    assert (bounds <= tile_l2(images)).all()
    assert (bounds == bounds.T).all()


@unhurried
@given(images=image_sets(), delta=DELTAS)
def test_the_candidates_contain_every_edge(images, delta):
    edges = tile_l2(images) <= delta
    np.fill_diagonal(edges, val=False)
    candidates = candidate_graph(block_sums(images), delta)
    assert (candidates >= edges).all()
    assert (candidates == candidates.T).all()


@unhurried
@given(images=image_sets(), delta=DELTAS)
def test_the_graph_is_exactly_the_pairs_within_delta(images, delta):
    edges = tile_l2(images) <= delta
    np.fill_diagonal(edges, val=False)
    assert (near_duplicate_graph(images, delta) == edges).all()


@unhurried
@given(images=image_sets(), pick=st.integers(0, 10_000))
def test_the_graph_at_one_of_its_own_distances_holds_that_edge(images, pick):
    distances = tile_l2(images)[np.triu_indices(len(images), 1)]
    delta = distances[pick % len(distances)]
    if delta > 0:
        assert np.triu(near_duplicate_graph(images, delta)).sum() == (distances <= delta).sum()


@unhurried
@given(images=image_sets(), delta=DELTAS, clique_size=st.integers(2, 5))
def test_the_restricted_graph_is_the_core_of_the_whole_graph(images, delta, clique_size):
    core = degree_core(near_duplicate_graph(images, delta), clique_size - 1)
    assert (near_duplicate_graph(images, delta, clique_size=clique_size) == core).all()


@unhurried
@given(images=image_sets(), delta=DELTAS)
def test_a_function_that_loads_gives_the_same_graph_as_the_array(images, delta):
    sums = block_sums(images)
    loaded = near_duplicate_graph(lambda rows: images[rows], delta, sums=sums)
    assert (loaded == near_duplicate_graph(images, delta)).all()


@given(
    height=st.sampled_from([32, 33, 64, 250, 512, 1024]),
    width=st.sampled_from([32, 47, 100, 512, 1024]),
    reach=st.integers(1, 40),
    seed=st.integers(0, 1000),
)
@settings(max_examples=15, deadline=None)
def test_the_graph_is_exact_at_the_resolutions_of_real_models(height, width, reach, seed):
    random = np.random.default_rng(seed)
    first = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    near = np.clip(first + random.integers(-reach, reach + 1, first.shape), 0, 255).astype(np.uint8)
    images = np.stack([first, near])
    distance = tile_l2_between(first, near)
    assert tile_l2(images)[0, 1] == distance
    assert near_duplicate_graph(images, distance)[0, 1]
    assert not near_duplicate_graph(images, np.nextafter(distance, 0)).any()
