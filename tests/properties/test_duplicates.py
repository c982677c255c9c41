"""What must hold of duplication counts and groups for every graph of near-copies."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from memex_audit.training_set.duplicates import count_duplicates, find_duplicates, group_images


@st.composite
def graphs(draw):
    """Draw a number of images and distinct pairs i < j of them."""
    n = draw(st.integers(1, 12))
    every = [(i, j) for i in range(n) for j in range(i + 1, n)]
    pairs = draw(st.lists(st.sampled_from(every), unique=True)) if every else []
    return n, np.array(pairs, dtype=np.int64).reshape(-1, 2)


@given(graphs())
def test_a_count_is_at_least_one_and_at_most_the_size_of_the_group(graph):
    n, pairs = graph
    counts, groups = count_duplicates(pairs, n), group_images(pairs, n)
    assert (counts >= 1).all()
    assert (counts <= np.bincount(groups)[groups]).all()


@given(graphs())
def test_the_counts_above_one_sum_to_twice_the_pairs(graph):
    n, pairs = graph
    assert (count_duplicates(pairs, n) - 1).sum() == 2 * len(pairs)


@given(graphs(), st.randoms(use_true_random=False))
def test_renumbering_the_images_renumbers_counts_and_groups_and_nothing_else(graph, random):
    n, pairs = graph
    place = np.array(random.sample(range(n), n))
    moved = place[pairs]
    np.testing.assert_array_equal(count_duplicates(moved, n)[place], count_duplicates(pairs, n))
    before, after = group_images(pairs, n), group_images(moved, n)[place]
    np.testing.assert_array_equal(before[:, None] == before, after[:, None] == after)


@given(graphs())
def test_neighbors_share_a_group_and_a_unique_image_is_alone(graph):
    n, pairs = graph
    counts, groups = count_duplicates(pairs, n), group_images(pairs, n)
    assert (groups[pairs[:, 0]] == groups[pairs[:, 1]]).all()
    assert (np.bincount(groups)[groups[counts == 1]] == 1).all()


@given(graphs(), st.lists(st.integers(0, 66), max_size=5))
@settings(max_examples=50)
def test_cutting_the_pairs_into_blocks_changes_nothing(graph, cuts):
    n, pairs = graph
    blocks = np.split(pairs, sorted(min(cut, len(pairs)) for cut in cuts))
    found = find_duplicates(iter(blocks), n)
    np.testing.assert_array_equal(found.counts, count_duplicates(pairs, n))
    np.testing.assert_array_equal(found.groups, group_images(pairs, n))


@given(st.integers(3, 12))
def test_a_chain_does_not_inflate_counts(n):
    chain = np.array([(i, i + 1) for i in range(n - 1)])
    assert count_duplicates(chain, n).tolist() == [2, *[3] * (n - 2), 2]
    assert (group_images(chain, n) == 0).all()
