"""Scores of positives and negatives -> how well they are told apart, and how sure that is."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from memex_audit.errors import ConfigurationError
from memex_audit.rates.bounds import binomial_lower


def area_under_roc(positives: Sequence[float], negatives: Sequence[float]) -> float:
    """Return the chance that a positive scores above a negative; equal scores count a half (Mann-Whitney).

    Raises:
        ConfigurationError: there are no positives or no negatives.

    >>> area_under_roc([3.0, 2.0], [1.0, 2.0])
    0.875
    """
    return float(_placements(positives, negatives).mean())


def area_interval(
    positives: Sequence[float], negatives: Sequence[float], confidence: float
) -> tuple[float, float]:
    """Return the two-sided interval of the area under the ROC curve.

    DeLong's variance, on the scale of log(area / (1 - area)), so that it keeps to [0, 1]. Where all positives
    lie above all negatives, or none does, there is no variance to take: the interval then is that of as many
    successes, or failures, as there are of the fewer of the two (Clopper-Pearson), which is wide for few.

    Source: DeLong, DeLong and Clarke-Pearson 1988, "Comparing the areas under two or more correlated ROC
    curves", the variance of one curve.

    Args:
        positives: one score a prompt, which are independent of each other; at least one.
        negatives: likewise.
        confidence: of the interval, in (0, 1).

    Raises:
        ConfigurationError: there are no positives or no negatives.
    """
    placements = _placements(positives, negatives)
    area, (n_positives, n_negatives) = float(placements.mean()), placements.shape
    variance = 0.0
    for means, n in ((placements.mean(axis=1), n_positives), (placements.mean(axis=0), n_negatives)):
        variance += float(means.var(ddof=1)) / n if n > 1 else math.inf
    if area in (0.0, 1.0) or not math.isfinite(variance):
        fewer = min(n_positives, n_negatives)
        edge = binomial_lower(fewer, fewer, (1 + confidence) / 2)
        return (edge, 1.0) if area == 1 else (0.0, 1 - edge) if area == 0 else (0.0, 1.0)
    middle = math.log(area / (1 - area))
    half = float(norm.ppf((1 + confidence) / 2)) * math.sqrt(variance) / (area * (1 - area))
    return _logistic(middle - half), _logistic(middle + half)


def roc_curve(positives: Sequence[float], negatives: Sequence[float]) -> list[tuple[int, int]]:
    """Return the counts (negatives flagged, positives flagged) at every threshold, from none to all.

    Flagged is what scores above the threshold, so scores that are equal are flagged together.

    >>> roc_curve([3.0, 2.0], [1.0, 2.0])
    [(0, 0), (0, 1), (1, 2), (2, 2)]
    """
    above, below = np.asarray(positives, float), np.asarray(negatives, float)
    thresholds = np.unique(np.concatenate([above, below, [-np.inf]]))[::-1]
    return [(int((below > at).sum()), int((above > at).sum())) for at in thresholds]


def _placements(positives: Sequence[float], negatives: Sequence[float]) -> NDArray[np.float64]:
    """1 where a positive scores above a negative, a half where they are equal: (positives, negatives)."""
    if not len(positives) or not len(negatives):
        raise ConfigurationError(
            f"an area must be of positives and negatives, got {len(positives)} and {len(negatives)}; give "
            "both."
        )
    above, below = np.asarray(positives, float)[:, None], np.asarray(negatives, float)[None, :]
    return np.asarray((above > below) + 0.5 * (above == below), dtype=np.float64)


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))
