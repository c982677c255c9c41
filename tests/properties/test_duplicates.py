"""What must hold of duplication counts and groups for any unit vectors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vector_sets import unit_vectors

from memex_audit.training_set import exact_join
from memex_audit.training_set.duplicates import find_duplicates
from memex_audit.training_set.vectors import ArrayVectors, screening_margin

unhurried = settings(deadline=None)
similarities = st.sampled_from([0.05, 0.5, 0.9, 0.95, 0.999, 1.0])


@pytest.fixture(autouse=True, scope="module")
def small_tiles():
    """Sets of a tile, of one vector more, and of several tiles."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact_join, "TILE", 5)
        yield


def exact_cosines(vectors):
    wide = vectors.astype(np.longdouble)
    wide /= np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    return wide @ wide.T


@unhurried
@given(unit_vectors(), similarities)
def test_the_counts_are_those_of_brute_force(vectors, similarity):
    # The bound is not sharp to the last bit: a cosine within 1e-9 of the similarity counts as reaching it.
    cosines = exact_cosines(vectors) + 3 * np.eye(len(vectors))
    counts = find_duplicates(vectors, similarity).counts
    assert ((cosines >= similarity).sum(axis=1) <= counts).all()
    assert (counts <= (cosines >= similarity - 2e-9).sum(axis=1)).all()


@unhurried
@given(unit_vectors(), similarities)
def test_a_group_is_one_leader_and_images_near_it_and_no_leader_is_near_another(vectors, similarity):
    found, cosines = find_duplicates(vectors, similarity), exact_cosines(vectors)
    leaders = []
    for group in range(found.groups.max(initial=-1) + 1):
        rows = np.flatnonzero(found.groups == group)
        leaders.append(min(rows, key=lambda row: (-found.counts[row], row)))
        assert (cosines[leaders[-1], rows] >= similarity - 2e-9).all()
    among = cosines[np.ix_(leaders, leaders)] - 3 * np.eye(len(leaders))
    assert not (among >= similarity).any()


@unhurried
@given(unit_vectors(), similarities)
def test_a_unique_image_is_alone_and_no_group_is_larger_than_its_largest_count(vectors, similarity):
    found = find_duplicates(vectors, similarity)
    sizes = np.bincount(found.groups, minlength=1)
    assert (sizes[found.groups[found.counts == 1]] == 1).all()
    assert all(found.counts[found.groups == group].max() >= size for group, size in enumerate(sizes) if size)


@unhurried
@given(unit_vectors(), similarities, similarities)
def test_a_higher_similarity_finds_no_more(vectors, one, other):
    low, high = sorted((one, other))
    assert (find_duplicates(vectors, high).counts <= find_duplicates(vectors, low).counts).all()


@unhurried
@given(unit_vectors(), similarities, st.randoms(use_true_random=False))
def test_renumbering_the_images_renumbers_counts_and_groups_and_nothing_else(vectors, similarity, random):
    order = np.array(random.sample(range(len(vectors)), len(vectors)), dtype=int)
    ids = [f"{row:02}" for row in range(len(vectors))]
    found = find_duplicates(vectors, similarity, example_ids=ids)
    moved = find_duplicates(vectors[order], similarity, example_ids=[ids[row] for row in order])
    np.testing.assert_array_equal(moved.counts, found.counts[order])
    before = found.groups[order]
    np.testing.assert_array_equal(moved.groups[:, None] == moved.groups, before[:, None] == before)


@unhurried
@given(unit_vectors(), similarities)
def test_components_hang_together_by_near_copies_and_by_nothing_else(vectors, similarity):
    tally = exact_join.join_exactly(ArrayVectors(vectors), similarity, screening_margin(vectors))
    near = exact_cosines(vectors) >= similarity - 1e-9
    reached = near | np.eye(len(vectors), dtype=bool)
    for _ in vectors:
        reached = reached @ reached
    components = tally.components()
    np.testing.assert_array_equal(components[:, None] == components, reached)
