"""Sort vectors into lists around centroids, and find the near-copies of each in the lists nearest to it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from memex_audit.training_set.exact_join import TILE, join_exactly, products
from memex_audit.training_set.leaders import find_leaders
from memex_audit.training_set.near_pairs import NearPairs
from memex_audit.training_set.screen import Screen, scratch
from memex_audit.training_set.vectors import ArrayVectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Vectors a list by which centroids are found, in so many rounds, and at most in all: more help little.
TRAINED, ROUNDS, MOST_TRAINED = 40, 8, 1 << 18
# Vectors assigned, and vectors whose lists are searched, at a time.
ASSIGNED, SEARCHED = 4096, 1 << 20
# Columns of which the largest is taken first.
GROUPED = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """n short vectors in lists: `order` has the rows list by list, those of list k from `starts[k]` on.

    `short`: float32 (n, width), in that order, and their `slack`: see `Screen`; `centroids`: float32
    (n_lists, width), of unit norm. A place is a row's place in that order.
    """

    slack: float
    short: "NDArray[np.float32]"
    order: "NDArray[np.int64]"
    starts: "NDArray[np.int64]"
    centroids: "NDArray[np.float32]"


def number_of_lists(n: int) -> int:
    """Return how many lists make finding the nearest as dear as searching eight of them: sqrt(2 n)."""
    return max(1, round(float(np.sqrt(2 * n))))


def build_lists(screen: Screen, similarity: float, *, n_lists: int, seed: int = 0) -> Lists:
    """Sort vectors into lists by their nearest centroid."""
    short = screen.short
    centroids = find_centroids(short, similarity, n_lists=n_lists, seed=seed)
    homes = np.empty(len(short), np.int32)
    for start in range(0, len(short), ASSIGNED):
        homes[start : start + ASSIGNED] = (short[start : start + ASSIGNED] @ centroids.T).argmax(axis=1)
    order = np.argsort(homes, kind="stable")
    by_list = scratch(*short.shape)
    for start in range(0, len(short), ASSIGNED):
        by_list[start : start + ASSIGNED] = short[order[start : start + ASSIGNED]]
    starts = np.concatenate([[0], np.cumsum(np.bincount(homes, minlength=len(centroids)))])
    return Lists(slack=screen.slack, short=by_list, order=order, starts=starts, centroids=centroids)


def find_centroids(
    short: "NDArray[np.float32]", similarity: float, *, n_lists: int, seed: int
) -> "NDArray[np.float32]":
    """Return centroids by spherical k-means on a sample, float32 (at most n_lists, width).

    Of near-copies in the sample one stands for all: a picture that is there ten thousand times would get as
    many centroids as it has copies in the sample, and its copies would lie in lists that hardly meet.
    """
    random = np.random.default_rng(seed)
    n_trained = min(len(short), TRAINED * n_lists, MOST_TRAINED)
    sample = short[np.sort(random.choice(len(short), n_trained, replace=False))]
    sample /= np.linalg.norm(sample, axis=1, keepdims=True)
    vectors, margin = ArrayVectors(sample), 1e-5
    tally = join_exactly(vectors, similarity, margin)
    leaders = find_leaders(vectors, tally.counts, tally.components(), similarity=similarity, margin=margin)
    sample = sample[leaders == np.arange(n_trained)]
    centroids: NDArray[np.float32] = sample[
        random.choice(len(sample), min(n_lists, len(sample)), replace=False)
    ]
    for _ in range(ROUNDS):
        centroids = _moved(centroids, sample)
    return centroids


def _moved(centroids: "NDArray[np.float32]", sample: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """Move each centroid to the mean of what is nearest to it; where nothing is, it stays."""
    homes = np.concatenate(
        [
            (sample[start : start + ASSIGNED] @ centroids.T).argmax(axis=1)
            for start in range(0, len(sample), ASSIGNED)
        ]
    )
    order = np.argsort(homes, kind="stable")
    found, first = np.unique(homes[order], return_index=True)
    moved = centroids.copy()
    moved[found] = np.add.reduceat(sample[order], first, axis=0)
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    return moved


def join_lists(near: NearPairs, lists: Lists, n_probed: int) -> None:
    """Find for every row the near-copies in the `n_probed` lists nearest to it: pairs (row, near-copy).

    What is found is decided exactly; what lies in another list is missed, so that counts are never too high.

    Args:
        near: gets the candidates.
        lists: from `build_lists`.
        n_probed: at least 1.
    """
    n = len(lists.order)
    # List by list, so that those who visit a list stand together.
    for start in range(0, n, SEARCHED):
        visited = nearest_lists(lists, start, min(start + SEARCHED, n), n_probed)
        visitors = np.argsort(visited, axis=None, kind="stable")
        ends = np.searchsorted(visited.ravel()[visitors], np.arange(len(lists.starts)))
        visitors = start + visitors // visited.shape[1]
        for number in np.flatnonzero(np.diff(ends)).tolist():
            places = visitors[ends[number] : ends[number + 1]]
            compare(near, lists, places, range(lists.starts[number], lists.starts[number + 1]))
    near.flush()


def nearest_lists(lists: Lists, start: int, stop: int, n_probed: int) -> "NDArray[np.int32]":
    """Return the lists nearest to vectors `start` to `stop` in the order of the lists, in no order."""
    n_probed = min(n_probed, len(lists.centroids))
    nearest = np.empty((stop - start, n_probed), np.int32)
    for first in range(start, stop, ASSIGNED):
        last = min(first + ASSIGNED, stop)
        nearest[first - start : last - start] = largest(lists.short[first:last] @ lists.centroids.T, n_probed)
    return nearest


def largest(scores: "NDArray[np.float32]", k: int) -> "NDArray[np.int64]":
    """Return the columns of the k largest of each row, int64 (n, k), in no order.

    The largest of each group of columns come first, since each of the k largest lies in one of the k groups
    with the largest maximum: of 18,000 columns that is ten times faster than to part all.
    """
    n, width = len(scores), scores.shape[1] // GROUPED
    if width <= 4 * k:
        return np.argpartition(scores, -k, axis=1)[:, -k:]
    in_groups = scores[:, : GROUPED * width].reshape(n, GROUPED, width)
    groups = np.argpartition(in_groups.max(axis=1), -k, axis=1)[:, -k:]
    members = groups[:, None, :] + width * np.arange(GROUPED)[:, None]
    left_over = np.broadcast_to(np.arange(GROUPED * width, scores.shape[1]), (n, scores.shape[1] % GROUPED))
    columns = np.concatenate([members.reshape(n, -1), left_over], axis=1)
    best = np.argpartition(np.take_along_axis(scores, columns, axis=1), -k, axis=1)[:, -k:]
    return np.take_along_axis(columns, best, axis=1)


def compare(near: NearPairs, lists: Lists, places: "NDArray[np.int64]", others: range) -> None:
    """Compare vectors at some places with those of a range of places; none is a near-copy of its own."""
    lowest = np.float32(near.similarity - near.margin - lists.slack)
    scores = np.empty(TILE * TILE, np.float32)
    for first in range(0, len(places), TILE):
        some = places[first : first + TILE]
        left = lists.short[some]
        for start in range(others.start, others.stop, TILE):
            stop = min(start + TILE, others.stop)
            bounds = products(left, lists.short[start:stop], scores)
            own = np.flatnonzero((some >= start) & (some < stop))
            bounds[own, some[own] - start] = -2
            if bounds.max() >= lowest:
                near.add(lists.order[some], lists.order[start:stop], bounds >= lowest)
