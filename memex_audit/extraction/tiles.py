"""The 4 x 4 tile grid and the blocks inside of it: where pixels are cut, from the image's size alone.

Shapes: n images, h height, w width.
"""

from itertools import pairwise

from memex_audit.errors import ConfigurationError
from memex_audit.extraction.arrays import Images

GRID = 4
LARGEST_BLOCK = 16


def tile_edges(side: int) -> list[int]:
    """Cut a side into four parts that differ by at most one pixel.

    Source: Carlini et al. 2023, section 4.2 (16 tiles of 128 x 128 out of 512 x 512), by fraction of the
    side instead of by pixels, so that nothing is cropped at another resolution.

    Args:
        side: height or width in pixels, at least 4.

    Returns:
        Five ascending positions, the first 0 and the last `side`.

    Raises:
        ConfigurationError: the side is shorter than the grid.

    >>> tile_edges(512)
    [0, 128, 256, 384, 512]
    >>> tile_edges(33)
    [0, 8, 16, 24, 33]
    """
    if side < GRID:
        raise ConfigurationError(
            f"an image must be at least {GRID} pixels high and wide, got a side of {side}. "
            f"Distances are taken on a {GRID} x {GRID} grid of tiles."
        )
    return [part * side // GRID for part in range(GRID + 1)]


def block_edges(side: int) -> list[int]:
    """Cut each of the side's four tiles into blocks of at most 16 pixels, at least four where it has them.

    Returns:
        Ascending positions that contain `tile_edges(side)`: no block lies across two tiles.

    >>> block_edges(512)[:4], len(block_edges(512)) - 1
    ([0, 16, 32, 48], 32)
    >>> block_edges(33)[-5:]
    [24, 26, 28, 30, 33]
    """
    cuts = [0]
    for start, stop in pairwise(tile_edges(side)):
        length = stop - start
        parts = max(min(GRID, length), -(-length // LARGEST_BLOCK))
        cuts += [start + part * length // parts for part in range(1, parts + 1)]
    return cuts


def tile_windows(height: int, width: int) -> list[tuple[slice, slice]]:
    """Return the (rows, columns) of each of the 16 tiles, row by row."""
    rows, columns = tile_edges(height), tile_edges(width)
    return [(slice(*rows[i : i + 2]), slice(*columns[j : j + 2])) for i in range(GRID) for j in range(GRID)]


def check_images(images: Images) -> None:
    """Refuse what is not uint8 (n, h, w, 3) with sides of at least 4.

    Raises:
        ConfigurationError: shape or dtype is another.
    """
    dtype, shape = dtype_name(images), tuple(images.shape)
    if len(shape) != 4 or shape[3] != 3 or dtype != "uint8":
        raise ConfigurationError(f"images must be uint8 of shape (n, h, w, 3), got {dtype} of shape {shape}.")
    tile_windows(shape[1], shape[2])


def dtype_name(images: Images) -> str:
    """Name a dtype as NumPy does, of an array or a tensor."""
    return str(images.dtype).removeprefix("torch.")
