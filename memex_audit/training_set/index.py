"""Build an exact index of the training set: embeddings -> nearest neighbors, and pairs of near-copies."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from memex_audit.training_set.faiss_index import FaissIndex
    from memex_audit.training_set.numpy_index import NumpyIndex

IndexKind = Literal["faiss", "numpy"]


def build_index(
    embeddings: "NDArray[np.float32]", example_ids: Sequence[str], *, kind: IndexKind | None = None
) -> "FaissIndex | NumpyIndex":
    """Build an index that answers exactly.

    Args:
        embeddings: float32 (n, d), unit norm.
        example_ids: the n ids.
        kind: "faiss" or "numpy"; None takes "numpy" on macOS, where torch and faiss each bring a libomp
            and may crash together, else "faiss".

    Raises:
        EmbedderError: the embeddings are not float32 (n, d) of unit norm.
        TrainingSetError: ids and embeddings differ in number.
    """
    if kind == "numpy" or (kind is None and sys.platform == "darwin"):
        from memex_audit.training_set.numpy_index import NumpyIndex

        return NumpyIndex(embeddings, example_ids)
    from memex_audit.training_set.faiss_index import FaissIndex

    return FaissIndex(embeddings, example_ids)
