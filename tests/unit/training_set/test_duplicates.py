import numpy as np
import pytest

from memex_audit.errors import EmbedderError, TrainingSetError
from memex_audit.training_set import exact_join, leaders, near_pairs
from memex_audit.training_set.duplicates import find_duplicates
from memex_audit.training_set.near_pairs import Tally
from memex_audit.training_set.vectors import ArrayVectors


def on_circle(*degrees):
    """Unit vectors at these angles."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def near_copies_of_one(n, d=8, seed=0):
    """Vectors that are all near-copies of each other, at cosines of 0.98 and more."""
    random = np.random.default_rng(seed)
    vectors = np.eye(1, d) + 0.02 * random.standard_normal((n, d))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


# Near-copies are at most 10 degrees apart.
TEN = float(np.cos(np.radians(10.001)))


def test_a_chain_does_not_inflate_the_counts_of_its_ends():
    found = find_duplicates(on_circle(0, 10, 20), TEN)
    assert found.counts.tolist() == [2, 3, 2]
    assert found.groups.tolist() == [0, 0, 0]


def test_a_long_chain_is_many_groups_each_of_images_near_one():
    found = find_duplicates(on_circle(*range(0, 90, 10)), TEN)
    assert found.counts.tolist() == [2, *[3] * 7, 2]
    assert found.groups.tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 3]


def test_of_images_with_as_many_near_copies_the_first_by_id_leads():
    # 10 and 20 degrees have three each; whoever leads takes its neighbors, and the other end is alone.
    chain = on_circle(0, 10, 20, 30)
    assert find_duplicates(chain, TEN, example_ids="abcd").groups.tolist() == [0, 0, 0, 1]
    assert find_duplicates(chain, TEN, example_ids="dcba").groups.tolist() == [0, 1, 1, 1]


def test_unique_images_count_one_and_are_groups_of_their_own():
    found = find_duplicates(on_circle(0, 30, 60), TEN)
    assert found.counts.tolist() == [1, 1, 1]
    assert found.groups.tolist() == [0, 1, 2]


def test_groups_are_numbered_by_their_first_image():
    found = find_duplicates(on_circle(0, 90, 45, 91, 135, 46), TEN)
    assert found.groups.tolist() == [0, 1, 2, 1, 3, 2]


def test_no_images_have_no_counts():
    found = find_duplicates(np.empty((0, 4), np.float32), 0.9)
    assert found.counts.shape == found.groups.shape == (0,)


def test_equal_vectors_are_near_copies_even_at_a_similarity_of_one():
    random = np.random.default_rng(0).standard_normal((50, 64)).astype(np.float32)
    vectors = random / np.linalg.norm(random, axis=1, keepdims=True)
    assert (np.einsum("nd,nd->n", vectors, vectors) < 1).any()
    found = find_duplicates(vectors.repeat(3, axis=0), 1.0)
    assert found.counts.tolist() == [3] * 150
    assert found.groups.tolist() == np.arange(50).repeat(3).tolist()


@pytest.mark.parametrize("similarity", [0.9, 1.0])
def test_what_stands_in_the_set_very_often_is_joined_by_few_of_its_pairs(monkeypatch, similarity):
    # 3,000 near-copies, or 3,000 times the same vector: 4.5 million pairs.
    n = 3000
    vectors = near_copies_of_one(n) if similarity < 1 else near_copies_of_one(1).repeat(n, axis=0)
    monkeypatch.setattr(exact_join, "TILE", 256)
    fetched, take = [], ArrayVectors.take
    monkeypatch.setattr(
        ArrayVectors, "take", lambda self, rows: fetched.append(len(rows)) or take(self, rows)
    )
    tally = exact_join.join_exactly(ArrayVectors(vectors), similarity, 1e-4)
    assert tally.counts.tolist() == [n] * n
    assert set(tally.components().tolist()) == {0}
    assert tally.pairs_joined <= 3 * n
    # Two tiles of vectors for each of the 78 tiles of pairs.
    assert max(fetched) <= 2 * 256
    assert sum(fetched) <= 78 * 2 * 256


def test_a_star_whose_middle_comes_last_is_joined_in_one_step():
    tally = Tally(1001, directed=False)
    tally.add_block(np.arange(1000, 1001), np.arange(1000), np.ones((1, 1000), dtype=bool))
    assert set(tally.components().tolist()) == {0}
    assert tally.counts.tolist() == [*[2] * 1000, 1001]
    assert tally.pairs_joined == 1001


def test_a_directed_tally_counts_for_whom_was_searched_and_joins_both():
    tally = Tally(4, directed=True)
    tally.add_pairs(np.array([[0, 2], [2, 0], [3, 2]]))
    tally.add_block(np.array([1]), np.array([2, 3]), np.array([[True, False]]))
    assert tally.counts.tolist() == [2, 2, 2, 2]
    assert tally.components().tolist() == [0, 0, 0, 0]


def test_leaders_found_block_by_block_are_those_found_at_once(monkeypatch):
    chain = on_circle(*np.random.default_rng(3).uniform(0, 180, 200))
    expected = find_duplicates(chain, TEN).groups
    monkeypatch.setattr(leaders, "HEAD", 3)
    monkeypatch.setattr(leaders, "TESTED", 7)
    assert len(set(expected.tolist())) > 9
    np.testing.assert_array_equal(find_duplicates(chain, TEN).groups, expected)


def test_few_candidates_and_many_are_decided_alike(monkeypatch):
    vectors = on_circle(*np.random.default_rng(4).uniform(0, 180, 200))
    one_by_one = []
    for call in (0.0, 1e9):
        monkeypatch.setattr(near_pairs, "CALL", call)
        one_by_one.append(find_duplicates(vectors, TEN))
    np.testing.assert_array_equal(one_by_one[0].counts, one_by_one[1].counts)
    np.testing.assert_array_equal(one_by_one[0].groups, one_by_one[1].groups)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (on_circle(0, 1).astype(np.float64), r"must be float32 \(n, d\), got float64 \(2, 2\); convert"),
        (
            on_circle(0, 1) * np.float32(1.5),
            "must have unit norm, got norms off by up to 0.5; divide by them",
        ),
        (on_circle(0, np.nan), "must have unit norm, got norms off by up to nan"),
    ],
)
def test_embeddings_must_be_float32_of_unit_norm(vectors, message):
    with pytest.raises(EmbedderError, match=message):
        find_duplicates(vectors, 0.9)


def test_ids_and_embeddings_must_be_as_many():
    with pytest.raises(TrainingSetError, match="one embedding, got 2 for 3; mine again"):
        find_duplicates(on_circle(0, 1), 0.9, example_ids="abc")
