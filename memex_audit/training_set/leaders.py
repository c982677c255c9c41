"""Guard groups against chaining: connected near-copies -> one leader for every image.

Among millions of images chains of near-copies hang together what has nothing in common: with a neighbor in
common, a and c are one connected component whatever their cosine. A group is therefore the images near one
leader, the image with most near-copies that no other leader has.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from memex_audit.training_set.near_pairs import near_block
from memex_audit.training_set.vectors import Vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Images whose leaders are settled at a time, and images tested against them at a time.
HEAD, TESTED = 512, 4096


def find_leaders(
    vectors: Vectors,
    counts: "NDArray[np.int64]",
    components: "NDArray[np.int64]",
    *,
    similarity: float,
    margin: float,
    example_ids: Sequence[str] | None = None,
) -> "NDArray[np.int64]":
    """Return the row of each image's leader, itself where it leads or stands alone, int64 (n,).

    In each component the image with most near-copies leads all its near-copies, then the same is done with
    what is left. So leaders are no near-copies of each other, and each image is one of its leader.

    Args:
        vectors: n unit vectors.
        counts: near-copies of each image, itself included.
        components: int64 (n,), equal where images hang together.
        similarity: cosine from which on two are near-copies.
        margin: from `screening_margin`.
        example_ids: n ids, by which images of as many near-copies are ordered, so that the order of the set
            does not matter; None orders by row.
    """
    leaders = np.arange(len(counts), dtype=np.int64)
    for rows in connected(components):
        most = counts[rows].max()
        first = _in_order(rows[counts[rows] == most], counts, example_ids)[0]
        if most == len(rows):
            leaders[rows] = first  # All are near it: nearly every component.
            continue
        ordered = np.array(_in_order(rows, counts, example_ids), dtype=np.int64)
        for leader, led in _cover(vectors, ordered, similarity, margin):
            leaders[led] = leader
    return leaders


def connected(components: "NDArray[np.int64]") -> "Iterator[NDArray[np.int64]]":
    """Yield the rows of every component of two or more, in the order of their first rows."""
    _, first, places, sizes = np.unique(
        components, return_index=True, return_inverse=True, return_counts=True
    )
    several = np.flatnonzero(sizes[places] > 1)
    names = first[places[several]]
    order = np.argsort(names, kind="stable")
    ends = np.flatnonzero(np.diff(names[order]))
    yield from (part for part in np.split(several[order], ends + 1) if len(part))


def _in_order(
    rows: "NDArray[np.int64]", counts: "NDArray[np.int64]", example_ids: Sequence[str] | None
) -> list[int]:
    if example_ids is None:
        return sorted(rows.tolist(), key=lambda row: (-counts[row], row))
    return sorted(rows.tolist(), key=lambda row: (-counts[row], example_ids[row]))


def _cover(
    vectors: Vectors, left: "NDArray[np.int64]", similarity: float, margin: float
) -> "Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]":
    """Yield leaders and the rows they lead, taking leaders in the order of `left`, block by block."""
    while len(left):
        head, others = left[:HEAD], left[HEAD:]
        near = near_block(vectors, head, head, similarity, margin)
        np.fill_diagonal(near, val=True)
        leads = np.zeros(len(head), dtype=bool)
        for i in range(len(head)):
            leads[i] = not near[i, leads].any()
        head_leaders = head[leads]
        yield head_leaders[near[leads].argmax(axis=0)], head
        remaining = [left[:0]]
        for start in range(0, len(others), TESTED):
            tested = others[start : start + TESTED]
            reached = near_block(vectors, head_leaders, tested, similarity, margin)
            led = reached.any(axis=0)
            yield head_leaders[reached[:, led].argmax(axis=0)], tested[led]
            remaining.append(tested[~led])
        left = np.concatenate(remaining)
