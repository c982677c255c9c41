"""Held-out pictures -> the adaptive distance at which a generation replicates a training image.

A picture that was never trained on shows what chance gives: how near real pictures of this kind come to the
training set. The threshold is set such that hardly any of them would count.
"""

import math
from collections.abc import Sequence

from memex_audit.errors import CalibrationError
from memex_audit.extraction.adaptive_distance import LARGEST_THRESHOLD
from memex_audit.rates.bounds import binomial_lower, binomial_upper
from memex_audit.records import UntargetedThreshold

# Nearer than half of what is usual around it, with alpha 0.5. Ours: the study publishes no threshold.
DEFAULT_THRESHOLD = LARGEST_THRESHOLD
# The share of held-out pictures that may count.
FALSE_POSITIVE_SHARE = 0.001
# None of 59 bounds the share at 5 % (one-sided 95 %); fewer say too little.
FEWEST_HELD_OUT = 59
# Below this, replicas that are plain to see would be missed: the held-out pictures are no held-out pictures.
LOWEST_THRESHOLD = 0.5
DECIMALS = 10_000


def untargeted_threshold(held_out: Sequence[float]) -> UntargetedThreshold:
    """Return the largest threshold, at most DEFAULT_THRESHOLD, that at most 0.1 % of held-out pictures reach.

    Args:
        held_out: adaptive distance of each held-out picture to the training set.

    Returns:
        The threshold (four decimals) with the exact two-sided 95 % interval of the share of held-out
        pictures that reach it.

    Raises:
        CalibrationError: fewer than 59, or the held-out pictures are near-copies of training images.

    >>> chosen = untargeted_threshold([0.9] + [1.6] * 299)
    >>> chosen.threshold, chosen.flagged, round(chosen.upper, 4)
    (0.8999, 0, 0.0122)
    """
    n = len(held_out)
    if n < FEWEST_HELD_OUT:
        raise CalibrationError(
            f"a threshold must be measured on at least {FEWEST_HELD_OUT} held-out pictures (none of them "
            f"near a training image then bounds false positives at 5 %), got {n}; hold more out, or leave "
            "--memex-untargeted-held-out away: the stated default is used then, and called uncalibrated."
        )
    ordered = sorted(held_out)
    beyond = ordered[math.floor(FALSE_POSITIVE_SHARE * n)]
    steps = math.ceil(min(beyond, 2 * DEFAULT_THRESHOLD) * DECIMALS)
    while steps / DECIMALS >= beyond:  # 0.0051 * 10_000 is a little more than 51
        steps -= 1
    chosen = min(DEFAULT_THRESHOLD, steps / DECIMALS)
    if chosen < LOWEST_THRESHOLD:
        near = sum(distance <= LOWEST_THRESHOLD for distance in held_out)
        raise CalibrationError(
            "held-out pictures must not be in the training set, nor near-copies of what is, got "
            f"{near} of {n} at an adaptive distance of {LOWEST_THRESHOLD} or less to a training image; take "
            "these out, or hold out whole groups of near-copies."
        )
    flagged = sum(distance <= chosen for distance in held_out)
    return UntargetedThreshold(
        source="calibrated",
        threshold=chosen,
        held_out=n,
        flagged=flagged,
        lower=binomial_lower(flagged, n, 0.975),
        upper=binomial_upper(flagged, n, 0.975),
    )


def default_threshold() -> UntargetedThreshold:
    """Return the stated default, where nothing was held out: false positives are not bounded."""
    return UntargetedThreshold(source="default", threshold=DEFAULT_THRESHOLD)
