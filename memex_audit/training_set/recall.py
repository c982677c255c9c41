"""Measure what a search of the nearest lists misses, on a random sample of vectors compared with all."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import beta

from memex_audit.training_set.exact_join import TILE
from memex_audit.training_set.inverted_file import Lists, compare
from memex_audit.training_set.near_pairs import NearPairs
from memex_audit.training_set.vectors import Vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONFIDENCE = 0.95
# Numbers of lists that are tried; fewer than 8 cost hardly less.
PROBES = (8, 16, 32, 64, 128)
# Vectors compared with all at a time, and at most.
SAMPLED, MOST_SAMPLED = 4096, 1 << 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """Of `drawn` images with near-copies, one near-copy drawn of each, `found` were found.

    `n_probed` of `n_lists` lists were searched for each image.
    """

    found: int
    drawn: int
    n_probed: int
    n_lists: int

    @property
    def lower(self) -> float:
        """One-sided exact lower bound (Clopper and Pearson 1934) at 95 %; 0.0 where nothing was drawn."""
        return lower_bound(self.found, self.drawn)

    def __str__(self) -> str:
        """Say it as a note for whoever reads a report."""
        where = f"near-copies were looked for in {self.n_probed} of {self.n_lists:,} lists of images"
        if not self.drawn:
            return f"{where}; none was drawn by which to measure how many that misses"
        return (
            f"{where}: recall {self.found / self.drawn:.4f}, at least {self.lower:.4f} (95 %; {self.found:,} "
            f"of {self.drawn:,} near-copies that were drawn by comparison with every image)"
        )


def lower_bound(found: int, drawn: int) -> float:
    """Return the one-sided exact lower bound of a share at 95 %.

    >>> round(lower_bound(299, 299), 4)
    0.99
    """
    return float(beta.ppf(1 - CONFIDENCE, found, drawn - found + 1)) if found else 0.0


class DrawnNeighbors:
    """One near-copy of each of some rows (rising), each as likely as the others; memory for one a row."""

    def __init__(self, rows: "NDArray[np.int64]", seed: int) -> None:
        self.neighbors: NDArray[np.int64] = np.full(len(rows), -1, np.int64)
        self._rows, self._keys = rows, np.full(len(rows), -1.0)
        self._random = np.random.default_rng(seed)

    def add_pairs(self, pairs: "NDArray[np.int64]") -> None:
        """Add near pairs (row, near-copy); of all of a row the one with the largest random number stays."""
        keys = self._random.random(len(pairs))
        falling = np.argsort(-keys)
        rows, first = np.unique(pairs[falling, 0], return_index=True)
        chosen = falling[first]
        self._keep(rows, pairs[chosen, 1], keys[chosen])

    def add_block(
        self, rows: "NDArray[np.int64]", columns: "NDArray[np.int64]", near: "NDArray[np.bool_]"
    ) -> None:
        """Add what is near of two sets of rows, as `add_pairs`."""
        keys = np.where(near, self._random.random(near.shape), -1.0)
        best = keys.argmax(axis=1)
        some = np.flatnonzero(near.any(axis=1))
        self._keep(rows[some], columns[best[some]], keys[some, best[some]])

    def _keep(
        self, rows: "NDArray[np.int64]", others: "NDArray[np.int64]", keys: "NDArray[np.float64]"
    ) -> None:
        at = np.searchsorted(self._rows, rows)
        better = keys > self._keys[at]
        self.neighbors[at[better]] = others[better]
        self._keys[at[better]] = keys[better]


def rank_neighbors(
    vectors: Vectors,
    similarity: float,
    margin: float,
    lists: Lists,
    *,
    enough: int,
    seed: int,
) -> "NDArray[np.int64]":
    """Draw vectors at random, compare each with all, draw one of its near-copies and look up its list.

    Args:
        vectors: n unit vectors.
        similarity: cosine from which on two are near-copies.
        margin: from `screening_margin`.
        lists: from `build_lists`.
        enough: near-copies; fewer are drawn where they are rare.
        seed: of the draws.

    Returns:
        int64 (m,), for each near-copy drawn how many lists are nearer to the vector than its list, in random
        order: a search of k lists finds those below k.
    """
    n = len(lists.order)
    drawn = np.random.default_rng(seed).choice(n, min(n, MOST_SAMPLED), replace=False)
    places_of = np.empty(n, np.int64)
    places_of[lists.order] = np.arange(n)
    ranks: list[NDArray[np.int64]] = []
    for start in range(0, len(drawn), SAMPLED):
        rows = np.sort(drawn[start : start + SAMPLED])
        found = DrawnNeighbors(rows, seed + start)
        near = NearPairs(vectors, similarity, margin, found)
        for first in range(0, n, TILE):
            compare(near, lists, places_of[rows], range(first, min(first + TILE, n)))
        near.flush()
        has = found.neighbors >= 0
        homes = np.searchsorted(lists.starts, places_of[found.neighbors[has]], side="right") - 1
        scores = lists.short[places_of[rows[has]]] @ lists.centroids.T
        ranks.append((scores > scores[np.arange(len(homes)), homes][:, None]).sum(axis=1))
        if sum(map(len, ranks)) >= enough:
            break
    # Rows rise within a part: the order of those that are split later must be one of chance.
    return np.random.default_rng(seed).permutation(np.concatenate(ranks))


def choose_probes(ranks: "NDArray[np.int64]", n_lists: int, *, least_recall: float) -> Recall:
    """Choose the number of lists by half of the near-copies drawn, and measure recall by the others.

    Where those contradict, more lists are taken as long as there are; the bound is then of numbers that were
    looked at before.
    """
    chosen_by, measured_by = ranks[::2], ranks[1::2]
    ladder = [n for n in PROBES if n < n_lists] or [n_lists]
    # Chosen with half of what may be missed, so that the other half seldom contradicts.
    first = next((n for n in ladder if _clears(chosen_by, n, (1 + least_recall) / 2)), ladder[-1])
    for n_probed in ladder[ladder.index(first) :]:
        if _clears(measured_by, n_probed, least_recall):
            break
    return Recall(
        found=int((measured_by < n_probed).sum()), drawn=len(measured_by), n_probed=n_probed, n_lists=n_lists
    )


def _clears(ranks: "NDArray[np.int64]", n_probed: int, least_recall: float) -> bool:
    """Whether the lower bound reaches the recall, or nothing was missed of too few to tell."""
    found = int((ranks < n_probed).sum())
    return found == len(ranks) or lower_bound(found, len(ranks)) >= least_recall
