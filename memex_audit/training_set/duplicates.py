"""Count and group near-copies: embeddings -> duplication counts and duplicate groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from memex_audit.errors import TrainingSetError
from memex_audit.training_set.exact_join import join_exactly
from memex_audit.training_set.index import JoinKind, choose_join
from memex_audit.training_set.inverted_file import build_lists, join_lists, number_of_lists
from memex_audit.training_set.leaders import find_leaders
from memex_audit.training_set.near_pairs import NearPairs, Tally
from memex_audit.training_set.recall import Recall, choose_probes, rank_neighbors
from memex_audit.training_set.screen import build_screen
from memex_audit.training_set.vectors import as_vectors, check_vectors, screening_margin

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memex_audit.training_set.vectors import Vectors

LEAST_RECALL = 0.99
# Near-copies drawn to choose the number of lists and to measure recall, half for each: at 0.999 the lower
# bound of 1,000 clears 0.99.
DRAWN = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """Near-copies of every image: `counts` and `groups`, each int64 (n,).

    `counts`: the images within the duplicate similarity of each image, itself included; 1 is a unique image.
    Never the size of a group. `groups`: numbered in the order of their first image; one leader and the
    images near it (leaders.py), so that chains do not glue together what is not alike. `recall`: measured
    where not all were compared.
    """

    counts: "NDArray[np.int64]"
    groups: "NDArray[np.int64]"
    recall: "Recall | None" = None


def find_duplicates(
    embeddings: "Vectors | NDArray[np.float32]",
    similarity: float,
    *,
    example_ids: Sequence[str] | None = None,
    join: JoinKind | None = None,
    least_recall: float = LEAST_RECALL,
    seed: int = 0,
) -> Duplicates:
    """Count and group the near-copies; memory does not grow with the number of pairs.

    Args:
        embeddings: n unit vectors.
        similarity: cosine from which on two are near-copies, in (0, 1].
        example_ids: n ids; they decide who leads of images with as many near-copies.
        join: "exact" compares all with all, "ivf" each with the vectors in the lists nearest to it, at a
            measured recall; None takes "exact" for up to 500,000 vectors.
        least_recall: of "ivf", what the recall must be at 95 % confidence, unless nothing at all was missed
            of the near-copies drawn.
        seed: of what is drawn for "ivf".

    Raises:
        EmbedderError: the embeddings are not float32 (n, d) of unit norm.
        TrainingSetError: ids and embeddings differ in number, or too many near-copies are missed.

    >>> pictures = np.array([[1, 0], [0.8, 0.6], [0.28, 0.96], [0, -1]], np.float32)
    >>> found = find_duplicates(pictures, 0.75)
    >>> found.counts.tolist(), found.groups.tolist()
    ([2, 3, 2, 1], [0, 0, 0, 1])
    """
    vectors = as_vectors(embeddings)
    margin = screening_margin(vectors, check_vectors(vectors, example_ids))
    if choose_join(len(vectors), join) == "exact" or not len(vectors):
        tally, recall = join_exactly(vectors, similarity, margin), None
    else:
        tally, recall = _join_lists(vectors, similarity, margin, least_recall, seed)
    leaders = find_leaders(
        vectors,
        tally.counts,
        tally.components(),
        similarity=similarity,
        margin=margin,
        example_ids=example_ids,
    )
    return Duplicates(counts=tally.counts, groups=_numbered(leaders), recall=recall)


def _join_lists(
    vectors: "Vectors", similarity: float, margin: float, least_recall: float, seed: int
) -> tuple[Tally, Recall]:
    n = len(vectors)
    screen = build_screen(vectors, similarity, seed=seed)
    lists = build_lists(screen, similarity, n_lists=number_of_lists(n), seed=seed)
    del screen  # as large as the lists
    ranks = rank_neighbors(vectors, similarity, margin, lists, enough=DRAWN, seed=seed)
    recall = choose_probes(ranks, len(lists.centroids), least_recall=least_recall)
    if recall.found < recall.drawn and recall.lower < least_recall:
        raise TrainingSetError(
            f"near-copies must be found with a recall of at least {least_recall:g}, got {recall.lower:.4f} "
            f"(95 % lower bound; {recall.found:,} of {recall.drawn:,}) in {recall.n_probed} of "
            f"{recall.n_lists:,} lists; join exactly: --memex-join exact."
        )
    tally = Tally(n, directed=True)
    join_lists(NearPairs(vectors, similarity, margin, tally), lists, recall.n_probed)
    return tally, recall


def _numbered(names: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """Number equal names 0, 1, ... in the order in which they first appear."""
    _, first, places = np.unique(names, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[places]
