"""Count and group near-copies: pairs of neighbors -> duplication counts and duplicate groups."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

# Pairs merged into the groups at a time: 64 MiB, and seldom enough that n does not matter.
PAIRS_AT_A_TIME = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """Near-copies of every image: `counts` and `groups`, each int64 (n,)."""

    counts: "NDArray[np.int64]"
    groups: "NDArray[np.int64]"


def count_duplicates(pairs: "NDArray[np.int64]", n: int) -> "NDArray[np.int64]":
    """Count the images within the duplicate similarity of each image, itself included.

    Never the size of a connected component: in a chain a-b-c of which a and c are no near-copies,
    b has three and the ends have two.

    Args:
        pairs: int64 (m, 2), every pair of neighboring rows once, no row with itself.
        n: number of images.

    Returns:
        int64 (n,), at least 1; 1 is a unique image.

    >>> count_duplicates(np.array([[0, 1], [1, 2]]), 4).tolist()
    [2, 3, 2, 1]
    """
    return 1 + np.bincount(pairs.ravel(), minlength=n).astype(np.int64)


def group_images(pairs: "NDArray[np.int64]", n: int) -> "NDArray[np.int64]":
    """Number the connected components of the near-copies.

    Args:
        pairs: int64 (m, 2), pairs of neighboring rows.
        n: number of images.

    Returns:
        int64 (n,): the group of each image, numbered in the order of their first image.

    >>> group_images(np.array([[0, 2]]), 4).tolist()
    [0, 1, 0, 2]
    """
    return _merge(np.arange(n, dtype=np.int64), pairs)


def find_duplicates(blocks: "Iterable[NDArray[np.int64]]", n: int) -> Duplicates:
    """Count and group in one pass over blocks of pairs: memory does not grow with their number.

    Args:
        blocks: int64 (m, 2) each; every pair of neighboring rows once over all blocks.
        n: number of images.
    """
    counts, groups = np.ones(n, dtype=np.int64), np.arange(n, dtype=np.int64)
    for pairs in _gathered(blocks):
        counts += count_duplicates(pairs, n) - 1
        groups = _merge(groups, pairs)
    return Duplicates(counts=counts, groups=groups)


def _gathered(blocks: "Iterable[NDArray[np.int64]]") -> "Iterator[NDArray[np.int64]]":
    held: list[NDArray[np.int64]] = []
    for pairs in blocks:
        held.append(pairs)
        if sum(map(len, held)) >= PAIRS_AT_A_TIME:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)


def _merge(groups: "NDArray[np.int64]", pairs: "NDArray[np.int64]") -> "NDArray[np.int64]":
    n = len(groups)
    if n == 0:
        return groups
    edges = (np.ones(len(pairs), dtype=bool), (groups[pairs[:, 0]], groups[pairs[:, 1]]))
    _, labels = connected_components(coo_array(edges, shape=(n, n)), directed=False)
    # Numbered by first appearance, so that the result does not hang on how scipy walks the graph.
    _, first, numbers = np.unique(labels[groups], return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[numbers]
