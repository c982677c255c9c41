"""Check embeddings, and decide in float64 which pairs of them lie within a similarity."""

from typing import TYPE_CHECKING

import numpy as np

from memex_audit.errors import EmbedderError, TrainingSetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Pairs tested in float64 at a time: two blocks of 4,096 x 512 values are 32 MiB.
PAIRS_AT_A_TIME = 4096
NORM_TOLERANCE = 1e-3
# A cosine of float32 vectors is known no better than this, even in float64.
ROUNDING = 1e-9


def check_vectors(embeddings: "NDArray[np.float32]", example_ids: "Sequence[str] | None" = None) -> None:
    """Check that embeddings are float32 (n, d) of unit norm, one an example.

    Raises:
        EmbedderError: they are not.
        TrainingSetError: their number is not that of the ids.
    """
    if embeddings.ndim != 2 or embeddings.dtype != np.float32:
        msg = f"Embeddings must be float32 (n, d), got {embeddings.dtype} {embeddings.shape}; convert them."
        raise EmbedderError(msg)
    off = norm_deviation(embeddings)
    # Negated, so that NaN is caught too.
    if not off <= NORM_TOLERANCE:
        msg = f"Embeddings must have unit norm, got norms off by up to {off:.3g}; divide by them."
        raise EmbedderError(msg)
    if example_ids is not None and len(example_ids) != len(embeddings):
        msg = (
            f"Each example must have one embedding, got {len(embeddings)} for {len(example_ids)}; mine again."
        )
        raise TrainingSetError(msg)


def norm_deviation(embeddings: "NDArray[np.float32]") -> float:
    """Return the largest deviation of a norm from 1, 0.0 where there are no vectors."""
    norms = np.sqrt(np.einsum("nd,nd->n", embeddings, embeddings))
    return float(np.abs(norms - 1).max(initial=0.0))


def screening_margin(embeddings: "NDArray[np.float32]") -> float:
    """Return how far a float32 inner product may lie from the true cosine of two of these vectors.

    A sum of d products of unit vectors is off by at most d * 2^-24 (Higham 2002, section 3.1); twice
    that, plus what norms that are not quite 1 add.
    """
    dimension: int = embeddings.shape[1]
    rounding = float(np.finfo(np.float32).eps)
    return dimension * rounding + 3 * norm_deviation(embeddings)


def keep_within(
    embeddings: "NDArray[np.float32]",
    pairs: "NDArray[np.int64]",
    scores: "NDArray[np.float32]",
    similarity: float,
    margin: float,
) -> "NDArray[np.int64]":
    """Keep the pairs whose true cosine is at least `similarity`.

    Args:
        embeddings: float32 (n, d), unit norm.
        pairs: rows, int64 (m, 2).
        scores: their float32 inner products, (m,), each within `margin` of the cosine.
        similarity: in (0, 1].
        margin: from `screening_margin`.
    """
    keep = scores >= similarity + margin
    unsure = np.flatnonzero(~keep)
    for start in range(0, len(unsure), PAIRS_AT_A_TIME):
        rows = unsure[start : start + PAIRS_AT_A_TIME]
        keep[rows] = _cosines(embeddings, pairs[rows]) >= similarity - ROUNDING
    return pairs[keep]


def _cosines(embeddings: "NDArray[np.float32]", pairs: "NDArray[np.int64]") -> "NDArray[np.float64]":
    a, b = (embeddings[pairs[:, side]].astype(np.float64) for side in (0, 1))
    cosines: NDArray[np.float64] = np.einsum("md,md->m", a, b)
    cosines /= np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return cosines
