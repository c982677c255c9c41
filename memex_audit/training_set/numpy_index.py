"""Search unit vectors exactly with NumPy alone, block by block: they may be on disk."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from memex_audit.training_set.vectors import as_vectors, blocks_of, check_queries, check_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memex_audit.training_set.vectors import Vectors

# Scores held at a time: 2**24 float32 are 64 MiB.
SCORES = 1 << 24
# Queries for which the vectors are read once.
QUERIES = 1024


class NumpyIndex:
    """An Index by blockwise matrix products; the same contract and answers as FaissIndex.

    For vectors that do not fit into memory, and for macOS, where torch and faiss each bring their own libomp
    and one process may crash.

    Args:
        embeddings: n unit vectors; not copied, may be on disk.
        example_ids: the n ids.

    Raises:
        EmbedderError: the embeddings are not float32 (n, d) of unit norm.
        TrainingSetError: ids and embeddings differ in number.
    """

    def __init__(self, embeddings: "Vectors | NDArray[np.float32]", example_ids: Sequence[str]) -> None:
        self._vectors = as_vectors(embeddings)
        check_vectors(self._vectors, example_ids)
        self.example_ids = example_ids

    def search(
        self, queries: "NDArray[np.float32]", n: int
    ) -> "tuple[NDArray[np.float32], NDArray[np.int64]]":
        """Return cosines and rows of the `n` nearest, each (queries, min(n, size)), nearest first."""
        check_queries(queries, self._vectors.dimension)
        n = min(n, len(self._vectors))
        cosines = np.empty((len(queries), n), dtype=np.float32)
        rows = np.empty((len(queries), n), dtype=np.int64)
        for start in range(0, len(queries) if n else 0, QUERIES):
            block = slice(start, start + QUERIES)
            cosines[block], rows[block] = self._nearest(queries[block], n)
        return cosines, rows

    def _nearest(
        self, queries: "NDArray[np.float32]", n: int
    ) -> "tuple[NDArray[np.float32], NDArray[np.int64]]":
        best = np.empty((len(queries), 0), dtype=np.float32)
        rows = np.empty((len(queries), 0), dtype=np.int64)
        for start, block in blocks_of(self._vectors, max(1, SCORES // len(queries))):
            among = np.broadcast_to(np.arange(start, start + len(block)), (len(queries), len(block)))
            best = np.concatenate([best, queries @ block.T], axis=1)
            rows = np.concatenate([rows, among], axis=1)
            if best.shape[1] > n:
                nearest = np.argpartition(-best, n - 1, axis=1)[:, :n]
                best = np.take_along_axis(best, nearest, axis=1)
                rows = np.take_along_axis(rows, nearest, axis=1)
        # Ties by row, as whoever reads two reports expects.
        order = np.lexsort((rows, -best), axis=1)
        return np.take_along_axis(best, order, axis=1), np.take_along_axis(rows, order, axis=1)
