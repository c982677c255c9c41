"""The join by lists against the exact join, and its measured recall against the true one."""

import numpy as np
import pytest
from scipy.stats import binom

from memex_audit.errors import TrainingSetError
from memex_audit.training_set import index, inverted_file, recall
from memex_audit.training_set.duplicates import find_duplicates
from memex_audit.training_set.inverted_file import build_lists, join_lists
from memex_audit.training_set.near_pairs import NearPairs, Tally
from memex_audit.training_set.recall import (
    DrawnNeighbors,
    Recall,
    choose_probes,
    lower_bound,
    rank_neighbors,
)
from memex_audit.training_set.screen import build_screen
from memex_audit.training_set.vectors import ArrayVectors, screening_margin

N, SIMILARITY = 3000, 0.9


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(inverted_file, "TILE", 64)
    monkeypatch.setattr(inverted_file, "ASSIGNED", 500)
    monkeypatch.setattr(inverted_file, "SEARCHED", 1000)
    monkeypatch.setattr(recall, "SAMPLED", 300)


@pytest.fixture(scope="module")
def vectors():
    """A third are near-copies in groups of two to some hundred, at cosines around the similarity."""
    random = np.random.default_rng(0)
    made = random.standard_normal((N, 64)) + 0.5
    for size in (300, 200, 100, 50, 50, *[10] * 15, *[2] * 75):
        rows = random.choice(N, size, replace=False)
        made[rows] = made[rows[0]] + random.uniform(0, 0.4, (size, 1)) * random.standard_normal((size, 64))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def exact(vectors):
    return find_duplicates(vectors, SIMILARITY, join="exact")


def lists_of(vectors, n_lists=60):
    return build_lists(build_screen(ArrayVectors(vectors), SIMILARITY), SIMILARITY, n_lists=n_lists)


def joined(vectors, lists, n_probed):
    tally = Tally(len(vectors), directed=True)
    margin = screening_margin(vectors)
    join_lists(NearPairs(ArrayVectors(vectors), SIMILARITY, margin, tally), lists, n_probed)
    return tally


def test_the_lists_hold_every_row_once_next_to_its_nearest_centroid(vectors):
    lists = lists_of(vectors)
    assert sorted(lists.order.tolist()) == list(range(N))
    nearest = (lists.short @ lists.centroids.T).argmax(axis=1)
    homes = np.repeat(np.arange(len(lists.centroids)), np.diff(lists.starts))
    np.testing.assert_array_equal(nearest, homes)


def test_a_search_of_all_lists_finds_what_the_exact_join_finds(vectors, exact):
    assert (exact.counts > 1).sum() > 500
    tally = joined(vectors, lists_of(vectors), 60)
    np.testing.assert_array_equal(tally.counts, exact.counts)


def test_a_search_of_few_lists_finds_no_more_and_of_more_lists_no_fewer(vectors, exact):
    lists = lists_of(vectors)
    one, four = (joined(vectors, lists, n_probed).counts for n_probed in (1, 4))
    assert (one <= four).all()
    assert (four <= exact.counts).all()
    assert one.sum() < exact.counts.sum()


def test_a_picture_that_is_there_very_often_does_not_take_the_centroids(vectors):
    random = np.random.default_rng(1)
    often = vectors[:1] + 0.01 * random.standard_normal((N, 64)).astype(np.float32)
    together = np.concatenate([vectors, often / np.linalg.norm(often, axis=1, keepdims=True)])
    lists = lists_of(together.astype(np.float32))
    homes = np.empty(2 * N, int)
    homes[lists.order] = np.repeat(np.arange(len(lists.centroids)), np.diff(lists.starts))
    assert len(np.unique(homes[N:])) <= 3


@pytest.mark.parametrize(("columns", "k"), [(1, 1), (40, 3), (64, 1), (79, 1), (1000, 8), (1007, 8)])
def test_the_largest_of_a_row_are_those_of_a_full_sort(columns, k):
    scores = np.random.default_rng(columns).permutation(50 * columns).reshape(50, columns).astype(np.float32)
    found = np.sort(inverted_file.largest(scores, k), axis=1)
    np.testing.assert_array_equal(found, np.sort(np.argsort(scores, axis=1)[:, -k:], axis=1))


def test_the_ranks_tell_which_near_copies_a_search_finds(vectors, exact):
    lists = lists_of(vectors)
    ranks = rank_neighbors(
        ArrayVectors(vectors), SIMILARITY, screening_margin(vectors), lists, enough=10**6, seed=0
    )
    several = exact.counts > 1
    assert len(ranks) == several.sum()
    for n_probed in (1, 2, 4):
        counts = joined(vectors, lists, n_probed).counts
        share = ((counts - 1) / np.maximum(exact.counts - 1, 1))[several]
        # One near-copy is drawn of each image: the mean of so many draws lies near the mean share.
        spread = np.sqrt((share * (1 - share)).sum()) / several.sum()
        assert abs((ranks < n_probed).mean() - share.mean()) <= 4 * spread + 1e-9


def test_every_near_copy_is_drawn_as_often_by_pairs_and_by_blocks():
    drawn = []
    for seed in range(600):
        neighbors = DrawnNeighbors(np.array([3, 7]), seed)
        neighbors.add_pairs(np.array([[7, 1], [7, 2]]))
        neighbors.add_block(np.array([7, 3]), np.array([4, 5]), np.array([[True, True], [False, False]]))
        assert neighbors.neighbors[0] == -1
        drawn.append(neighbors.neighbors[1])
    numbers, times = np.unique(drawn, return_counts=True)
    assert numbers.tolist() == [1, 2, 4, 5]
    assert binom.cdf(times.min(), 600, 0.25) > 1e-4
    assert binom.sf(times.max(), 600, 0.25) > 1e-4


def test_what_is_found_by_lists_is_told_with_its_recall(vectors, exact):
    found = find_duplicates(vectors, SIMILARITY, join="ivf")
    assert found.recall.lower <= (found.counts - 1).sum() / (exact.counts - 1).sum()
    assert (found.counts <= exact.counts).all()
    assert f"in {found.recall.n_probed} of {found.recall.n_lists} lists of images: recall" in str(
        found.recall
    )


def test_large_sets_are_joined_by_lists_and_others_exactly(vectors, monkeypatch):
    assert find_duplicates(vectors, SIMILARITY).recall is None
    monkeypatch.setattr(index, "EXACT_UP_TO", N - 1)
    assert find_duplicates(vectors, SIMILARITY).recall is not None


def test_a_recall_that_cannot_be_reached_is_refused(vectors, monkeypatch):
    monkeypatch.setattr(recall, "PROBES", (1,))
    with pytest.raises(TrainingSetError, match=r"recall of at least 0\.999, got 0\.\d+ .* in 1 of \d+ lists"):
        find_duplicates(vectors, SIMILARITY, join="ivf", least_recall=0.999)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_the_smallest_sets_are_joined_by_lists_too(vectors, n):
    found = find_duplicates(vectors[[5] * n], SIMILARITY, join="ivf")
    assert found.counts.tolist() == [n] * n
    assert found.groups.tolist() == [0] * n


def test_more_lists_are_searched_where_too_few_miss_near_copies():
    # Half of the near-copies lie in the ninth list: 8 miss them, 16 do not.
    ranks = np.tile([0, 0, 8, 8], 500)
    assert choose_probes(ranks, 1000, least_recall=0.99).n_probed == 16
    # Chosen by those of even place, which lie near; those that measure lie farther.
    contradicting = np.tile([0, 20], 500)
    assert choose_probes(contradicting, 1000, least_recall=0.99) == Recall(
        found=500, drawn=500, n_probed=32, n_lists=1000
    )
    assert choose_probes(np.empty(0, int), 5, least_recall=0.99) == Recall(
        found=0, drawn=0, n_probed=5, n_lists=5
    )


def test_the_lower_bound_is_that_of_clopper_and_pearson():
    # 0.05^(1/299), and the share at which 990 or more of 1,000 have a probability of 5 %.
    assert lower_bound(299, 299) == pytest.approx(0.05 ** (1 / 299))
    assert binom.sf(989, 1000, lower_bound(990, 1000)) == pytest.approx(0.05)
    assert lower_bound(0, 10) == 0


def test_that_nothing_was_drawn_is_said():
    said = str(Recall(found=0, drawn=0, n_probed=8, n_lists=1000))
    assert said.endswith("of 1,000 lists of images; none was drawn by which to measure how many that misses")
