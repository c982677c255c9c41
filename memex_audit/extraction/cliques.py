"""Is there a clique of a given size: near-duplicate graph -> witness, proof of absence, or unknown.

Degree core, then a greedy clique from every vertex, then branch and bound that asks for the given size
only. A set of vertices is one Python integer, a bit a vertex: an intersection is one `&`.

Source: Carlini et al. 2023, section 4.2 (a prompt is flagged when 10 of its 500 generations form a clique).
Bound by colouring: Tomita and Seki 2003. Shapes: n vertices.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from memex_audit.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray


class CliqueStatus(StrEnum):
    """FOUND: there is a witness. ABSENT: proven that there is none. UNKNOWN: the budget ran out."""

    FOUND = "found"
    ABSENT = "absent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class CliqueAnswer:
    """Whether a clique of the size asked for exists; `members` is the witness, ascending, else empty."""

    status: CliqueStatus
    members: tuple[int, ...] = ()


def degree_core(graph: "NDArray[np.bool_]", degree: int) -> "NDArray[np.bool_]":
    """Keep the edges of the `degree`-core, the largest subgraph where every vertex has that many neighbours.

    A clique of m lies in the (m - 1)-core: where that is empty, there is none.

    Args:
        graph: bool (n, n), symmetric, diagonal False.
        degree: least number of neighbours.

    Returns:
        bool (n, n): a copy with the edges outside of the core False.

    >>> path = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=bool)
    >>> bool(degree_core(path, 1).any()), bool(degree_core(path, 2).any())
    (True, False)
    """
    core = graph.copy()
    while True:
        counts = np.count_nonzero(core, axis=0)
        loose = (counts < degree) & (counts > 0)
        if not loose.any():
            return core
        core[loose] = False
        core[:, loose] = False


def find_clique(graph: "NDArray[np.bool_]", size: int, *, work_budget: int = 2_500_000) -> CliqueAnswer:
    """Find a clique of `size` vertices, or prove that there is none.

    Args:
        graph: bool (n, n), symmetric; the diagonal is ignored.
        size: number of vertices asked for, at least 1.
        work_budget: vertices that the search may look at, each up to half a microsecond at n = 500.

    Returns:
        FOUND with `size` members, ABSENT, or UNKNOWN where the budget ran out: never a guess.

    Raises:
        ConfigurationError: the graph is not square, bool and symmetric, or `size` is below 1.

    >>> triangle = np.ones((3, 3), dtype=bool)
    >>> find_clique(triangle, 3).members, find_clique(triangle, 4).status.value
    ((0, 1, 2), 'absent')
    """
    _check(graph, size)
    if size == 1:
        found = len(graph) > 0
        return CliqueAnswer(status=CliqueStatus.FOUND if found else CliqueStatus.ABSENT, members=(0,) * found)
    loopless = graph & ~np.eye(len(graph), dtype=bool)
    core = degree_core(loopless, size - 1)
    vertices = _densest_first(core)
    neighbors = _bitsets(core[np.ix_(vertices, vertices)])
    status, members = CliqueStatus.FOUND, _grow_from_each(neighbors, size)
    if not members:
        status, members = _search(neighbors, size, work_budget)
    return CliqueAnswer(status=status, members=tuple(sorted(int(vertices[v]) for v in members)))


def extend_clique(graph: "NDArray[np.bool_]", members: "Sequence[int]") -> tuple[int, ...]:
    """Grow a clique until no vertex is joined to all of it: the evidence, not only its witness.

    Greedy: the next vertex is the one with the most neighbours among those that still fit, the lowest
    index first where they tie. The result is maximal, not always the largest.

    Args:
        graph: bool (n, n), symmetric; the diagonal is ignored.
        members: a clique of `graph`.

    Returns:
        All members, ascending.

    Raises:
        ConfigurationError: `members` is no clique.

    >>> extend_clique(np.ones((4, 4), dtype=bool), (1, 2))
    (0, 1, 2, 3)
    """
    _check(graph, 1)
    neighbors = _bitsets(graph & ~np.eye(len(graph), dtype=bool))
    fitting, clique = (1 << len(graph)) - 1, 0
    for vertex in members:
        clique |= 1 << vertex
        fitting &= neighbors[vertex]
    if any(clique & ~neighbors[v] != 1 << v for v in members):
        raise ConfigurationError(f"members must be a clique of the graph, got {tuple(members)}.")
    while fitting:
        vertex = max(_bits(fitting), key=lambda v: ((neighbors[v] & fitting).bit_count(), -v))
        clique |= 1 << vertex
        fitting &= neighbors[vertex]
    return tuple(_bits(clique))


def bottleneck_clique_delta(distances: "NDArray[np.float64]", size: int) -> float:
    """Return the smallest delta at which {distance <= delta} holds a clique of `size`.

    Where a search runs out of its budget the clique is taken to be there: the result is then too small,
    never too large, and a threshold calibrated on it errs to the side of fewer edges.

    Args:
        distances: float (n, n), symmetric.
        size: number of vertices, at least 2.

    Returns:
        One of the distances; infinity if n < size.

    Raises:
        ConfigurationError: distances are not square and symmetric, or `size` is below 2.

    >>> bottleneck_clique_delta(np.array([[0, 0.1, 0.3], [0.1, 0, 0.2], [0.3, 0.2, 0]]), 3)
    0.3
    """
    n = len(distances)
    if distances.shape != (n, n) or not np.array_equal(distances, distances.T):
        raise ConfigurationError(
            f"distances must be a symmetric (n, n) matrix of numbers, got shape {distances.shape}."
        )
    if size < 2:
        raise ConfigurationError(f"`size` must be at least 2, got size={size}.")
    if n < size:
        return float("inf")
    steps = np.unique(distances[np.triu_indices(n, 1)])
    low, high = 0, len(steps) - 1
    while low < high:
        middle = (low + high) // 2
        if find_clique(distances <= steps[middle], size).status is CliqueStatus.ABSENT:
            low = middle + 1
        else:
            high = middle
    return float(steps[low])


def _check(graph: "NDArray[np.bool_]", size: int) -> None:
    square = graph.ndim == 2 and graph.shape[0] == graph.shape[1]
    if graph.dtype != np.bool_ or not square or not np.array_equal(graph, graph.T):
        raise ConfigurationError(
            f"a graph must be a symmetric bool (n, n) matrix, got {graph.dtype} of shape {graph.shape}."
        )
    if size < 1:
        raise ConfigurationError(f"`size` must be at least 1, got size={size}.")


def _densest_first(core: "NDArray[np.bool_]") -> "NDArray[np.intp]":
    """Order the core's vertices so that each has the fewest neighbours among those up to itself.

    Branching from the end then meets the smallest candidate sets (the degeneracy order, reversed).
    """
    counts = np.count_nonzero(core, axis=0)
    order = np.empty(np.count_nonzero(counts), dtype=np.intp)
    left = np.where(counts > 0, counts, len(core) + 1)
    for place in reversed(range(len(order))):
        order[place] = vertex = left.argmin()
        left -= core[vertex]
        left[vertex] = 2 * len(core) + 2
    return order


def _bitsets(graph: "NDArray[np.bool_]") -> list[int]:
    packed = np.packbits(graph, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def _bits(bitset: int) -> "Iterator[int]":
    while bitset:
        lowest = bitset & -bitset
        yield lowest.bit_length() - 1
        bitset ^= lowest


def _grow_from_each(neighbors: list[int], size: int) -> list[int]:
    """Take from every vertex the first vertices that fit; return a clique of `size` or nothing."""
    for start, joined in enumerate(neighbors):
        clique, fitting = [start], joined
        while fitting and len(clique) < size:
            lowest = fitting & -fitting
            clique.append(lowest.bit_length() - 1)
            fitting &= neighbors[clique[-1]]
        if len(clique) == size:
            return clique
    return []


def _search(neighbors: list[int], size: int, budget: int) -> tuple[CliqueStatus, list[int]]:
    """Branch and bound without recursion: a clique may be deeper than Python's stack."""
    everything = (1 << len(neighbors)) - 1
    clique: list[int] = []
    stack = [(everything, _beyond_colours(neighbors, everything, size - 1))]
    while stack:
        fitting, branches = stack.pop()
        if not branches:
            if clique:
                clique.pop()
            continue
        vertex = branches.bit_length() - 1
        stack.append((fitting ^ (1 << vertex), branches ^ (1 << vertex)))
        clique.append(vertex)
        missing = size - len(clique)
        if missing == 0:
            return CliqueStatus.FOUND, clique
        inner = fitting & neighbors[vertex]
        budget -= inner.bit_count()
        if budget < 0:
            return CliqueStatus.UNKNOWN, []
        stack.append((inner, _beyond_colours(neighbors, inner, missing - 1)))
    return CliqueStatus.ABSENT, []


def _beyond_colours(neighbors: list[int], fitting: int, n_colours: int) -> int:
    """Return the vertices left after colouring greedily with `n_colours`.

    A colour class holds no edge, so a clique larger than `n_colours` has one of the vertices left over.
    """
    for _ in range(n_colours):
        available = fitting
        while available:
            lowest = available & -available
            fitting ^= lowest
            available = (available ^ lowest) & ~neighbors[lowest.bit_length() - 1]
    return fitting
