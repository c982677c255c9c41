"""Distances between images, exact to the integer: pixels -> (n, n) -> near-duplicate graph.

l2(a, b) = sqrt(mean((a - b)^2)) over pixels scaled to [0, 1], a root mean square: a threshold means the
same at every resolution. tile_l2 is its maximum over a 4 x 4 grid of tiles: plain l2 calls two images with
the same grey background near-copies. Images are NumPy arrays, or torch tensors on any device, where their
products are taken: arrays.py.

Source: Carlini et al. 2023, "Extracting Training Data from Diffusion Models", sections 3 and 4.2.
Shapes: n images, m of them, h height, w width, k values of a tile.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from memex_audit.errors import ConfigurationError
from memex_audit.extraction.arrays import EXACT_TERMS, Images, arrays_of
from memex_audit.extraction.block_sums import BlockSums, block_sums, candidate_graph
from memex_audit.extraction.cliques import degree_core
from memex_audit.extraction.tiles import check_images, dtype_name, tile_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Loader = Callable[[NDArray[np.intp]], Images]

# 1024 products of bytes centred by 128 sum to at most 2^24 in magnitude, and up to there float32 holds
# every integer: exact in whatever order they are summed, with or without fused multiply-add.
STRIP = EXACT_TERMS


def l2(a: Images, b: Images) -> float:
    """Return the root mean square difference of two images, pixels scaled to [0, 1].

    Source: Carlini et al. 2023, section 4.1.

    Args:
        a: uint8 (h, w, 3).
        b: uint8, of the same shape.

    Returns:
        A distance in [0, 1]; the sum of squares is exact.

    Raises:
        ConfigurationError: another dtype, or shapes that differ.

    >>> black, grey = np.zeros((8, 8, 3), dtype=np.uint8), np.full((8, 8, 3), 51, dtype=np.uint8)
    >>> l2(black, grey)
    0.2
    """
    return float(l2_to_many(a, b[None])[0])


def l2_to_many(image: Images, others: Images) -> "NDArray[np.float64]":
    """Return the l2 of one image to each of many.

    Args:
        image: uint8 (h, w, 3).
        others: uint8 (n, h, w, 3).

    Returns:
        float64 (n,) in [0, 1]; the sums of squares are exact.

    Raises:
        ConfigurationError: another dtype, or shapes that differ.

    >>> image = np.zeros((8, 8, 3), dtype=np.uint8)
    >>> l2_to_many(image, np.stack([image, image + 255])).tolist()
    [0.0, 1.0]
    """
    return l2_between(image[None], others).reshape(len(others))


def l2_between(images: Images, others: Images) -> "NDArray[np.float64]":
    """Return the l2 of each of some images to each of others: `l2_to_many`, by matrix products.

    Args:
        images: uint8 (n, h, w, 3).
        others: uint8 (m, h, w, 3).

    Returns:
        float64 (n, m) in [0, 1]; the sums of squares are exact.

    Raises:
        ConfigurationError: another dtype, or shapes that differ.

    >>> images = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    >>> images[1] = 255
    >>> l2_between(images, images[:1]).tolist()
    [[0.0], [1.0]]
    """
    check_images(images)
    check_images(others)
    if len(images) and len(others):
        _check_one_shape(images[0], others[0])
    arrays = arrays_of(images, others)
    a, b = (
        arrays.brought(stack).reshape(len(stack), math.prod(stack.shape[1:])) for stack in (images, others)
    )
    squared: Any = 0
    with arrays.exact():
        for start in range(0, a.shape[1], STRIP):
            # As in _window_l2: each sum below is exact in float32, and they are added as integers.
            x, y = (arrays.float32(stack[:, start : start + STRIP]) - 128 for stack in (a, b))
            squared -= 2 * arrays.int64(x @ y.T)
            squared += arrays.int64((x * x).sum(1))[:, None]
            squared += arrays.int64((y * y).sum(1))
    return _root_mean_square(arrays.numpy(squared).astype(np.float64), a.shape[1])


def tile_l2(images: Images) -> "NDArray[np.float64]":
    """Return the tile-l2 of every pair: the largest l2 of a tile, over a 4 x 4 grid of tiles.

    Source: Carlini et al. 2023, section 4.2. Sides that 4 does not divide are split as evenly as possible.

    Args:
        images: uint8 (n, h, w, 3), sides of at least 4.

    Returns:
        float64 (n, n) in [0, 1], symmetric, diagonal 0; the sums of squares are exact.

    Raises:
        ConfigurationError: images of another shape or dtype.

    >>> images = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    >>> images[1, 0, 0] = 255
    >>> tile_l2(images)[0, 1], l2(*images)
    (np.float64(0.5), 0.125)
    """
    check_images(images)
    everyone = np.arange(len(images))
    distances = np.zeros((len(images), len(images)))
    for window in tile_windows(*images.shape[1:3]):
        np.maximum(distances, _window_l2(images[:, *window], everyone), out=distances)
    return distances


def tile_l2_between(a: Images, b: Images) -> float:
    """Return the tile-l2 of one pair, by integer arithmetic.

    Args:
        a: uint8 (h, w, 3), sides of at least 4.
        b: uint8, of the same shape.

    Returns:
        A distance in [0, 1].

    Raises:
        ConfigurationError: another dtype, or shapes that differ.

    >>> black = np.zeros((8, 8, 3), dtype=np.uint8)
    >>> tile_l2_between(black, black + 255)
    1.0
    """
    check_images(a[None])
    _check_one_shape(a, b)
    a, b = (arrays_of(image).numpy(image) for image in (a, b))
    squared = (a.astype(np.int64) - b) ** 2
    tiles = [squared[window] for window in tile_windows(*a.shape[:2])]
    sums, sizes = np.array([(tile.sum(), tile.size) for tile in tiles]).T
    return float(_root_mean_square(sums.astype(np.float64), sizes).max())


def near_duplicate_graph(
    images: "Images | Loader",
    delta: float,
    *,
    sums: BlockSums | None = None,
    clique_size: int = 2,
) -> "NDArray[np.bool_]":
    """Join the images that lie within `delta` of each other by tile-l2.

    Block sums rule most pairs out; only images that still have enough candidate neighbours for a clique
    of `clique_size` are looked at pixel by pixel, a tile at a time, as long as they keep them.

    Source: Carlini et al. 2023, section 4.2.

    Args:
        images: uint8 (n, h, w, 3), or a function that loads such an array for the rows it is given,
            ascending; it is called once for each connected group of candidates, and never where the block
            sums decide alone.
        delta: largest distance of an edge, in (0, 1].
        sums: block sums of all images, in order; made here where not given, needed with a function.
        clique_size: size of the cliques that matter. With 2 every edge is kept.

    Returns:
        bool (n, n), symmetric, diagonal False. With clique_size 2: exactly {tile_l2 <= delta}. With
        clique_size m: exactly the (m - 1)-core of that graph, which holds all its cliques of m or more;
        edges outside of the core are False. No edge at all proves that there is no clique of m.

    Raises:
        ConfigurationError: `delta` or `clique_size` out of range, images of another shape or dtype, block
            sums of other images, or a function without block sums.

    >>> images = np.zeros((3, 8, 8, 3), dtype=np.uint8)
    >>> images[2] = 255
    >>> near_duplicate_graph(images, 0.1).astype(int).tolist()
    [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    """
    _check_thresholds(delta, clique_size)
    sums = _matching_sums(images, sums)
    graph = degree_core(candidate_graph(sums, delta), clique_size - 1)
    for rows in _connected_groups(graph):
        pixels = images(rows) if callable(images) else images
        within = np.arange(len(rows)) if callable(images) else rows
        shape, dtype = tuple(pixels.shape), dtype_name(pixels)
        if shape[1:] != (sums.height, sums.width, 3) or dtype != "uint8":
            raise ConfigurationError(
                f"images must be uint8 of shape (n, {sums.height}, {sums.width}, 3) like their block sums, "
                f"got {dtype} of shape {shape}."
            )
        block = np.ix_(rows, rows)
        graph[block] = _confirm(pixels, within, graph[block], delta, clique_size)
    return graph


def _confirm(
    pixels: Images,
    rows: "NDArray[np.intp]",
    candidates: "NDArray[np.bool_]",
    delta: float,
    clique_size: int,
) -> "NDArray[np.bool_]":
    """Keep the candidate edges that hold on every tile; `rows` are the candidates' places in `pixels`."""
    edges = candidates
    for window in tile_windows(*pixels.shape[1:3]):
        for group in _connected_groups(edges):
            close = _window_l2(pixels[:, *window], rows[group]) <= delta
            edges[np.ix_(group, group)] &= close
        edges = degree_core(edges, clique_size - 1)
    return edges


def _window_l2(pixels: Images, rows: "NDArray[np.intp]") -> "NDArray[np.float64]":
    """Return the l2 (m, m) of these rows of `pixels`, uint8 (n, h, w, 3), exact to the integer."""
    arrays = arrays_of(pixels)
    values = arrays.rows(pixels, rows).reshape(len(rows), math.prod(pixels.shape[1:]))
    products: Any = 0
    with arrays.exact():
        for start in range(0, values.shape[1], STRIP):
            strip = arrays.float32(values[:, start : start + STRIP])
            strip -= 128
            products += arrays.int64(strip @ strip.T)
    gram = arrays.numpy(products).astype(np.float64)
    norms = gram.diagonal().copy()
    gram *= -2
    gram += norms[:, None] + norms
    return _root_mean_square(gram, values.shape[1])


def _root_mean_square(
    squared: "NDArray[np.float64]", n_values: "int | NDArray[np.intp]"
) -> "NDArray[np.float64]":
    """Scale sums of squares of bytes; the one place, so that equal sums give equal distances."""
    mean = squared / (255.0**2 * n_values)
    return np.sqrt(mean, out=mean)


def _connected_groups(graph: "NDArray[np.bool_]") -> "Iterator[NDArray[np.intp]]":
    """Yield the connected components of two or more vertices, each ascending."""
    unseen = graph.any(axis=0)
    while unseen.any():
        group = np.zeros(len(graph), dtype=bool)
        frontier = np.array([unseen.argmax()])
        while frontier.size:
            group[frontier] = True
            frontier = np.flatnonzero(graph[frontier].any(axis=0) & ~group)
        unseen &= ~group
        yield np.flatnonzero(group)


def _matching_sums(images: "Images | Loader", sums: BlockSums | None) -> BlockSums:
    if callable(images):
        if sums is None:
            raise ConfigurationError(
                "`sums` must be given where images are loaded by a function; make them with block_sums when "
                "the images are made."
            )
        return sums
    if sums is None:
        return block_sums(images)
    if len(sums) != len(images):
        raise ConfigurationError(
            f"`sums` must belong to the images, got {len(sums)} block sums for {len(images)} images."
        )
    return sums


def _check_one_shape(a: Images, b: Images) -> None:
    if tuple(a.shape) != tuple(b.shape) or dtype_name(a) != dtype_name(b):
        raise ConfigurationError(
            f"two images must have one shape and dtype, got {dtype_name(a)} {tuple(a.shape)} and "
            f"{dtype_name(b)} {tuple(b.shape)}; "
            "resize one of them."
        )


def _check_thresholds(delta: float, clique_size: int) -> None:
    if not 0 < delta <= 1:
        raise ConfigurationError(
            f"`delta` must be in (0, 1], got delta={delta}. Distances are scaled to [0, 1]."
        )
    if clique_size < 2:
        raise ConfigurationError(
            f"`clique_size` must be at least 2, got clique_size={clique_size}. With 2 every edge is kept."
        )
