"""Run a calibration: negative prompts -> generations -> thresholds (`memex calibrate`)."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memex_audit.controls import negative_prompts, negative_set
from memex_audit.errors import CalibrationError
from memex_audit.extraction.calibration import (
    LARGEST_EDGE_DELTA,
    check_negatives,
    choose_edge_delta,
    choose_match_delta,
    flagging_delta,
    least_delta_beyond,
    negatives_needed,
)
from memex_audit.extraction.protocol import SequentialTest
from memex_audit.few_captions import generations_of_caption
from memex_audit.generation.filling import draw
from memex_audit.looking import comparable
from memex_audit.protocols import Generator
from memex_audit.rates.bounds import binomial_upper
from memex_audit.rates.images_extracted import has_few_captions
from memex_audit.records import AuditPrompt, Calibration, PromptSet
from memex_audit.screen_thresholds import calibrate_screens
from memex_audit.thresholds import planned_test
from memex_audit.training_set import read_prompt_file
from memex_audit.workbench import Workbench

# Prompts drawn further at a time while the threshold is searched for.
STEP = 8


def calibrate_model(
    bench: Workbench, negatives: Path | None, alpha: float, reference: Workbench | None = None
) -> Calibration:
    """Measure edge delta and match delta on negative prompts of the bench's model.

    Edge delta: the largest at which the protocol flags at most a share `alpha` of the negatives. Match
    delta: see extraction.calibration.choose_match_delta.

    `reference`: a model of the same kind that is known to be clean (a base model, a twin). The negatives
    are drawn from it, because a model that memorized gives replicas even for captions it never saw. Where
    captions are few, it is also asked for these, with as many pictures as their audit takes: none of the
    training images, which it never saw, may count as extracted.

    Raises:
        CalibrationError: fewer negatives than `alpha` needs.
    """
    model, bench = bench, reference or bench
    prompts = _negatives(bench, negatives, alpha)
    texts = [prompt.text for prompt in prompts.prompts]
    check_negatives(len(texts), alpha)
    _check_recorded(bench.generator, texts, planned_test(model.settings).looks[-1])
    # Not the protocol of the bench: that is read from a calibration, which this one may be to replace.
    test = planned_test(model.settings)
    first = _draw(bench, texts, test.looks[0])
    nearest, second_seed = _distances(bench, prompts.prompts, first)
    deltas = _flagging_deltas(bench, texts, test, alpha=alpha)
    edge_delta = choose_edge_delta(deltas, alpha)
    flagged = sum(delta <= edge_delta for delta in deltas)
    few_captions = _second_seeds_of_few_captions(model, reference) if reference else []
    return Calibration(
        source="calibrated",
        edge_delta=edge_delta,
        match_delta=choose_match_delta(nearest, second_seed, alpha=alpha, few_captions=few_captions),
        clique_size=test.flag_at[-1],
        protocol=model.settings.preset,
        negatives=len(texts),
        flagged=flagged,
        upper=binomial_upper(flagged, len(texts), 0.95),
        model_fingerprint=model.generator.fingerprint,
        settings_digest=model.settings_key,
        reference=reference.settings.model if reference else None,
        looks=test.looks,
        clean_at=test.clean_at,
        embedder=bench.mined.embedder_name if bench.mined else None,
        screens=tuple(calibrate_screens(model, texts, alpha)),
    )


def _check_recorded(generator: Generator, texts: Sequence[str], n: int) -> None:
    """Check that a folder of generations holds what is to be compared.

    Raises:
        CalibrationError: it lacks some of a negative prompt; what has no pictures is flagged at no delta.
    """
    recorded = getattr(generator, "recorded", None)
    if recorded is None or getattr(generator, "draws", True):
        return
    lacking = sum(len(recorded.of(text)) < n for text in texts)
    if lacking:
        raise CalibrationError(
            f"a folder of generations must hold {n} pictures of each negative prompt to be calibrated, got "
            f"fewer of {lacking:,} of {len(texts):,}; name prompts that were never trained on, and that it "
            "holds, with --negatives FILE."
        )


def renew_screens(
    bench: Workbench, negatives: Path | None, alpha: float, calibration: Calibration
) -> Calibration:
    """Return the calibration with the screens' thresholds of the bench's model, measured anew.

    Nothing else is changed, and no picture is drawn.

    Raises:
        CalibrationError: it is of another model or other sampler settings, or there are fewer negatives than
            `alpha` needs.
    """
    other = "another model" if calibration.model_fingerprint != bench.generator.fingerprint else None
    if calibration.settings_digest != bench.settings_key:
        other = other or "other sampler settings"
    if other:
        raise CalibrationError(
            "screens must be put into a calibration of the same model and sampler settings, got one for "
            f"{other}; calibrate without --only-screens."
        )
    texts = [prompt.text for prompt in _negatives(bench, negatives, alpha).prompts]
    check_negatives(len(texts), alpha)
    return replace(calibration, screens=tuple(calibrate_screens(bench, texts, alpha)))


def _second_seeds_of_few_captions(model: Workbench, reference: Workbench) -> list[float]:
    """Return, for each caption of the model, the least l2 within which two seeds of the reference lie of one
    training image; nothing where captions are many."""
    if model.matcher is None or not has_few_captions(model.prompts):
        return []
    found = []
    for prompt in model.prompts.prompts:
        n = (
            generations_of_caption(model.settings, len(prompt.example_ids))
            or planned_test(model.settings).looks[-1]
        )
        (images,) = _draw(reference, [prompt.text], n)
        _, second_seed = _distances(reference, [prompt], [images])
        found += second_seed
    return found


def _negatives(bench: Workbench, path: Path | None, alpha: float) -> PromptSet:
    if path is None:
        return negative_prompts(bench.prompts, negatives_needed(alpha), seed=bench.settings.seed)
    listed = negative_set([prompt.text for prompt in read_prompt_file(path).prompts])
    return bench.tie_to_training_set(listed) if bench.mined else listed


def _flagging_deltas(
    bench: Workbench, texts: Sequence[str], test: SequentialTest, *, alpha: float
) -> list[float]:
    """Return each prompt's flagging delta, or its lower bound where the bound is enough.

    What the first look that can stop clean says bounds it from below. Prompts are drawn to the last look in
    that order, until more than the allowed share is known to flag below the next bound.
    """
    stops = next((i for i, clean_at in enumerate(test.clean_at) if clean_at), len(test.looks) - 1)
    seen = _draw(bench, texts, test.looks[stops])
    bounds = [least_delta_beyond(images, test, stops) for images in seen]
    if stops == len(test.looks) - 1:
        return bounds
    order = sorted(range(len(texts)), key=bounds.__getitem__)
    allowed = int(alpha * len(texts))
    deltas = list(bounds)
    known: list[float] = []
    for start in count(0, STEP):
        rows = order[start : start + STEP]
        if not rows or bounds[rows[0]] > LARGEST_EDGE_DELTA:
            return deltas
        if sum(delta <= bounds[rows[0]] for delta in known) > allowed:
            return deltas
        drawn = _draw(bench, [texts[row] for row in rows], test.looks[-1])
        for row, images in zip(rows, drawn, strict=True):
            deltas[row] = flagging_delta(images, test)
            known.append(deltas[row])
    return deltas


def _draw(bench: Workbench, texts: Sequence[str], n: int) -> list[NDArray[np.uint8]]:
    drawn = draw(bench.unit_store, lambda: bench.generator, texts, n, batch_size=bench.batch_size)
    return [comparable(pictures)[0] for pictures in drawn]


def _distances(
    bench: Workbench, prompts: Sequence[AuditPrompt], drawn: Sequence[NDArray[np.uint8]]
) -> tuple[list[float], list[float]]:
    """Return each generation's l2 to its nearest training image, and for each prompt the least l2 within
    which two of its generations lie of one training image."""
    nearest: list[float] = []
    second_seed: list[float] = []
    for prompt, images in zip(prompts, drawn, strict=True):
        if bench.matcher is None or len(images) < 2:
            continue
        own = bench.matcher.distances_to(images, prompt.example_ids).distances
        distances = np.hstack([own, bench.matcher.distances_to_neighbors(images).distances])
        nearest += distances.min(axis=1).tolist()
        second_seed.append(float(np.sort(distances, axis=0)[1].min()))
    return nearest, second_seed
