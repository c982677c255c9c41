"""Distances -> rank -> exposure: how much nearer the model comes to a planted picture than chance would."""

import math

import numpy as np
from numpy.typing import NDArray

from memex_audit.errors import CanaryError


def rank_of_planted(distances: NDArray[np.float64]) -> int:
    """Return the rank of a planted picture among candidates by how near a caption's generations come.

    Candidates are ordered by the least l2 of any generation. The rank is the number of candidates that come
    at least as near as the planted one, itself included: ties count against it. To a model that never saw the
    planted picture all candidates are alike, and the rank is uniform on 1 to |R| (without ties).

    Args:
        distances: (n generations, |R| candidates), the planted picture in column 0. Without generations
            nothing came near, and the rank is the last.

    Raises:
        CanaryError: there is no candidate.
    """
    if distances.shape[1] < 1:
        raise CanaryError("exposure must have at least 1 candidate picture, got 0; keep the planted one.")
    if not len(distances):
        return int(distances.shape[1])
    nearest = distances.min(axis=0)
    return int(np.count_nonzero(nearest <= nearest[0]))


def exposure(rank: int, candidates: int) -> float:
    """Return log2 |R| - log2 rank: bits by which the planted picture stands out of |R| candidates.

    It is at most log2 |R|, which rank 1 gives, and 0 for the last. Without memorization an exposure of b bits
    or more has a probability of at most 2^-b, and the mean is log2 |R| - log2(|R|!) / |R|, 1.375 for 64.

    Source: Carlini et al. 2019, "The Secret Sharer", section 4.

    >>> exposure(1, 64), exposure(64, 64), exposure(8, 64)
    (6.0, 0.0, 3.0)
    """
    if not 1 <= rank <= candidates:
        raise CanaryError(f"`rank` must be in 1 to {candidates}, got rank={rank}; count the planted one too.")
    return math.log2(candidates) - math.log2(rank)


def chance_exposure(candidates: int) -> float:
    """Return the mean exposure of pictures that were never planted: log2 |R| - log2(|R|!) / |R|.

    >>> round(chance_exposure(64), 3), chance_exposure(1)
    (1.375, 0.0)
    """
    return math.log2(candidates) - math.lgamma(candidates + 1) / math.log(2) / candidates
