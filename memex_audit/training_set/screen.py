"""Screen pairs by few dimensions: an upper bound of every cosine, from products of short vectors.

With x = (x1, x2), x1 the projection onto some orthonormal directions and x2 the rest, Cauchy and Schwarz give
<x, y> <= <x1, y1> + |x2| |y2|, the inner product of (x1, |x2|) and (y1, |y2|). Along the leading directions
of the set a rest is short, and what lies below the similarity by this bound surely is no near-copy.
"""

import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from memex_audit.training_set.vectors import Vectors, blocks_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Vectors by which directions and their number are chosen.
SAMPLE = 8192
PROBED = 1024
# Of fewer vectors the whole product costs less than finding directions.
LEAST_VECTORS = 4096
WIDTHS = (32, 48, 64, 96, 128, 192, 256)
# CPU time of deciding a candidate, over that of one multiplication and addition in sgemm: 2 us, 0.022 ns.
CANDIDATE_COST = 1e5
# Arrays above this lie in a temporary file.
IN_MEMORY = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """Short vectors, float32 (n, width), whose inner product + `slack` is at least the cosine."""

    short: "NDArray[np.float32]"
    slack: float


def scratch(n: int, width: int) -> "NDArray[np.float32]":
    """Return float32 (n, width) to be filled, in memory or, if it is large, in a file without a name."""
    if 4 * n * width <= IN_MEMORY:
        return np.empty((n, width), np.float32)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.float32, "w+", shape=(n, width))


def build_screen(vectors: Vectors, similarity: float, *, seed: int = 0) -> Screen:
    """Choose directions for a similarity and shorten every vector.

    Args:
        vectors: unit vectors.
        similarity: below it nothing is looked for; decides how many directions pay.
        seed: of the sample by which they are chosen.
    """
    n, d = len(vectors), vectors.dimension
    slack = 8 * d * float(np.finfo(np.float32).eps)
    basis = _directions(vectors, similarity, slack, seed)
    if basis is None:
        short = scratch(n, d)
        for start, block in blocks_of(vectors):
            short[start : start + len(block)] = block
        return Screen(short=short, slack=0.0)
    short = scratch(n, basis.shape[1] + 1)
    for start, block in blocks_of(vectors):
        short[start : start + len(block)] = _shorten(block, basis, slack)
    return Screen(short=short, slack=slack)


def _shorten(
    block: "NDArray[np.float32]", basis: "NDArray[np.float32]", slack: float
) -> "NDArray[np.float32]":
    inside = block @ basis
    rest = np.einsum("nd,nd->n", block, block) - np.einsum("nd,nd->n", inside, inside)
    # Never too short: rounding could hide a rest that is there.
    return np.concatenate([inside, np.sqrt(np.maximum(rest, 0) + slack)[:, None]], axis=1)


def _directions(vectors: Vectors, similarity: float, slack: float, seed: int) -> "NDArray[np.float32] | None":
    """Return the leading directions, float32 (d, k), as many as cost least, or None where all do."""
    n, d = len(vectors), vectors.dimension
    widths = [width for width in WIDTHS if 2 * width <= d]
    if n < LEAST_VECTORS or not widths:
        return None
    rows = np.random.default_rng(seed).choice(n, min(n, SAMPLE + 2 * PROBED), replace=False)
    # Others than those that directions were fitted to, whose rests are shorter than those of the set.
    n_probed = min(PROBED, n // 4)
    probed, others = (vectors.take(part) for part in np.split(rows[: 2 * n_probed], 2))
    sample = vectors.take(rows[2 * n_probed :])
    # Not centred: what all have in common is the longest direction of all.
    _, axes = np.linalg.eigh(sample.T.astype(np.float64) @ sample)
    leading = np.ascontiguousarray(axes[:, ::-1], dtype=np.float32)
    costs: dict[int | None, float] = {None: float(d)}
    for width in widths:
        basis = leading[:, :width]
        bounds = _shorten(probed, basis, slack) @ _shorten(others, basis, slack).T
        costs[width] = width + 1 + CANDIDATE_COST * float((bounds >= similarity - slack).mean())
    best = min(costs, key=lambda width: costs[width])
    return None if best is None else np.ascontiguousarray(leading[:, :best])
