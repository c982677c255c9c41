"""Decide which candidates are near-copies, and tally them: counts and what hangs together, never pairs."""

from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from memex_audit.training_set.vectors import ROUNDING, ArrayVectors, Vectors, cosines, keep_within

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Microseconds, for a choice only: of a pair whose vectors are fetched, of a vector fetched for a matrix
# product, of a pair in it, and of calling for it.
PAIR, VECTOR, PRODUCT, CALL = 1.0, 0.5, 0.015, 100.0
# Pairs that are held until they are decided: at most 128 MiB of 512 dimensions. Pairs decided at a time.
HELD, PAIRS_AT_A_TIME = 1 << 15, 4096


class Tallies(Protocol):
    """What is told of near-copies, by pairs or by blocks of them, each pair once."""

    def add_pairs(self, pairs: "NDArray[np.int64]") -> None:
        """Add pairs of rows, int64 (m, 2)."""
        ...

    def add_block(
        self, rows: "NDArray[np.int64]", columns: "NDArray[np.int64]", near: "NDArray[np.bool_]"
    ) -> None:
        """Add what is near of two sets of rows, each row once in its set: bool (rows, columns)."""
        ...


class Tally:
    """Near-copies of n images: how many each has, and which hang together.

    Args:
        n: number of images.
        directed: a pair (i, j) is counted for i alone, as whoever searches for both of its ends needs it.
    """

    def __init__(self, n: int, *, directed: bool) -> None:
        self.counts: NDArray[np.int64] = np.ones(n, dtype=np.int64)
        self.pairs_joined = 0
        self._directed = directed
        self._parents: NDArray[np.int64] = np.arange(n, dtype=np.int64)

    def components(self) -> "NDArray[np.int64]":
        """Return the first row of each image's connected component, int64 (n,)."""
        return self._roots(np.arange(len(self._parents), dtype=np.int64))

    def add_pairs(self, pairs: "NDArray[np.int64]") -> None:
        """Add pairs of rows, int64 (m, 2), each for the first time."""
        counted = pairs[:, 0] if self._directed else pairs.ravel()
        rows, times = np.unique(counted, return_counts=True)
        self.counts[rows] += times
        self._join(pairs)

    def add_block(
        self, rows: "NDArray[np.int64]", columns: "NDArray[np.int64]", near: "NDArray[np.bool_]"
    ) -> None:
        """Add what is near of two sets of rows, each row once in its set: bool (rows, columns)."""
        self.counts[rows] += np.count_nonzero(near, axis=1)
        if not self._directed:
            self.counts[columns] += np.count_nonzero(near, axis=0)
        while True:
            # Only pairs whose groups differ still matter: in a group of 100,000 nearly none of 5e9.
            differ = near & (self._roots(rows)[:, None] != self._roots(columns))
            i, j = np.flatnonzero(differ.any(axis=1)), np.flatnonzero(differ.any(axis=0))
            if not len(i):
                return
            # A pair for every row and every column is enough to halve the number of groups each time.
            links = (
                (rows[i], columns[differ[i].argmax(axis=1)]),
                (rows[differ[:, j].argmax(axis=0)], columns[j]),
            )
            self._join(np.concatenate([np.stack(link, axis=1) for link in links]))

    def _roots(self, rows: "NDArray[np.int64]") -> "NDArray[np.int64]":
        roots = self._parents[rows]
        while not np.array_equal(above := self._parents[roots], roots):
            roots = above
        self._parents[rows] = roots
        return roots

    def _join(self, pairs: "NDArray[np.int64]") -> None:
        roots = self._roots(pairs.ravel()).reshape(-1, 2)
        roots = roots[roots[:, 0] != roots[:, 1]]
        if not len(roots):
            return
        self.pairs_joined += len(roots)
        names, places = np.unique(roots, return_inverse=True)
        i, j = places.reshape(-1, 2).T
        edges = coo_array((np.ones(len(i), dtype=bool), (i, j)), shape=(len(names), len(names)))
        _, labels = connected_components(edges, directed=False)
        # The names rise, so that the first of a label is the lowest: the root is the component's first row.
        _, first = np.unique(labels, return_index=True)
        self._parents[names] = names[first[labels]]


class NearPairs:
    """Decides in float64 whether candidates reach the similarity, where float32 leaves it open.

    Args:
        vectors: the unit vectors.
        similarity: cosine from which on two are near-copies, in (0, 1].
        margin: from `screening_margin`.
        tally: gets what is near.
    """

    def __init__(self, vectors: Vectors, similarity: float, margin: float, tally: Tallies) -> None:
        self.vectors, self.similarity, self.margin, self._tally = vectors, similarity, margin, tally
        self._held: list[NDArray[np.int64]] = []
        self._n_held = 0

    def add(
        self, rows: "NDArray[np.int64]", columns: "NDArray[np.int64]", open_: "NDArray[np.bool_]"
    ) -> None:
        """Add candidates of a tile, bool (rows, columns)."""
        i, j = np.flatnonzero(open_.any(axis=1)), np.flatnonzero(open_.any(axis=0))
        open_ = open_[np.ix_(i, j)]
        rows, columns = rows[i], columns[j]
        n_open = int(np.count_nonzero(open_))
        if CALL + VECTOR * (len(i) + len(j)) + PRODUCT * open_.size < PAIR * n_open:
            near = near_block(self.vectors, rows, columns, self.similarity, self.margin)
            self._tally.add_block(rows, columns, near & open_)
            return
        i, j = np.nonzero(open_)
        self._held.append(np.stack([rows[i], columns[j]], axis=1))
        self._n_held += n_open
        if self._n_held > HELD:
            self.flush()

    def flush(self) -> None:
        """Decide what is held; to be called once more at the end."""
        if not self._held:
            return
        pairs = np.concatenate(self._held)
        self._held, self._n_held = [], 0
        # Each row once and in order: on disk they lie in many files.
        rows, places = np.unique(pairs, return_inverse=True)
        vectors = ArrayVectors(self.vectors.take(rows))
        places = places.reshape(-1, 2)
        for start in range(0, len(places), PAIRS_AT_A_TIME):
            some = places[start : start + PAIRS_AT_A_TIME]
            left, right = (vectors.take(some[:, side]) for side in (0, 1))
            scores = np.einsum("md,md->m", left, right)
            self._tally.add_pairs(rows[keep_within(vectors, some, scores, self.similarity, self.margin)])


def near_block(
    vectors: Vectors,
    rows: "NDArray[np.int64]",
    columns: "NDArray[np.int64]",
    similarity: float,
    margin: float,
) -> "NDArray[np.bool_]":
    """Return which of these rows and columns are near-copies, bool (rows, columns).

    Scores in float32 decide but for those within the margin; where many are, as of equal images at a
    similarity of 1, the product is done again in float64.
    """
    # At once: on disk they lie in the same files.
    left, right = np.split(vectors.take(np.concatenate([rows, columns])), [len(rows)])
    scores = left @ right.T
    near = scores >= similarity + margin
    unsure = (scores >= similarity - margin) & ~near
    n_unsure = np.count_nonzero(unsure)
    if n_unsure > PAIRS_AT_A_TIME:
        wide, other = (part.astype(np.float64) for part in (left, right))
        wide /= np.linalg.norm(wide, axis=1, keepdims=True)
        other /= np.linalg.norm(other, axis=1, keepdims=True)
        near |= unsure & (wide @ other.T >= similarity - ROUNDING)
    elif n_unsure:
        i, j = np.nonzero(unsure)
        pairs = np.stack([rows[i], columns[j]], axis=1)
        near[i, j] = cosines(vectors, pairs) >= similarity - ROUNDING
    return near
