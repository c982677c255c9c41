"""Ways to tell which of n images lie within delta by tile-l2, and the exact reference for all of them.

A method takes the images and what it may have ready beforehand, and returns what is to be measured.
"""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
from image_sets import DELTA, Images
from numpy.typing import NDArray

from memex_audit.extraction.block_sums import block_sums
from memex_audit.extraction.distances import near_duplicate_graph

BROADCAST_ROWS = 4

Graph = NDArray[np.bool_]
# Gives the edges, and the share of the work that it did.
Run = Callable[[], tuple[Graph | None, float]]


def quarters(side: int) -> list[tuple[slice, slice]]:
    """Cut a square into 4 x 4 tiles; not the kernel's own code, so that it is checked too."""
    parts = [slice(start, start + side // 4) for start in range(0, side, side // 4)]
    return [(rows, columns) for rows in parts for columns in parts]


def this_kernel(images: Images) -> Run:
    return lambda: (near_duplicate_graph(images, DELTA), 1.0)


def this_kernel_stored_sums(images: Images) -> Run:
    sums = block_sums(images)
    return lambda: (near_duplicate_graph(images, DELTA, sums=sums), 1.0)


def float_gram(images: Images) -> Run:
    def run() -> tuple[Graph, float]:
        worst = np.zeros((len(images), len(images)), np.float32)
        for window in quarters(images.shape[1]):
            tile = images[:, *window].reshape(len(images), -1).astype(np.float32)
            tile -= 128
            gram = tile @ tile.T
            norms = gram.diagonal()
            np.maximum(worst, (norms[:, None] + norms - 2 * gram) / (255**2 * tile.shape[1]), out=worst)
        return worst <= DELTA**2, 1.0

    return run


def torch_cdist(images: Images) -> Run:
    import torch  # noqa: PLC0415 - would count as memory of the other methods

    torch.set_num_threads(1)

    def run() -> tuple[Graph, float]:
        worst = torch.zeros((len(images), len(images)))
        for window in quarters(images.shape[1]):
            tile = torch.from_numpy(images[:, *window].reshape(len(images), -1)).float() / 255
            torch.maximum(worst, torch.cdist(tile, tile) / tile.shape[1] ** 0.5, out=worst)
        return (worst <= DELTA).numpy(), 1.0

    return run


def broadcast_loop(images: Images) -> Run:
    def run() -> tuple[None, float]:
        for image in images[:BROADCAST_ROWS]:
            worst = np.zeros(len(images))
            for window in quarters(images.shape[1]):
                difference = images[:, *window].astype(np.float32) - image[window].astype(np.float32)
                np.maximum(worst, (difference**2).mean(axis=(1, 2, 3)), out=worst)
        return None, BROADCAST_ROWS / len(images)

    return run


def reference(images: Images) -> Run:
    """Decide every edge in integers: float64 products of bytes stay below 2^53, hence exact.

    The 100 pairs nearest to the threshold and 100 others are checked once more by int64 differences.
    """

    def run() -> tuple[Graph, float]:
        edges, nearness = np.ones((len(images),) * 2, bool), np.zeros((len(images),) * 2)
        for window in quarters(images.shape[1]):
            tile = images[:, *window].reshape(len(images), -1)
            gram = np.zeros((len(images),) * 2)
            for start in range(0, tile.shape[1], 1 << 14):
                part = tile[:, start : start + (1 << 14)].astype(np.float64)
                gram += part @ part.T
            squared = gram.diagonal()[:, None] + gram.diagonal() - 2 * gram
            edges &= squared <= int(Fraction(DELTA) ** 2 * 255**2 * tile.shape[1])
            np.maximum(nearness, np.sqrt(squared / tile.shape[1]) / 255, out=nearness)
        first, second = np.triu_indices(len(images), 1)
        close = np.abs(nearness[first, second] - DELTA).argsort()[:100]
        for pair in (*close, *np.random.default_rng(0).integers(0, len(first), 100)):
            i, j = int(first[pair]), int(second[pair])
            assert edges[i, j] == edge_by_differences(images[i], images[j]), (i, j)
        np.fill_diagonal(edges, val=False)
        return edges, 1.0

    return run


def edge_by_differences(a: Images, b: Images) -> bool:
    squared = (a.astype(np.int64) - b.astype(np.int64)) ** 2
    limit = Fraction(DELTA) ** 2 * 255**2
    return all(int(squared[window].sum()) <= limit * squared[window].size for window in quarters(len(a)))


METHODS = {
    f.__name__: f
    for f in (this_kernel, this_kernel_stored_sums, float_gram, torch_cdist, broadcast_loop, reference)
}
