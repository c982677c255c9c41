"""Find all near-copies of a set: every pair is screened, tile by tile, and none is listed."""

from typing import TYPE_CHECKING

import numpy as np

from memex_audit.training_set.near_pairs import NearPairs, Tally
from memex_audit.training_set.screen import build_screen
from memex_audit.training_set.vectors import Vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Rows of a tile: its 2**20 scores, 4 MiB, are read again while they are in the cache.
TILE = 1024


def join_exactly(vectors: Vectors, similarity: float, margin: float) -> Tally:
    """Tally every pair of rows whose cosine is at least `similarity`.

    Costs n^2 / 2 short products, and the block products of what is near; memory for n short vectors, however
    many pairs there are.

    Args:
        vectors: n unit vectors.
        similarity: in (0, 1].
        margin: from `screening_margin`.
    """
    n = len(vectors)
    tally = Tally(n, directed=False)
    near = NearPairs(vectors, similarity, margin, tally)
    screen = build_screen(vectors, similarity)
    lowest = np.float32(similarity - margin - screen.slack)
    scores = np.empty(TILE * TILE, np.float32)
    for start in range(0, n, TILE):
        left = np.ascontiguousarray(screen.short[start : start + TILE])
        for other in range(start, n, TILE):
            right = screen.short[other : other + TILE]
            bounds = products(left, right, scores)
            if bounds.max() < lowest:
                continue
            open_ = bounds >= lowest
            if other == start:
                open_ = np.triu(open_, 1)
            near.add(_rows(start, len(left)), _rows(other, len(right)), open_)
    near.flush()
    return tally


def products(
    left: "NDArray[np.float32]", right: "NDArray[np.float32]", out: "NDArray[np.float32]"
) -> "NDArray[np.float32]":
    """Return the inner products of two sets of rows, (left, right), in memory that is there already."""
    return np.matmul(left, right.T, out=out[: len(left) * len(right)].reshape(len(left), len(right)))


def _rows(start: int, length: int) -> "NDArray[np.int64]":
    return np.arange(start, start + length, dtype=np.int64)
