"""What a pipeline's network predicts on the way to a picture: for the screens, before any picture is drawn.

The pipeline itself is run, stopped after the steps that are wanted, and watched at two places: where its
network answers and where its sampler takes a step. So latents, prompts and guidance are those of a picture in
every family of diffusers, and what the sampler was given shows whether the two halves of the network's answer
are the unconditional and the conditional one.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memex_audit.errors import ScreenUnavailable
from memex_audit.generation.evaluations import network_of
from memex_audit.generation.families import takes_prompts
from memex_audit.generation.noise_levels import NoiseLevel, level_of_step, low_noise_level, predicted_picture
from memex_audit.records import Prediction

# diffusers has no typed base that names what its pipelines share.
Pipeline: TypeAlias = Any
# Runs the pipeline on the requests, with its arguments and these in their place.
Draw: TypeAlias = Callable[..., object]

# The least scale at which a pipeline evaluates the network without a prompt too: what it draws is that of 1.
BARELY_GUIDED = 1 + 1e-6
# The pipeline's arithmetic in half precision differs from this one's by about a thousandth.
GUIDANCE_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One answer of the network: what it was called with, and what came back."""

    called_with: inspect.BoundArguments
    latent: Tensor
    output: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the sampler: the network's answers for it, and what the sampler was given of them."""

    evaluations: tuple[Evaluation, ...]
    given: Tensor
    timestep: float
    sample_shape: tuple[int, ...]


class EnoughSteps(Exception):  # noqa: N818 - no error: it ends a run of the pipeline from within
    """The steps that were wanted are done."""


def why_no_guidance(config: Mapping[str, Any], parameters: Mapping[str, Any]) -> str | None:
    """Return why a model's prediction has no unconditional counterpart; None where it may have one.

    Args:
        config: of the unet or transformer.
        parameters: what the pipeline's call takes, by name.
    """
    for name in ("guidance_embeds", "time_cond_proj_dim"):
        if config.get(name):
            return (
                f"its network takes the guidance scale as an input ({name}): guidance was distilled into it, "
                "and no prediction without a prompt is left to compare with"
            )
    if "true_cfg_scale" in parameters:
        return "its pipeline evaluates no empty prompt beside the prompt (guidance by true_cfg_scale is off)"
    if "guidance_scale" not in parameters:
        return "its pipeline takes no guidance_scale, and so evaluates no empty prompt beside the prompt"
    return None


def predict_steps(
    pipeline: Pipeline, draw: Draw, arguments: Mapping[str, Any], *, n: int, steps: int, unconditional: bool
) -> tuple[Prediction, ...]:
    """Return the predictions of the first steps; see protocols.Denoises.

    Args:
        pipeline: a text-to-image pipeline.
        draw: runs it on the `n` requests; takes what is to replace `arguments`.
        arguments: what pictures are drawn with.
        n: number of requests.
        steps: of the sampler, from the first; each is one evaluation of the network a latent.
        unconditional: also predict without a prompt.

    Raises:
        ScreenUnavailable: the model has no such predictions.
    """
    taken = _take_steps(pipeline, draw, arguments, n=n, steps=steps, unconditional=unconditional)
    scale = _scale(arguments, unconditional=unconditional)
    scheduler = pipeline.scheduler
    return tuple(
        _prediction(
            level_of_step(scheduler, number, step.timestep),
            _the_evaluation(pipeline, step, n=n, scale=scale),
            unconditional=unconditional,
        )
        for number, step in enumerate(taken)
    )


def predict_low_noise(
    pipeline: Pipeline, draw: Draw, arguments: Mapping[str, Any], *, n: int
) -> tuple[Prediction, Prediction]:
    """Return the predictions at the first step, and for the same noise at a low level.

    See protocols.Denoises; the arguments are those of `predict_steps`.

    Raises:
        ScreenUnavailable: the model has no such predictions.
    """
    (step,) = _take_steps(pipeline, draw, arguments, n=n, steps=1, unconditional=True)
    first = _the_evaluation(pipeline, step, n=n, scale=_scale(arguments, unconditional=True))
    level = level_of_step(pipeline.scheduler, 0, step.timestep)
    low, timestep = low_noise_level(pipeline.scheduler)
    again = first.called_with
    if "timestep" not in again.arguments:
        raise ScreenUnavailable(
            f"{type(pipeline).__name__} must tell its network a timestep for this screen, got none; take "
            "another screen."
        )
    told = torch.as_tensor(again.arguments["timestep"])
    # Some families tell the network a timestep in [0, 1], others in training steps.
    unit = float(told.flatten()[0]) / step.timestep if step.timestep else 1.0
    again.arguments["timestep"] = torch.full_like(told, timestep * unit)
    with torch.inference_mode():
        output = _network(pipeline)(*again.args, **again.kwargs)
    second = _without_variance(Evaluation(called_with=again, latent=first.latent, output=_tensor(output)))
    return (
        _prediction(level, first, unconditional=True),
        _prediction(low, second, unconditional=True),
    )


def _scale(arguments: Mapping[str, Any], *, unconditional: bool) -> float:
    guidance = float(arguments.get("guidance_scale") or 0)
    return max(guidance, BARELY_GUIDED) if unconditional else 1.0


def _take_steps(
    pipeline: Pipeline, draw: Draw, arguments: Mapping[str, Any], *, n: int, steps: int, unconditional: bool
) -> list[Step]:
    if not takes_prompts(pipeline):
        raise ScreenUnavailable(
            f"a screen must have prompts to compare, {type(pipeline).__name__} draws without any; audit it "
            "without a screen."
        )
    config = getattr(_network(pipeline), "config", None) or {}
    parameters = inspect.signature(pipeline.__call__).parameters
    reason = why_no_guidance(config, parameters)
    if unconditional and reason:
        raise ScreenUnavailable(
            f"a guidance difference must have a prediction without a prompt, {type(pipeline).__name__} has "
            f"none: {reason}. It does not exist for this model; audit without this screen."
        )
    others: dict[str, Any] = {"output_type": "latent"}
    # Of a distilled network the scale is an input, which must be that of a picture.
    if reason is None:
        others["guidance_scale"] = _scale(arguments, unconditional=unconditional)
    with _watched(pipeline, steps) as taken, suppress(EnoughSteps):
        draw(**others)
    if len(taken) < steps:
        raise ScreenUnavailable(
            f"a screen of {steps} steps must have a sampler that takes as many, got {len(taken)} for {n} "
            "pictures; take fewer, or audit with more --memex-steps."
        )
    return taken


@contextmanager
def _watched(pipeline: Pipeline, steps: int) -> Iterator[list[Step]]:
    """Keep what the network answers and the sampler is given; end the run after `steps` steps."""
    network, scheduler = _network(pipeline), pipeline.scheduler
    # A compiled network hides the names of its arguments.
    forward = inspect.signature(getattr(network, "_orig_mod", network).forward)
    take = scheduler.step
    answered: list[Evaluation] = []
    taken: list[Step] = []

    def keep(_: object, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        called_with = forward.bind(*args, **kwargs)
        latent = next(iter(called_with.arguments.values()))
        answered.append(Evaluation(called_with=called_with, latent=latent, output=_tensor(output)))

    @functools.wraps(take)  # pipelines look at its signature
    def watch(model_output: Tensor, timestep: Any, sample: Tensor, *args: Any, **kwargs: Any) -> Any:
        taken.append(
            Step(
                evaluations=tuple(answered),
                given=model_output,
                timestep=float(torch.as_tensor(timestep).flatten()[0]),
                sample_shape=tuple(sample.shape),
            )
        )
        answered.clear()
        if len(taken) == steps:
            raise EnoughSteps
        return take(model_output, timestep, sample, *args, **kwargs)

    hook = network.register_forward_hook(keep, with_kwargs=True)
    scheduler.step = watch
    try:
        yield taken
    finally:
        hook.remove()
        del scheduler.step


def _the_evaluation(pipeline: Pipeline, step: Step, *, n: int, scale: float) -> Evaluation:
    """Return a step's only evaluation, when it is made up as the screens read it."""
    name = type(pipeline).__name__
    rows = n if scale == 1 else 2 * n
    answers = [len(evaluation.output) for evaluation in step.evaluations]
    if answers != [rows] or len(step.given) != n:
        raise ScreenUnavailable(
            f"{name} must evaluate its network once a step, on {rows} latents for {n} pictures, and give its "
            f"sampler {n}, got {answers or 'none'} and {len(step.given)}; its predictions cannot be read, "
            "audit without this screen."
        )
    evaluation = _without_variance(step.evaluations[0])
    given = _means(step.given, step.sample_shape)
    shapes = [tuple(part.shape[1:]) for part in (evaluation.latent, evaluation.output, given)]
    if any(shape != step.sample_shape[1:] for shape in shapes):
        raise ScreenUnavailable(
            f"{name} must predict something of the latent's own shape and give all of it to its sampler, got "
            f"{', '.join(map(str, shapes))} for a latent of {step.sample_shape[1:]}; its predictions cannot "
            "be read, audit without this screen."
        )
    output, given = evaluation.output.float(), given.float()
    expected, rule = output, "give its sampler what its network predicts, got something else"
    if scale != 1:
        without, prompted = output.chunk(2)
        expected = without + scale * (prompted - without)
        rule = "guide by without + scale * (with - without), the prompt's half second, got another sum"
    if (given - expected).norm() > GUIDANCE_TOLERANCE * given.norm():
        raise ScreenUnavailable(
            f"{name} must {rule}; its predictions cannot be read, audit without this screen."
        )
    return evaluation


def _without_variance(evaluation: Evaluation) -> Evaluation:
    return replace(evaluation, output=_means(evaluation.output, evaluation.latent.shape))


def _means(output: Tensor, of_latent: Sequence[int]) -> Tensor:
    """Leave off the second half of an image's channels where a network predicts its own variance there.

    So do DeepFloyd IF, Kandinsky's decoder, PixArt and Hunyuan-DiT; the screens read the mean alone.
    """
    channels = of_latent[1]
    return output[:, :channels] if output.ndim == 4 and output.shape[1] == 2 * channels else output


def _prediction(level: NoiseLevel, evaluation: Evaluation, *, unconditional: bool) -> Prediction:
    latent, output = _rows(evaluation.latent), _rows(evaluation.output)
    pictures = predicted_picture(level, latent, output)
    n = len(pictures) // 2 if unconditional else len(pictures)
    return Prediction(
        latent=latent[-n:],
        conditional=pictures[-n:],
        unconditional=pictures[:n] if unconditional else None,
        signal=level.signal,
        noise=level.noise,
    )


def _rows(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().float().cpu().flatten(1).numpy()


def _tensor(output: Any) -> Tensor:
    value: Tensor = output[0] if isinstance(output, tuple) else output.sample
    return value


def _network(pipeline: Pipeline) -> Any:
    network = network_of(pipeline)
    if network is None:
        raise ScreenUnavailable(
            f"a screen must have a unet or transformer to read, {type(pipeline).__name__} has neither; audit "
            "without a screen."
        )
    return network
