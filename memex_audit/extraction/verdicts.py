"""Decide a prompt: its generations and their distances -> one verdict with its evidence.

Nothing here draws, reads or loads: what is decided is a pure function of pixels and thresholds.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memex_audit.extraction.cliques import CliqueStatus, extend_clique, find_clique
from memex_audit.extraction.distances import near_duplicate_graph
from memex_audit.extraction.fitted_images import Nearest

# Two seeds near one training image of the prompt's own caption: one alone can be chance.
SEEDS_FOR_EXTRACTION = 2

# So few generations are compared pair by pair even where no pair can decide.
EVERY_EDGE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class NearestExample:
    """A training image with the generations (rows) within match delta of it, and its least distance; or of it
    altered, by the name of the alteration."""

    example_id: str
    distance: float
    rows: tuple[int, ...]
    alteration: str = ""


def enough_judged(n_judged: int, n_set_aside: int) -> bool:
    """Whether a prompt can be decided: at least two pictures, and half of what was drawn.

    >>> enough_judged(4, 0), enough_judged(1, 0), enough_judged(7, 9)
    (True, False, False)
    """
    return n_judged >= 2 and n_judged >= n_set_aside


@dataclass(frozen=True, slots=True, kw_only=True)
class CliqueReading:
    """What a look's largest clique says: `members` are its rows, ascending, none where no two agree.

    `flagged`: it is large enough; `clean`: there is proof that none is larger than allowed. Neither: the next
    look decides, or none where the search ran out of its budget.
    """

    members: tuple[int, ...] = ()
    flagged: bool = False
    clean: bool = False


def read_cliques(
    images: NDArray[np.uint8], *, edge_delta: float, flag_at: int, clean_at: int
) -> CliqueReading:
    """Find the largest clique of generations that pairwise nearly agree, as far as the decision needs it.

    Args:
        images: uint8 (n, h, w, 3), what was judged so far.
        edge_delta: largest tile-l2 of two that agree.
        flag_at: clique size that flags.
        clean_at: largest clique with which the prompt is clean.
    """
    smallest = smallest_clique(len(images), flag_at=flag_at, clean_at=clean_at)
    if len(images) < smallest:
        return CliqueReading(clean=len(images) <= clean_at)
    graph = near_duplicate_graph(images, edge_delta, clique_size=smallest)
    return read_graph(graph, flag_at=flag_at, clean_at=clean_at)


def smallest_clique(n: int, *, flag_at: int, clean_at: int) -> int:
    """Return the size of the smallest clique of n generations that a finding tells of."""
    return 2 if n <= EVERY_EDGE else max(2, min(flag_at, clean_at + 1))


def read_graph(graph: NDArray[np.bool_], *, flag_at: int, clean_at: int) -> CliqueReading:
    """Find the largest clique of a graph, as far as the decision needs it; see `read_cliques`."""
    n = len(graph)
    smallest = smallest_clique(n, flag_at=flag_at, clean_at=clean_at)
    if n < smallest:
        return CliqueReading(clean=n <= clean_at)
    answer = find_clique(graph, flag_at)
    if answer.status is CliqueStatus.FOUND:
        return CliqueReading(members=extend_clique(graph, answer.members), flagged=True)
    known = answer.status is CliqueStatus.ABSENT
    # Of few generations the largest clique, of many one that may not be clean.
    for size in range(min(flag_at - 1, n), smallest - 1, -1) if n <= EVERY_EDGE else [smallest]:
        answer = find_clique(graph, size)
        known = known and (answer.status is not CliqueStatus.UNKNOWN or size <= clean_at)
        if answer.members:
            return CliqueReading(members=answer.members, clean=known and size <= clean_at)
    return CliqueReading(clean=known and clean_at >= smallest - 1)


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
