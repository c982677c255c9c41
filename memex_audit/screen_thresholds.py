"""Scores of negative prompts -> the screen's threshold, with how often it flags them."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from memex_audit.errors import CalibrationError, ScreenUnavailable
from memex_audit.extraction.calibration import check_negatives
from memex_audit.model_bench import ModelBench
from memex_audit.protocols import Denoises
from memex_audit.rates.bounds import binomial_lower, binomial_upper
from memex_audit.records import ScreenScore, ScreenThreshold
from memex_audit.screening.screens import SCREENS, screen_prompts

# Each side of the two-sided 95 % interval.
ONE_SIDE = 0.975


def choose_threshold(negatives: Sequence[ScreenScore], alpha: float) -> ScreenThreshold:
    """Return the most sensitive threshold that flags at most a share `alpha` of the negatives.

    Flagged is what scores ABOVE the threshold. Of n negatives, floor(alpha * n) may be: the threshold is the
    next score after those, and where several negatives have that score none of them is flagged. No lower
    threshold keeps to `alpha`.

    Args:
        negatives: the scores of one screen for prompts that the model cannot have memorized, all with the
            same seeds and steps.
        alpha: the largest false positive rate, in (0, 1).

    Raises:
        CalibrationError: fewer negatives than `alpha` needs, scores of several screens or that are no
            numbers, or all alike.

    >>> scores = [
    ...     ScreenScore(name="anisotropy", score=float(n), network_evaluations=4, seeds=1, steps=1)
    ...     for n in range(60)
    ... ]
    >>> found = choose_threshold(scores, alpha=0.05)
    >>> found.threshold, found.flagged, found.negatives
    (56.0, 3, 60)
    """
    check_negatives(len(negatives), alpha)
    kinds = {(score.name, score.seeds, score.steps) for score in negatives}
    if len(kinds) > 1:
        raise CalibrationError(
            f"a threshold must be of one screen with the same seeds and steps, got {sorted(kinds)}; choose "
            "one for each."
        )
    ((name, seeds, steps),) = kinds
    scores = np.sort(np.array([score.score for score in negatives]))[::-1]
    if not np.isfinite(scores).all():
        raise CalibrationError(
            f"scores of {name} must be finite, got {int((~np.isfinite(scores)).sum())} that are not; screen "
            "the negatives again."
        )
    if scores[0] == scores[-1]:
        raise CalibrationError(
            f"negatives must differ in their scores of {name}, got {scores[0]:g} for all {len(scores)}: the "
            "screen tells nothing apart for this model; give other negatives, or audit without it."
        )
    threshold = float(scores[math.floor(alpha * len(scores))])
    flagged = int((scores > threshold).sum())
    return ScreenThreshold(
        name=name,
        threshold=threshold,
        flagged=flagged,
        negatives=len(scores),
        lower=binomial_lower(flagged, len(scores), ONE_SIDE),
        upper=binomial_upper(flagged, len(scores), ONE_SIDE),
        seeds=seeds,
        steps=steps,
    )


def calibrate_screens(bench: ModelBench, negatives: Sequence[str], alpha: float) -> Iterator[ScreenThreshold]:
    """Yield the threshold of each screen that the model of the bench allows, on these prompts.

    The scores are those of the model itself, whatever drew the pictures of its calibration: a score is a size
    of the model's own predictions, and another model's has another scale. A screen that cannot be taken is
    left out, with a note on the bench.
    """
    if not isinstance(bench.generator, Denoises):
        bench.notes.append(
            f"no thresholds for screens: {type(bench.generator).__name__} offers no predict_steps and "
            "predict_low_noise."
        )
        return
    for name in SCREENS:
        try:
            scores = screen_prompts(
                lambda: bench.generator,
                name,
                negatives,
                request=bench.unit_store.request,
                batch_size=bench.batch_size,
                kept=bench.screen_scores,
            )
            yield choose_threshold(scores, alpha)
        except (ScreenUnavailable, CalibrationError) as error:
            bench.notes.append(f"no threshold for the screen {name}: {error}")
