"""A lower bound on tile-l2 from 1/256 of the pixels: images -> block sums -> candidate graph.

By Jensen's inequality the squared differences of two blocks of area a sum to at least (their sums'
difference)^2 / a. What this bound calls far apart is far apart; the rest are candidates, to be looked at
pixel by pixel.

Shapes: n images, h height, w width, y and x rows and columns of the block grid.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from memex_audit.errors import ConfigurationError
from memex_audit.extraction.arrays import Images, arrays_of
from memex_audit.extraction.tiles import block_edges, check_images, tile_windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Rounding of a float64 dot product of k terms is at most k * 1.2e-16 of the norms' sum; of a picture of
# 8192 x 8192 k is 49152 for a tile, 786432 for the whole: 1e-10. The slack moves the bound by less than 1e-5
# of the norms, and only where it is near 0.
SLACK = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockSums:
    """Sums of the pixels over small blocks: small enough to be kept for every generation.

    `sums` is uint16 (n, blocks, 3), blocks row by row; the block grid follows from `height` and `width`
    of the images, so a store needs these three only. A block is at most 16 x 16: 65280 fits uint16.

    Raises:
        ConfigurationError: `sums` is not what images of this size give.
    """

    sums: "NDArray[np.uint16]"
    height: int
    width: int

    def __post_init__(self) -> None:
        expected = (n_blocks(self.height, self.width), 3)
        if self.sums.dtype != np.uint16 or self.sums.ndim != 3 or self.sums.shape[1:] != expected:
            raise ConfigurationError(
                f"block sums of {self.height} x {self.width} images must be uint16 of shape (n, "
                f"{expected[0]}, 3), got {self.sums.dtype} of shape {self.sums.shape}. "
                "They belong to images of another size or to another version; make them again."
            )

    def __len__(self) -> int:
        return len(self.sums)


def n_blocks(height: int, width: int) -> int:
    """Return how many blocks an image of this size is summed over.

    >>> n_blocks(512, 512), n_blocks(32, 32)
    (1024, 256)
    """
    return (len(block_edges(height)) - 1) * (len(block_edges(width)) - 1)


def block_sums(images: Images) -> BlockSums:
    """Sum pixels over blocks that nest in tiles.

    Args:
        images: uint8 (n, h, w, 3), sides of at least 4; a NumPy array, or a torch tensor on any device.

    Returns:
        Exact sums, in main memory.

    Raises:
        ConfigurationError: images of another shape or dtype.

    >>> white = np.full((1, 512, 512, 3), 255, dtype=np.uint8)
    >>> block_sums(white).sums.shape, int(block_sums(white).sums.max())
    ((1, 1024, 3), 65280)
    """
    check_images(images)
    n, height, width = images.shape[:3]
    sums = arrays_of(images).block_sums(images, block_edges(height), block_edges(width))
    return BlockSums(sums=sums.reshape(n, n_blocks(height, width), 3), height=height, width=width)


def lower_bounds(sums: BlockSums) -> "NDArray[np.float64]":
    """Bound the tile-l2 of every pair from below.

    bound = max over tiles of sqrt(sum over the tile's blocks of (dS)^2 / a, over 255^2 and the tile's
    number of values), less a slack that covers rounding.

    Returns:
        float64 (n, n) in [0, 1], symmetric, diagonal 0: nowhere above `tile_l2`.

    >>> images = np.zeros((2, 32, 32, 3), dtype=np.uint8)
    >>> images[1, :8, :8] = 51
    >>> round(float(lower_bounds(block_sums(images))[0, 1]), 6)
    0.2
    """
    everyone = np.arange(len(sums))
    bounds = np.zeros((len(sums), len(sums)))
    for window in tile_windows(sums.height, sums.width):
        np.maximum(bounds, _window_bounds(sums, everyone, window), out=bounds)
    return bounds


def candidate_graph(sums: BlockSums, delta: float) -> "NDArray[np.bool_]":
    """Join the pairs that may lie within `delta`: a graph that contains {tile_l2 <= delta}.

    Args:
        sums: of the images.
        delta: distance in (0, 1].

    Returns:
        bool (n, n), symmetric, diagonal False; no pair within `delta` is missing.
    """
    rows = np.arange(len(sums))
    edges = ~np.eye(len(sums), dtype=bool)
    for window in tile_windows(sums.height, sums.width):
        edges &= _window_bounds(sums, rows, window) <= delta
        # Few images are still near another after two or three tiles.
        near = edges.any(axis=0)
        if not near.all():
            rows, edges = rows[near], edges[np.ix_(near, near)]
    graph = np.zeros((len(sums), len(sums)), dtype=bool)
    graph[np.ix_(rows, rows)] = edges
    return graph


def scaled_blocks(sums: BlockSums, window: tuple[slice, slice]) -> "NDArray[np.float64]":
    """Return (n, 3 * blocks of the window): sums centred by 128, over the root of their block's area.

    The squared distance of two rows is a lower bound on the sum of the squared differences of the pixels.
    """
    edges = block_edges(sums.height), block_edges(sums.width)
    y, x = (
        slice(*np.searchsorted(cuts, (part.start, part.stop)))
        for cuts, part in zip(edges, window, strict=True)
    )
    area = np.outer(np.diff(edges[0])[y], np.diff(edges[1])[x])[..., None].astype(np.float64)
    grid = sums.sums.reshape(len(sums), len(edges[0]) - 1, len(edges[1]) - 1, 3)[:, y, x]
    return ((grid - 128 * area) / np.sqrt(area)).reshape(len(sums), 3 * area.size)


def rows_of(sums: BlockSums, rows: "NDArray[np.intp]") -> BlockSums:
    """Return the block sums of some of the images."""
    return BlockSums(sums=sums.sums[rows], height=sums.height, width=sums.width)


def _window_bounds(
    sums: BlockSums, rows: "NDArray[np.intp]", window: tuple[slice, slice]
) -> "NDArray[np.float64]":
    """Bound the l2 of one tile from below, (m, m) for the m images of `rows`."""
    tile = scaled_blocks(rows_of(sums, rows), window)
    return bounds_between(tile, tile, window)


def bounds_between(
    a: "NDArray[np.float64]", b: "NDArray[np.float64]", window: tuple[slice, slice]
) -> "NDArray[np.float64]":
    """Bound the l2 over a window from below, (n, m), for rows of `scaled_blocks`."""
    squared = a @ b.T
    squared *= -2
    # The norms are added to each other first, so that a pair's bound is one whichever is named first.
    squared += (1 - SLACK) * (np.vecdot(a, a)[:, None] + np.vecdot(b, b))
    squared /= 255**2 * 3 * math.prod(part.stop - part.start for part in window)
    return np.sqrt(np.maximum(squared, 0, out=squared), out=squared)
