"""Decide a prompt: its generations and their distances -> one verdict with its evidence.

Nothing here draws, reads or loads: what is decided is a pure function of pixels and thresholds.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from memex_audit.extraction.cliques import CliqueAnswer, CliqueStatus, extend_clique, find_clique
from memex_audit.extraction.distances import near_duplicate_graph
from memex_audit.extraction.matching import Nearest

# Two seeds near one training image of the prompt's own caption: one alone can be chance.
SEEDS_FOR_EXTRACTION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class NearestExample:
    """A training image with the generations (rows) within match delta of it, and its least distance."""

    example_id: str
    distance: float
    rows: tuple[int, ...]


def goes_on(images: NDArray[np.uint8], own: Nearest, *, edge_delta: float, match_delta: float) -> bool:
    """Whether a prompt needs the next look: two generations agree, or one lies near an own training image.

    Args:
        images: uint8 (n, h, w, 3), what was judged so far.
        own: their distances to the training images of the prompt's caption.
    """
    if (own.distances <= match_delta).any():
        return True
    return bool(len(images) > 1 and near_duplicate_graph(images, edge_delta).any())


def enough_judged(n_judged: int, n_set_aside: int) -> bool:
    """Whether a prompt can be decided: at least two pictures, and half of what was drawn.

    >>> enough_judged(4, 0), enough_judged(1, 0), enough_judged(7, 9)
    (True, False, False)
    """
    return n_judged >= 2 and n_judged >= n_set_aside


def find_replica_clique(images: NDArray[np.uint8], *, edge_delta: float, clique_size: int) -> CliqueAnswer:
    """Find generations that pairwise nearly agree, at least `clique_size` of them, and grow the clique."""
    if len(images) < clique_size:
        return CliqueAnswer(status=CliqueStatus.ABSENT)
    graph = near_duplicate_graph(images, edge_delta, clique_size=clique_size)
    answer = find_clique(graph, clique_size)
    return replace(answer, members=extend_clique(graph, answer.members)) if answer.members else answer


def near_examples(near: Nearest, *, match_delta: float) -> tuple[NearestExample, ...]:
    """Return every training image that a generation lies near, those that most lie near first."""
    within = near.distances <= match_delta
    found = [
        NearestExample(
            example_id=near.example_ids[column],
            distance=float(near.distances[:, column].min()),
            rows=tuple(int(row) for row in np.flatnonzero(within[:, column])),
        )
        for column in np.flatnonzero(within.any(axis=0))
    ]
    return tuple(sorted(found, key=lambda example: (-len(example.rows), example.distance)))


def nearest_example(near: Nearest, *, match_delta: float, at_least: int) -> NearestExample | None:
    """Return the training image that most generations lie near, if at least `at_least` do.

    Of several the nearest is taken, so that a copy re-encoded on the way does not stand for its original.
    """
    within = near.distances <= match_delta
    counts = within.sum(axis=0)
    if not len(counts) or counts.max() < at_least:
        return None
    eligible = np.flatnonzero(counts >= at_least)
    column = int(eligible[near.distances[:, eligible].min(axis=0).argmin()])
    return NearestExample(
        example_id=near.example_ids[column],
        distance=float(near.distances[:, column].min()),
        rows=tuple(int(row) for row in np.flatnonzero(within[:, column])),
    )
