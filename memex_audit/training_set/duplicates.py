"""Count and group near-copies: embeddings -> duplication counts and duplicate groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from memex_audit.training_set.exact_join import join_exactly
from memex_audit.training_set.leaders import find_leaders
from memex_audit.training_set.vectors import as_vectors, check_vectors, screening_margin

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memex_audit.training_set.vectors import Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """Near-copies of every image: `counts` and `groups`, each int64 (n,).

    `counts`: the images within the duplicate similarity of each image, itself included; 1 is a unique image.
    Never the size of a group. `groups`: numbered in the order of their first image; a group is one leader and
    images near it (leaders.py), so that chains do not glue together what is not alike.
    """

    counts: "NDArray[np.int64]"
    groups: "NDArray[np.int64]"


def find_duplicates(
    embeddings: "Vectors | NDArray[np.float32]",
    similarity: float,
    *,
    example_ids: Sequence[str] | None = None,
) -> Duplicates:
    """Count and group the near-copies; memory does not grow with the number of pairs.

    Args:
        embeddings: n unit vectors.
        similarity: cosine from which on two are near-copies, in (0, 1].
        example_ids: n ids; they decide who leads of images with as many near-copies.

    Raises:
        EmbedderError: the embeddings are not float32 (n, d) of unit norm.
        TrainingSetError: ids and embeddings differ in number.

    >>> pictures = np.array([[1, 0], [0.8, 0.6], [0.28, 0.96], [0, -1]], np.float32)
    >>> found = find_duplicates(pictures, 0.75)
    >>> found.counts.tolist(), found.groups.tolist()
    ([2, 3, 2, 1], [0, 0, 0, 1])
    """
    vectors = as_vectors(embeddings)
    margin = screening_margin(vectors, check_vectors(vectors, example_ids))
    tally = join_exactly(vectors, similarity, margin)
    leaders = find_leaders(
        vectors,
        tally.counts,
        tally.components(),
        similarity=similarity,
        margin=margin,
        example_ids=example_ids,
    )
    return Duplicates(counts=tally.counts, groups=_numbered(leaders))


def _numbered(names: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """Number equal names 0, 1, ... in the order in which they first appear."""
    _, first, places = np.unique(names, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[places]
