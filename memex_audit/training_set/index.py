"""Choose by size how neighbors are found: an exact index for few queries, a join for all near-copies."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from memex_audit.training_set.faiss_index import FaissIndex
    from memex_audit.training_set.numpy_index import NumpyIndex
    from memex_audit.training_set.vectors import Vectors

IndexKind = Literal["faiss", "numpy"]
JoinKind = Literal["exact", "ivf"]
# An exact join of so many costs about 5 CPU minutes at 512 dimensions, of a million 17, and by lists 2.
EXACT_UP_TO = 500_000
# Bytes of float32 from which on vectors are not copied into memory but read for every search.
COPIED = 1 << 30


def build_index(
    embeddings: "Vectors | NDArray[np.float32]",
    example_ids: Sequence[str],
    *,
    kind: IndexKind | None = None,
) -> "FaissIndex | NumpyIndex":
    """Build an index that answers exactly.

    Args:
        embeddings: n unit vectors.
        example_ids: the n ids.
        kind: "faiss", in memory, or "numpy", block by block from where they are; None takes "numpy" for more
            than 1 GiB, and on macOS, where torch and faiss each bring a libomp and may crash together.

    Raises:
        EmbedderError: the embeddings are not float32 (n, d) of unit norm.
        TrainingSetError: ids and embeddings differ in number.
    """
    from memex_audit.training_set.vectors import as_vectors

    if kind is None:
        vectors = as_vectors(embeddings)
        large = 4 * len(vectors) * vectors.dimension > COPIED
        kind = "numpy" if large or sys.platform == "darwin" else "faiss"
    if kind == "numpy":
        from memex_audit.training_set.numpy_index import NumpyIndex

        return NumpyIndex(embeddings, example_ids)
    from memex_audit.training_set.faiss_index import FaissIndex

    return FaissIndex(embeddings, example_ids)


def choose_join(n: int, kind: JoinKind | None = None) -> JoinKind:
    """Return how the near-copies of n vectors are found: by lists if they are many and `kind` is None."""
    return kind or ("exact" if n <= EXACT_UP_TO else "ivf")
