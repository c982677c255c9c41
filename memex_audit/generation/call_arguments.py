"""Sampler settings -> what a pipeline is called with, and the scheduler it takes its steps by."""

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

from memex_audit.errors import ConfigurationError, first_line
from memex_audit.generation.denoiser import why_no_guidance
from memex_audit.generation.evaluations import network_of, other_stages
from memex_audit.generation.execution import replace_part
from memex_audit.generation.model_folder import SamplerSettings
from memex_audit.generation.pipeline_loading import Pipeline


def call_arguments(pipeline: Pipeline, sampler: SamplerSettings) -> dict[str, Any]:
    """Return settings as arguments of the pipeline's call.

    What is not set gets the pipeline's default, written out, so that a new version's other default makes
    other settings. A negative prompt is there only where one is set.

    Raises:
        ConfigurationError: the pipeline takes no such argument, or would not read the negative prompt.
    """
    parameters = inspect.signature(pipeline.__call__).parameters
    wanted: dict[str, Any] = {"num_inference_steps": sampler.steps, "guidance_scale": sampler.guidance}
    if sampler.size is not None:
        wanted["height"], wanted["width"] = sampler.size
    if sampler.negative_prompt is not None:
        wanted["negative_prompt"] = sampler.negative_prompt
    arguments = other_stages(parameters)
    for name, value in wanted.items():
        if name not in parameters:
            if value is not None:
                raise ConfigurationError(
                    f"{type(pipeline).__name__} takes no {name}, got {name}={value}; leave it out."
                )
            continue
        arguments[name] = parameters[name].default if value is None else value
    _check_negative_prompt(pipeline, arguments, parameters)
    return arguments


def _check_negative_prompt(
    pipeline: Pipeline, arguments: Mapping[str, Any], parameters: Mapping[str, Any]
) -> None:
    """Refuse a negative prompt that the pipeline takes and leaves unread: pictures would be without it."""
    if "negative_prompt" not in arguments:
        return
    reason = why_no_guidance(getattr(network_of(pipeline), "config", None) or {}, parameters)
    scale = float(arguments.get("guidance_scale") or 0)
    if reason is None and scale <= 1:
        reason = f"guidance_scale={scale:g} means no guidance, and only guidance above 1 reads it"
    if reason is None and "prior_num_inference_steps" in parameters:
        # diffusers 0.42: Kandinsky's prior draws both in one batch, and has random numbers for half of it.
        reason = "its prior cannot draw with a random number generator a picture beside a negative prompt"
    if reason:
        raise ConfigurationError(
            f"a negative prompt must be read by the model, {type(pipeline).__name__} would not: {reason}; "
            "leave --memex-negative-prompt out."
        )


def set_scheduler(pipeline: Pipeline, name: str) -> None:
    """Let the pipeline take its steps by another scheduler, made from the configuration of its own.

    Args:
        pipeline: of any diffusers family.
        name: a class of diffusers that its scheduler is compatible with, such as DDIMScheduler.

    Raises:
        ConfigurationError: there is no such class, it is not compatible, or it cannot have that
            configuration; the message names those that can be taken.
    """
    before = pipeline.scheduler
    classes = _schedulers_like(before)
    if name not in classes:
        stems = {_stem(known): known for known in classes}
        near = [stems[close] for close in difflib.get_close_matches(_stem(name), stems, n=1, cutoff=0.5)]
        raise ConfigurationError(
            f"--memex-scheduler must be a scheduler that fits {type(pipeline).__name__}, one of "
            f"{', '.join(sorted(classes))}, got {name!r}"
            + (f"; did you mean {near[0]}?" if near else "; leave it out to take the model's own.")
        )
    try:
        after = classes[name].from_config(before.config)
    except (ValueError, TypeError, ImportError, NotImplementedError) as error:
        raise ConfigurationError(
            f"--memex-scheduler must be able to take the configuration of {type(before).__name__}, got "
            f"{name}: {first_line(error)}; take another, or leave it out."
        ) from error
    replace_part(pipeline, "scheduler", after)


def _stem(name: str) -> str:
    return name.lower().removesuffix("scheduler")


def _schedulers_like(scheduler: Any) -> dict[str, Any]:
    """Return the classes that can take a scheduler's place, by name."""
    same_noise = "beta_schedule" in inspect.signature(type(scheduler)).parameters
    return {
        found.__name__: found
        for found in getattr(scheduler, "compatibles", [type(scheduler)])
        # Classes whose package is not installed stand in diffusers as placeholders.
        if not hasattr(found, "_backends")
        # EDMEulerScheduler is listed too, and would drop the noise levels that the model was trained at.
        and (not same_noise or "beta_schedule" in inspect.signature(found).parameters)
    }
