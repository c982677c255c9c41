"""Search unit vectors exactly with FAISS."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import faiss
import numpy as np

from memex_audit.training_set.vectors import as_vectors, blocks_of, check_queries, check_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memex_audit.training_set.vectors import Vectors


class FaissIndex:
    """An Index on faiss.IndexFlatIP: exact, no training, the vectors in memory.

    Args:
        embeddings: n unit vectors; copied.
        example_ids: the n ids.

    Raises:
        EmbedderError: the embeddings are not float32 (n, d) of unit norm.
        TrainingSetError: ids and embeddings differ in number.
    """

    def __init__(self, embeddings: "Vectors | NDArray[np.float32]", example_ids: Sequence[str]) -> None:
        vectors = as_vectors(embeddings)
        check_vectors(vectors, example_ids)
        self.example_ids = example_ids
        self._index = faiss.IndexFlatIP(vectors.dimension)
        for _, block in blocks_of(vectors):
            self._index.add(block)

    def search(
        self, queries: "NDArray[np.float32]", n: int
    ) -> "tuple[NDArray[np.float32], NDArray[np.int64]]":
        """Return cosines and rows of the `n` nearest, each (queries, min(n, size)), nearest first."""
        check_queries(queries, self._index.d)
        # Past its size FAISS would fill up with row -1.
        n = min(n, self._index.ntotal)
        if n == 0 or len(queries) == 0:
            return np.empty((len(queries), n), np.float32), np.empty((len(queries), n), np.int64)
        cosines, rows = self._index.search(np.ascontiguousarray(queries, dtype=np.float32), n)
        return cosines, rows
