"""Prompts -> screen scores, in batches across prompts and seeds; each screen is written once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from memex_audit.batch_size import BatchSize
from memex_audit.errors import ConfigurationError, ModelError, ScreenUnavailable
from memex_audit.protocols import Denoises
from memex_audit.records import GenerationRequest, ScreenScore
from memex_audit.screening.score_files import ScoreFiles
from memex_audit.screening.scores import anisotropy, guidance_difference, one_step_clique

# Prompts that are scored, and written down, at a time.
PROMPTS_AT_ONCE = 64
MOST_STEPS = 5
# The clique is looked for among all halves of the seeds.
MOST_SEEDS = 12

Measured = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """A screen: what it reads of a request, and what it makes of a prompt's seeds.

    `measure(denoiser, requests, steps)` gives a row a request; `combine` a prompt's score from the rows of
    its seeds. `seeds` and `steps` are those it takes where nothing else is asked for, `least_seeds` and
    `most_steps` what it can. `evaluations` counts network evaluations of one seed for so many steps.
    """

    name: str
    measure: Callable[[Denoises, Sequence[GenerationRequest], int], Measured]
    combine: Callable[[Measured], float]
    evaluations: Callable[[int], int]
    seeds: int
    steps: int = 1
    least_seeds: int = 1
    most_steps: int = 1


def _measure_guidance(denoiser: Denoises, requests: Sequence[GenerationRequest], steps: int) -> Measured:
    return guidance_difference(denoiser.predict_steps(requests, steps=steps))[:, None]


def _measure_anisotropy(denoiser: Denoises, requests: Sequence[GenerationRequest], _: int) -> Measured:
    return anisotropy(*denoiser.predict_low_noise(requests))[:, None]


def _measure_pictures(denoiser: Denoises, requests: Sequence[GenerationRequest], _: int) -> Measured:
    (first,) = denoiser.predict_steps(requests, steps=1, unconditional=False)
    return first.conditional.astype(np.float64)


def _mean(rows: Measured) -> float:
    return float(rows.mean())


def _clique(rows: Measured) -> float:
    return one_step_clique(rows.astype(np.float32))


SCREENS: Mapping[str, Screen] = MappingProxyType(
    {
        screen.name: screen
        for screen in (
            Screen(
                name="guidance-difference", measure=_measure_guidance, combine=_mean,
                evaluations=lambda steps: 2 * steps, seeds=4, most_steps=MOST_STEPS,
            ),
            Screen(
                name="anisotropy", measure=_measure_anisotropy, combine=_mean,
                evaluations=lambda _: 4, seeds=1,
            ),
            Screen(
                name="one-step-clique", measure=_measure_pictures, combine=_clique,
                evaluations=lambda _: 1, seeds=4, least_seeds=2,
            ),
        )
    }
)  # fmt: skip


def screen_prompts(
    denoiser: Callable[[], object],
    name: str,
    prompts: Sequence[str],
    *,
    request: Callable[[str, int], GenerationRequest],
    seeds: int | None = None,
    steps: int | None = None,
    batch_size: int | BatchSize = 8,
    kept: ScoreFiles | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> list[ScreenScore]:
    """Score prompts with a screen; returns one score a prompt, in order.

    The seeds are a prompt's first ones, those of its first pictures. A score does not depend on which other
    prompts are scored beside it, but for rounding.

    Args:
        denoiser: gives the generator; called only if a score is missing from `kept`.
        name: of the screen, a key of SCREENS.
        prompts: texts; one that stands twice is scored once.
        request: a prompt's request of a number (UnitStore.request of the audit's own store).
        seeds: pictures' seeds a prompt; None for what the screen takes by itself.
        steps: sampler steps of each; None likewise.
        batch_size: latents given to the generator at once; fewer where memory runs out.
        kept: where scores of this model and these settings are kept; None to keep none.
        progress: hears the number of prompts just scored.

    Raises:
        ConfigurationError: no such screen, or it cannot be taken with so many seeds or steps.
        ScreenUnavailable: the quantity does not exist for this model; the message says why.
        ModelError: the model gave no numbers.
    """
    screen = find_screen(name)
    seeds, steps = _checked(screen, seeds, steps)
    cost = seeds * screen.evaluations(steps)
    batch_size = BatchSize.of(batch_size)
    there = dict(kept.read(name, seeds, steps, prompts)) if kept else {}
    missing = [prompt for prompt in dict.fromkeys(prompts) if prompt not in there]
    for first in range(0, len(missing), PROMPTS_AT_ONCE):
        block = missing[first : first + PROMPTS_AT_ONCE]
        requests = [request(prompt, number) for prompt in block for number in range(seeds)]
        rows = _measure(denoiser(), screen, requests, steps, batch_size)
        scores = {
            prompt: screen.combine(rows[number * seeds : (number + 1) * seeds])
            for number, prompt in enumerate(block)
        }
        if kept:
            kept.write(name, seeds, steps, scores)
        there |= scores
        progress(len(block))
    return [
        ScreenScore(name=name, score=there[prompt], network_evaluations=cost, seeds=seeds, steps=steps)
        for prompt in prompts
    ]


def find_screen(name: str) -> Screen:
    """Return the screen of this name.

    Raises:
        ConfigurationError: there is none.
    """
    if name not in SCREENS:
        raise ConfigurationError(f"a screen must be one of {', '.join(SCREENS)}, got {name!r}.")
    return SCREENS[name]


def _checked(screen: Screen, seeds: int | None, steps: int | None) -> tuple[int, int]:
    seeds = screen.seeds if seeds is None else seeds
    steps = screen.steps if steps is None else steps
    if not screen.least_seeds <= seeds <= MOST_SEEDS:
        raise ConfigurationError(
            f"the screen {screen.name} must have {screen.least_seeds} to {MOST_SEEDS} seeds, "
            f"got seeds={seeds}."
        )
    if not 1 <= steps <= screen.most_steps:
        raise ConfigurationError(
            f"the screen {screen.name} must have 1 to {screen.most_steps} steps, got steps={steps}."
        )
    return seeds, steps


def _measure(
    generator: object,
    screen: Screen,
    requests: Sequence[GenerationRequest],
    steps: int,
    batch_size: BatchSize,
) -> Measured:
    if not isinstance(generator, Denoises):
        raise ScreenUnavailable(
            f"a screen must read what a network predicts, got {type(generator).__name__}, which offers no "
            "predict_steps and predict_low_noise; audit without a screen."
        )
    measured: list[Measured] = []
    waiting = tuple(requests)
    while waiting:
        at_once = waiting[: batch_size.at_once]
        try:
            measured.append(screen.measure(generator, at_once, steps))
        except Exception as error:
            if not batch_size.halve_after(error, len(at_once)):
                raise
        else:
            batch_size.held()
            waiting = waiting[len(at_once) :]
    rows = np.concatenate(measured)
    if not np.isfinite(rows).all():
        raise ModelError(
            f"the screen {screen.name} must be taken of finite predictions, got NaN or infinity for "
            f"{int((~np.isfinite(rows)).any(axis=1).sum())} of {len(rows)} latents; try --memex-dtype fp32."
        )
    return rows
