"""Search unit vectors exactly with FAISS."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import faiss
import numpy as np

from memex_audit.training_set.vectors import check_vectors, keep_within, screening_margin

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Queries of the join at a time. Each may have every row as a neighbor, some 40 bytes a pair, so not many
# more; with 64 FAISS takes ten times as long (20,000 vectors of 512: 45 s against 4.7 s).
BLOCK = 256


class FaissIndex:
    """An Index on faiss.IndexFlatIP: exact, no training, the vectors in memory.

    Args:
        embeddings: float32 (n, d), unit norm; may be mapped from a file.
        example_ids: the n ids.

    Raises:
        EmbedderError: the embeddings are not float32 (n, d) of unit norm.
        TrainingSetError: ids and embeddings differ in number.
    """

    def __init__(self, embeddings: "NDArray[np.float32]", example_ids: Sequence[str]) -> None:
        check_vectors(embeddings, example_ids)
        self.example_ids = example_ids
        self._embeddings = embeddings
        self._index = faiss.IndexFlatIP(embeddings.shape[1])
        self._index.add(np.ascontiguousarray(embeddings))

    def search(
        self, queries: "NDArray[np.float32]", n: int
    ) -> "tuple[NDArray[np.float32], NDArray[np.int64]]":
        """Return cosines and rows of the `n` nearest, each (queries, min(n, size)), nearest first."""
        # Past its size FAISS would fill up with row -1.
        n = min(n, len(self._embeddings))
        if n == 0 or len(queries) == 0:
            return np.empty((len(queries), n), np.float32), np.empty((len(queries), n), np.int64)
        cosines, rows = self._index.search(np.ascontiguousarray(queries, dtype=np.float32), n)
        return cosines, rows

    def neighbor_pairs(self, similarity: float) -> "Iterator[NDArray[np.int64]]":
        """Yield the pairs of rows (i, j), i < j, whose cosine is at least `similarity`, each once.

        Args:
            similarity: in (0, 1].

        Yields:
            int64 (m, 2), sorted by i; m varies and may be 0.
        """
        margin = screening_margin(self._embeddings)
        # range_search is strict: at a radius of 1.0 equal vectors would return nothing.
        radius = similarity - 1.5 * margin
        for start in range(0, len(self._embeddings), BLOCK):
            queries = np.ascontiguousarray(self._embeddings[start : start + BLOCK])
            limits, scores, j = self._index.range_search(queries, radius)
            i = start + np.repeat(np.arange(len(queries)), np.diff(limits).astype(np.int64))
            # An example is its own neighbor in some place or other: dropped by row, with the mirrored pair.
            upper = j > i
            pairs = np.stack([i[upper], j[upper]], axis=1).astype(np.int64)
            pairs, scores = _sorted(pairs, scores[upper])
            yield keep_within(self._embeddings, pairs, scores, similarity, margin)


def _sorted(
    pairs: "NDArray[np.int64]", scores: "NDArray[np.float32]"
) -> "tuple[NDArray[np.int64], NDArray[np.float32]]":
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return pairs[order], scores[order]
