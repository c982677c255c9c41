"""Search unit vectors exactly with NumPy alone."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from memex_audit.training_set.vectors import check_vectors, keep_within, screening_margin

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Scores held at a time: 2**24 float32 are 64 MiB.
SCORES = 1 << 24


class NumpyIndex:
    """An Index by blockwise matrix products; the same contract and answers as FaissIndex.

    For macOS, where torch and faiss each bring their own libomp and one process may crash.

    Args:
        embeddings: float32 (n, d), unit norm; not copied, may be mapped from a file.
        example_ids: the n ids.

    Raises:
        EmbedderError: the embeddings are not float32 (n, d) of unit norm.
        TrainingSetError: ids and embeddings differ in number.
    """

    def __init__(self, embeddings: "NDArray[np.float32]", example_ids: Sequence[str]) -> None:
        check_vectors(embeddings, example_ids)
        self.example_ids = example_ids
        self._embeddings = embeddings
        self._block = max(1, SCORES // max(1, len(embeddings)))

    def search(
        self, queries: "NDArray[np.float32]", n: int
    ) -> "tuple[NDArray[np.float32], NDArray[np.int64]]":
        """Return cosines and rows of the `n` nearest, each (queries, min(n, size)), nearest first."""
        n = min(n, len(self._embeddings))
        cosines = np.empty((len(queries), n), dtype=np.float32)
        rows = np.empty((len(queries), n), dtype=np.int64)
        for start in range(0, len(queries), self._block):
            block = slice(start, start + self._block)
            scores = queries[block] @ self._embeddings.T
            nearest = np.argpartition(-scores, n - 1, axis=1)[:, :n] if n else rows[block]
            order = np.argsort(-np.take_along_axis(scores, nearest, axis=1), axis=1, kind="stable")
            rows[block] = np.take_along_axis(nearest, order, axis=1)
            cosines[block] = np.take_along_axis(scores, rows[block], axis=1)
        return cosines, rows

    def neighbor_pairs(self, similarity: float) -> "Iterator[NDArray[np.int64]]":
        """Yield the pairs of rows (i, j), i < j, whose cosine is at least `similarity`, each once.

        Args:
            similarity: in (0, 1].

        Yields:
            int64 (m, 2), sorted by i; m varies and may be 0.
        """
        margin = screening_margin(self._embeddings)
        for start in range(0, len(self._embeddings), self._block):
            # Rows before `start` met these already.
            scores = self._embeddings[start : start + self._block] @ self._embeddings[start:].T
            i, j = np.nonzero(scores >= similarity - margin)
            upper = j > i
            i, j = i[upper], j[upper]
            pairs = np.stack([i, j], axis=1).astype(np.int64) + start
            yield keep_within(self._embeddings, pairs, scores[i, j], similarity, margin)
