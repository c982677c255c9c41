"""Divide an audit set by screen score: all that scores high or is duplicated, and a sample of the rest."""

import math
from collections.abc import Sequence
from dataclasses import replace

from memex_audit.errors import ConfigurationError
from memex_audit.rates.two_phase import cut_at_share, group_scores, sample_needed, split_frame
from memex_audit.records import Calibration, FrameStratum, PromptSet, ScreenScore, ScreenUse

# At least this share of the groups is audited all: a threshold says little of prompts it was not measured on.
LEAST_CENSUS = 0.1
# Groups with near-copies are audited all too, as long as they are no larger share: none is a better screen.
MOST_NEAR_COPIES = 0.2
# Of what the limit allows, extracted above the cut: the sample is large enough to pass such a frame.
PLANNED_SHARE = 0.52


def divide_by_screen(
    prompts: PromptSet,
    scores: Sequence[ScreenScore],
    calibration: Calibration,
    *,
    limit: float,
    confidence: float,
    seed: int,
) -> PromptSet:
    """Keep the prompts of groups that score high or have near-copies, and of as many others as a pass takes.

    The cut is the calibrated threshold of the screen, or the score that a tenth of the groups reach if that
    is lower. The size of the sample is fixed before any outcome is seen: it passes where a
    little more than half of what the limit allows are extracted above the cut, and nothing below.

    Args:
        prompts: of the whole frame.
        scores: one for each prompt, in order.
        calibration: of the model.
        limit: the highest rate that passes.
        confidence: that the run's bound is made at.
        seed: of the sample.

    Raises:
        ConfigurationError: the prompts are themselves a sample of their frame.
    """
    if sampled := [stratum for stratum in prompts.strata if len(stratum.group_ids) < stratum.size]:
        size = sum(stratum.size for stratum in prompts.strata)
        raise ConfigurationError(
            f"--memex-screen must score the whole frame of {size:,} groups, got a sample of "
            f"{len(sampled[0].group_ids):,} of {sampled[0].size:,}; raise --memex-max-prompts: a score "
            "costs little."
        )
    by_prompt = {prompt.prompt_id: s for prompt, s in zip(prompts.prompts, scores, strict=True)}
    of_groups = group_scores(prompts.prompts, {name: s.score for name, s in by_prompt.items()})
    cut = min(_threshold(calibration, scores[0]), cut_at_share(of_groups.values(), LEAST_CENSUS))
    near_copies = {prompt.group_id for prompt in prompts.prompts if prompt.duplication_count > 1}
    if len(near_copies) <= MOST_NEAR_COPIES * len(of_groups):
        of_groups |= dict.fromkeys(near_copies, math.inf)
    split = split_frame(of_groups, cut=cut, seed=seed)
    n_below = sample_needed(
        limit, confidence, above=len(split.above), below=len(split.below),
        extracted_above=min(len(split.above), int(PLANNED_SHARE * limit * split.size)),
    )  # fmt: skip
    below = split.below[:n_below]
    # Each stratum in the order of its draw, so that what a budget leaves of the sample is a sample too.
    place = {group: number for number, group in enumerate((*split.above, *below))}
    kept = [prompt for prompt in prompts.prompts if prompt.group_id in place]
    strata = (
        FrameStratum(name="high score or near-copies", size=len(split.above), group_ids=split.above),
        FrameStratum(name="low score", size=len(split.below), group_ids=below),
    )
    description = (
        f"{prompts.frame.description}; screened by {scores[0].name}: {len(split.above):,} groups score "
        f"{cut:.4g} or more, or have near-copies"
    )
    return replace(
        prompts,
        prompts=tuple(sorted(kept, key=lambda prompt: place[prompt.group_id])),
        frame=replace(prompts.frame, description=description, size=split.size),
        strata=tuple(stratum for stratum in strata if stratum.size),
        screen=ScreenUse(name=scores[0].name, cut=cut, scores=by_prompt),
    )


def _threshold(calibration: Calibration, taken: ScreenScore) -> float:
    kinds = (taken.name, taken.seeds, taken.steps)
    fitting = [s.threshold for s in calibration.screens if (s.name, s.seeds, s.steps) == kinds]
    # Above the threshold, not at it.
    return math.nextafter(fitting[0], math.inf) if fitting else math.inf
