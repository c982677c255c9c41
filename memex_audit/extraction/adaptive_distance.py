"""How near a generation is to one training image, measured by how near it is to others: no caption needed.

A threshold on plain l2 finds blurred and empty pictures: these lie near many training images. The adaptive
distance divides by what is usual around the generation:

    l_hat(x', x) = l2(x', x) / (alpha * mean of l2(x', y) over the n training images y nearest to x')

Source: Carlini et al. 2023, section 5.1, with n = 50 and alpha = 0.5. One thing is added: near-copies of x
are left out of the n, x itself is not. Where an image stands 64 times, its copies would be all of the n, and
the distance 1 / alpha for a perfect replica. Without near-copies it is the study's distance.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memex_audit.errors import ConfigurationError

NEIGHBOURS = 50
ALPHA = 0.5
# Of this size a threshold is at most; above it distances are not corrected for near-copies.
LARGEST_THRESHOLD = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveNearest:
    """For each of n generations the training image nearest to it: `columns` int (n,), its l2 `distances`
    float64 (n,), and `adaptive` float64 (n,), the adaptive distance to it."""

    columns: NDArray[np.intp]
    distances: NDArray[np.float64]
    adaptive: NDArray[np.float64]


def no_copies(_: int) -> Sequence[int]:
    """Take every training image for one by itself."""
    return ()


def adaptive_nearest(
    distances: NDArray[np.float64],
    copies_of: Callable[[int], Sequence[int]] = no_copies,
    *,
    neighbours: int = NEIGHBOURS,
    alpha: float = ALPHA,
) -> AdaptiveNearest:
    """Return the training image nearest to each generation, and its adaptive distance.

    Args:
        distances: float64 (n, m), l2 of n generations to m training images; a generation's nearest
            `neighbours` images, beside copies of the nearest, must be among them.
        copies_of: gives the other columns that are near-copies of a column. It is asked for images that some
            generation lies so near to that the distance could come to 1 or less.
        neighbours: how many training images the mean is over; fewer where there are fewer.
        alpha: scale, above 0. With 0.5 an adaptive distance of 1 is half of the mean.

    Returns:
        Adaptive distances in [0, 1 / alpha]; 0 for a generation that equals a training image.

    Raises:
        ConfigurationError: fewer than 2 training images, or a parameter out of range.

    >>> adaptive_nearest(np.array([[0.05, 0.2, 0.25]]), neighbours=2).adaptive.round(3).tolist()
    [0.8]
    >>> copied = np.array([[0.05, 0.05, 0.2]])
    >>> adaptive_nearest(copied, neighbours=2).adaptive.round(3).tolist()
    [2.0]
    >>> adaptive_nearest(copied, lambda _: [1], neighbours=2).adaptive.round(3).tolist()
    [0.8]
    """
    _check(distances, neighbours, alpha)
    n = len(distances)
    columns = distances.argmin(axis=1) if n else np.zeros(0, np.intp)
    nearest = distances[np.arange(n), columns]
    scale = alpha * _mean_of_nearest(distances, neighbours)
    # Elsewhere no choice of neighbours brings the quotient down to LARGEST_THRESHOLD.
    for row in np.flatnonzero(nearest <= LARGEST_THRESHOLD * alpha * distances.max(axis=1, initial=0)):
        others = np.delete(distances[row], list(copies_of(int(columns[row]))))
        scale[row] = alpha * _mean_of_nearest(others[None], neighbours)[0]
    # Where even the mean is 0, the generation equals all of them.
    adaptive = np.divide(nearest, scale, out=np.zeros(n), where=scale > 0)
    return AdaptiveNearest(columns=columns, distances=nearest, adaptive=adaptive)


def _mean_of_nearest(distances: NDArray[np.float64], neighbours: int) -> NDArray[np.float64]:
    k = min(neighbours, distances.shape[1])
    mean: NDArray[np.float64] = np.partition(distances, k - 1, axis=1)[:, :k].mean(axis=1)
    return mean


def _check(distances: NDArray[np.float64], neighbours: int, alpha: float) -> None:
    if neighbours < 2 or not alpha > 0:
        raise ConfigurationError(
            f"`neighbours` must be at least 2 and `alpha` above 0, got neighbours={neighbours}, "
            f"alpha={alpha}. The study takes 50 and 0.5."
        )
    if distances.ndim != 2 or distances.shape[1] < 2:
        raise ConfigurationError(
            "`distances` must be (generations, training images) with at least 2 training images, got shape "
            f"{distances.shape}; give the whole training set."
        )
