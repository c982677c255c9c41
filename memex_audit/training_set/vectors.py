"""Read and check embeddings, and decide in float64 which pairs of them lie within a similarity."""

from typing import TYPE_CHECKING, Protocol

import numpy as np

from memex_audit.errors import EmbedderError, TrainingSetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

# Pairs tested in float64 at a time: two blocks of 4,096 x 512 values are 32 MiB.
PAIRS_AT_A_TIME = 4096
NORM_TOLERANCE = 1e-3
# A cosine of float32 vectors is known no better than this, even in float64.
ROUNDING = 1e-9
# Rows read at a time where all are: 2**14 of 512 dimensions are 32 MiB.
ROWS_AT_A_TIME = 1 << 14


class Vectors(Protocol):
    """Unit vectors that may be on disk: read by blocks or by rows, never as one array."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    def __len__(self) -> int: ...

    def block(self, start: int, stop: int) -> "NDArray[np.float32]":
        """Return rows start to stop, float32 (m, d), contiguous, of unit norm; not to be written to."""
        ...

    def take(self, rows: "NDArray[np.int64]") -> "NDArray[np.float32]":
        """Return these rows, in this order, float32 (m, d), contiguous, of unit norm."""
        ...


class ArrayVectors:
    """Vectors of an array (n, d) of unit norm, in memory or mapped from a file; not copied."""

    def __init__(self, array: "NDArray[np.float32]") -> None:
        self._array = array
        self.dimension: int = array.shape[1]

    def __len__(self) -> int:
        return len(self._array)

    def block(self, start: int, stop: int) -> "NDArray[np.float32]":
        """Return rows start to stop."""
        return np.ascontiguousarray(self._array[start:stop], dtype=np.float32)

    def take(self, rows: "NDArray[np.int64]") -> "NDArray[np.float32]":
        """Return these rows."""
        return np.ascontiguousarray(self._array[rows], dtype=np.float32)


def as_vectors(embeddings: "Vectors | NDArray[np.float32]") -> Vectors:
    """Return embeddings as Vectors; an array is checked first.

    Raises:
        EmbedderError: an array is not float32 (n, d).
    """
    if not isinstance(embeddings, np.ndarray):
        return embeddings
    if embeddings.ndim != 2 or embeddings.dtype != np.float32:
        msg = f"Embeddings must be float32 (n, d), got {embeddings.dtype} {embeddings.shape}; convert them."
        raise EmbedderError(msg)
    return ArrayVectors(embeddings)


def blocks_of(vectors: Vectors, size: int | None = None) -> "Iterator[tuple[int, NDArray[np.float32]]]":
    """Yield all rows in blocks, each with the number of its first."""
    size = ROWS_AT_A_TIME if size is None else size
    for start in range(0, len(vectors), size):
        yield start, vectors.block(start, min(start + size, len(vectors)))


def check_vectors(
    embeddings: "Vectors | NDArray[np.float32]", example_ids: "Sequence[str] | None" = None
) -> float:
    """Check that embeddings are float32 (n, d) of unit norm, one an example.

    Returns:
        Their `norm_deviation`.

    Raises:
        EmbedderError: they are not.
        TrainingSetError: their number is not that of the ids.
    """
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
    return off


def check_queries(queries: "NDArray[np.float32]", dimension: int) -> None:
    """Check that queries are as long as the vectors among which they are searched.

    Raises:
        EmbedderError: they are not.
    """
    if queries.ndim != 2 or queries.shape[1] != dimension:
        msg = (
            f"Queries must be of the index's dimension, (n, {dimension}), got {queries.shape}; embed them "
            "with the embedder of the training set."
        )
        raise EmbedderError(msg)


def norm_deviation(embeddings: "Vectors | NDArray[np.float32]") -> float:
    """Return the largest deviation of a norm from 1, 0.0 where there are no vectors."""
    off = [0.0]
    for _, block in blocks_of(as_vectors(embeddings)):
        norms = np.sqrt(np.einsum("nd,nd->n", block, block))
        off.append(float(np.abs(norms - 1).max(initial=0.0)))
    # Not Python's max, which loses NaN.
    return float(np.max(off))


def screening_margin(embeddings: "Vectors | NDArray[np.float32]", deviation: float | None = None) -> float:
    """Return how far a float32 inner product may lie from the true cosine of two of these vectors.

    A sum of d products of unit vectors is off by at most d * 2^-24 (Higham 2002, section 3.1); twice
    that, plus what norms that are not quite 1 add.

    Args:
        embeddings: the vectors.
        deviation: their `norm_deviation` where it is known.
    """
    vectors = as_vectors(embeddings)
    rounding = float(np.finfo(np.float32).eps)
    return vectors.dimension * rounding + 3 * (norm_deviation(vectors) if deviation is None else deviation)


def keep_within(
    embeddings: "Vectors | NDArray[np.float32]",
    pairs: "NDArray[np.int64]",
    scores: "NDArray[np.float32]",
    similarity: float,
    margin: float,
) -> "NDArray[np.int64]":
    """Keep the pairs whose true cosine is at least `similarity`.

    Args:
        embeddings: (n, d), unit norm.
        pairs: rows, int64 (m, 2).
        scores: their float32 inner products, (m,), each within `margin` of the cosine.
        similarity: in (0, 1].
        margin: from `screening_margin`.
    """
    vectors = as_vectors(embeddings)
    keep = scores >= similarity + margin
    unsure = np.flatnonzero(~keep)
    for start in range(0, len(unsure), PAIRS_AT_A_TIME):
        rows = unsure[start : start + PAIRS_AT_A_TIME]
        keep[rows] = cosines(vectors, pairs[rows]) >= similarity - ROUNDING
    return pairs[keep]


def cosines(vectors: Vectors, pairs: "NDArray[np.int64]") -> "NDArray[np.float64]":
    """Return the cosines of pairs of rows, int64 (m, 2), in float64 (m,)."""
    a, b = (vectors.take(pairs[:, side]).astype(np.float64) for side in (0, 1))
    products: NDArray[np.float64] = np.einsum("md,md->m", a, b)
    products /= np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return products
