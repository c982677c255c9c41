"""Choose thresholds from prompts that are known not to be memorized.

The unit is the prompt: a threshold is judged by the share of negative prompts that the whole protocol
would flag, not by pairs of pictures, which are not independent.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from memex_audit.errors import CalibrationError
from memex_audit.extraction.cliques import bottleneck_clique_delta
from memex_audit.extraction.distances import tile_l2
from memex_audit.extraction.protocol import SequentialTest

# The study's match threshold (Carlini et al. 2023, section 4.2). A calibration may only tighten it.
LARGEST_MATCH_DELTA = 0.15
MATCH_QUANTILE = 0.01
# Replicas lie far below what negatives reach (docs/decisions/003): room for a margin, and need of one, since
# an extraction is a stronger word than a flag.
SECOND_SEED_MARGIN = 0.6
# Above this, generations agree in little but their colours, and each joined pair costs a dozen pictures.
LARGEST_EDGE_DELTA = 0.20


def flagging_delta(images: NDArray[np.uint8], test: SequentialTest) -> float:
    """Return the least edge delta at which the test flags a prompt with these generations.

    It is flagged at look i where a clique of flag_at[i] stands there, and a larger one than clean_at[j] at
    every look j before: the largest of these deltas, at the look where that is least. Both grow with delta.

    Args:
        images: uint8 (n, h, w, 3), every generation of the last look, in order.
        test: looks and boundaries.
    """
    return _deltas(images, test, len(test.looks))[0]


def least_delta_beyond(images: NDArray[np.uint8], test: SequentialTest, look: int) -> float:
    """Return a delta below which the test flags no prompt with these generations, whatever comes after them.

    It is flagged by that look, or has to go on past it. After the last look: the flagging delta itself.

    Args:
        images: uint8 (n, h, w, 3), every generation of that look, in order.
        test: looks and boundaries.
        look: its number, from 0.
    """
    flagged, went_on = _deltas(images, test, look + 1)
    return flagged if look + 1 == len(test.looks) else min(flagged, went_on)


def _deltas(images: NDArray[np.uint8], test: SequentialTest, n_looks: int) -> tuple[float, float]:
    """Return the least deltas at which the first looks flag, and at which none of them is clean."""
    distances = tile_l2(images)
    flagged, went_on = math.inf, 0.0
    for n, flag_at, clean_at in zip(test.looks[:n_looks], test.flag_at, test.clean_at, strict=False):
        seen = distances[:n, :n]
        if flag_at <= n:
            flagged = min(flagged, max(went_on, bottleneck_clique_delta(seen, flag_at)))
        if clean_at:
            went_on = max(went_on, bottleneck_clique_delta(seen, clean_at + 1))
    return flagged, went_on


def negatives_needed(alpha: float) -> int:
    """Return how many negatives it takes to bound a share of `alpha` at 95 % when none is flagged.

    >>> negatives_needed(0.05), negatives_needed(0.01)
    (59, 299)
    """
    return math.ceil(math.log(0.05) / math.log1p(-alpha))


def check_negatives(n: int, alpha: float) -> None:
    """Refuse to calibrate on too few negatives.

    Raises:
        CalibrationError: `n` is less than `alpha` needs.
    """
    if n < negatives_needed(alpha):
        raise CalibrationError(
            f"a false alarm rate of {alpha:g} needs at least {negatives_needed(alpha)} negative prompts, "
            f"got {n}; give more, or a larger --alpha."
        )


def choose_edge_delta(flagging_deltas: Sequence[float], alpha: float) -> float:
    """Return the largest edge delta (four decimals) that flags at most a share `alpha` of the negatives.

    Args:
        flagging_deltas: for each negative the least delta that flags it, or a lower bound of it that is
            above the result.

    Raises:
        CalibrationError: more negatives than that repeat one picture: no delta is small enough.

    >>> choose_edge_delta([0.1, 0.2, 0.2, 0.24], alpha=0.25)
    0.1999
    """
    allowed = math.floor(alpha * len(flagging_deltas))
    beyond = min(LARGEST_EDGE_DELTA, sorted(flagging_deltas)[allowed])
    steps = math.ceil(beyond * 10_000)
    while steps > 0 and steps / 10_000 >= beyond:  # 0.0051 * 10_000 is a little more than 51
        steps -= 1
    if steps < 1:
        raise CalibrationError(
            f"at most {allowed} of {len(flagging_deltas)} negatives may repeat one picture, but more do; "
            "such a model cannot be calibrated with them: look at what it draws, or give other negatives."
        )
    return steps / 10_000


def choose_match_delta(
    nearest: Sequence[float],
    second_seed: Sequence[float] = (),
    *,
    alpha: float = 0.01,
    few_captions: Sequence[float] = (),
) -> float:
    """Return the match delta (four decimals): far enough from what negatives reach by chance.

    delta = min(0.15, 1 % quantile of `nearest`, 0.6 * second_seed[alpha], 0.6 * min(few_captions))

    where second_seed[alpha] is the least value that more than a share alpha of the prompts reach.

    The quantile alone is about single pictures; a prompt counts as extracted when two of its seeds lie near
    one training image, and with dozens of images a prompt that happens more often than 1 % suggests.

    Args:
        nearest: for each generation of a negative, its l2 to the nearest training image.
        second_seed: for each negative prompt, the least l2 within which two seeds lie of one training image.
        alpha: share of the negatives that may come nearer; a few negatives can be memorized after all.
        few_captions: the same as `second_seed`, for captions of the audit that a clean model was asked for
            with as many seeds as the audit takes. It saw none of their images: none may count as extracted.

    Raises:
        CalibrationError: negatives lie on training images: nothing could be told from them.
    """
    chosen = LARGEST_MATCH_DELTA
    if len(nearest):
        chosen = min(chosen, float(np.quantile(np.asarray(nearest), MATCH_QUANTILE)))
    if len(second_seed):
        chosen = min(chosen, SECOND_SEED_MARGIN * sorted(second_seed)[math.floor(alpha * len(second_seed))])
    if len(few_captions):
        chosen = min(chosen, SECOND_SEED_MARGIN * min(few_captions))
    if chosen < 1e-4:
        raise CalibrationError(
            f"negatives must not give training images back, got an l2 of {chosen:.2g} to one for more of "
            "them than --alpha allows; give prompts that were never trained on with --negatives."
        )
    return math.floor(chosen * 10_000) / 10_000
