"""Seed -> pictures that are unlike each other, so that one given back is told from all others.

A picture is a gradient with a few ellipses and boxes on it, all drawn at random. Two pictures are compared
by the means of an 8 x 8 grid of cells: the l2 of these is never more than that of the pixels where the grid
divides the sides (Jensen), and changes little with the size that a trainer brings the pictures to.
"""

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

SHAPES = 5
GRID = 8
# Match delta is at most 0.15: what lies within it of one picture is at least 0.1 from every other.
LEAST_L2 = 0.25


def draw_pictures(n: int, *, height: int, width: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    """Yield `n` pictures, uint8 (height, width, 3), each at least LEAST_L2 from every other by l2."""
    kept: list[NDArray[np.float64]] = []
    number = 0
    while len(kept) < n:
        picture = _draw(random_of("picture", seed, number), height, width)
        number += 1
        cells = cell_means(picture)
        if all(cell_l2(cells, other) >= LEAST_L2 for other in kept):
            kept.append(cells)
            yield picture


def cell_means(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the means of a grid of 8 x 8 cells over a picture (h, w, 3), scaled to [0, 1]: (8, 8, 3)."""
    rows, columns = (np.linspace(0, side, GRID + 1).astype(int) for side in picture.shape[:2])
    scaled = picture.astype(np.float64) / 255
    by_rows = np.add.reduceat(scaled, rows[:-1], axis=0) / np.diff(rows)[:, None, None]
    means: NDArray[np.float64] = np.add.reduceat(by_rows, columns[:-1], axis=1) / np.diff(columns)[:, None]
    return means


def cell_l2(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the root mean square difference of two pictures' cells."""
    return float(np.sqrt(np.mean((one - other) ** 2)))


def random_of(*key: object) -> np.random.Generator:
    """Return a generator that depends on the key alone (SHA-256)."""
    digest = hashlib.sha256("\0".join(map(str, key)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def _draw(random: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    down, across = np.meshgrid(
        (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing="ij"
    )
    angle = random.uniform(0, 2 * np.pi)
    first, second = random.uniform(0, 255, size=(2, 3))
    along = np.clip(np.cos(angle) * (across - 0.5) + np.sin(angle) * (down - 0.5) + 0.5, 0, 1)[..., None]
    canvas = first + (second - first) * along
    for _ in range(SHAPES):
        cover = _shape(random, down, across, softness=1.5 / min(height, width))[..., None]
        canvas += (random.uniform(0, 255, size=3) - canvas) * cover
    drawn: NDArray[np.uint8] = canvas.round().astype(np.uint8)
    return drawn


def _shape(
    random: np.random.Generator, down: NDArray[np.float64], across: NDArray[np.float64], *, softness: float
) -> NDArray[np.float64]:
    """Return how much of each pixel a random ellipse or box covers, in [0, 1]."""
    top, left = random.uniform(0.1, 0.9, size=2)
    radii = random.uniform(0.12, 0.4, size=2)
    angle = random.uniform(0, np.pi)
    u = (np.cos(angle) * (across - left) + np.sin(angle) * (down - top)) / radii[0]
    v = (np.cos(angle) * (down - top) - np.sin(angle) * (across - left)) / radii[1]
    outside = np.hypot(u, v) if random.random() < 0.5 else np.maximum(np.abs(u), np.abs(v))
    covered: NDArray[np.float64] = np.clip(0.5 - (outside - 1) * radii.min() / softness, 0, 1)
    return covered
