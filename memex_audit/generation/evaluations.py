"""How often a picture's latent goes through the network, in each of the stages that draw it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Where a pipeline may have its network.
NETWORKS = ("unet", "transformer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A part of the drawing: the arguments for its number of steps and its guidance."""

    steps: str
    guidance: str | None


# In the order in which they are looked for; the first that a pipeline has is what the options set.
STAGES = (
    Stage(steps="num_inference_steps", guidance="guidance_scale"),
    Stage(steps="prior_num_inference_steps", guidance="prior_guidance_scale"),
    Stage(steps="num_inference_steps", guidance="decoder_guidance_scale"),
    Stage(steps="stage_2_num_inference_steps", guidance="stage_2_guidance_scale"),
    Stage(steps="num_inference_steps", guidance=None),
)


def stages_of(parameters: Mapping[str, Any]) -> tuple[Stage, ...]:
    """Return the stages that a pipeline draws by.

    Args:
        parameters: what its call takes, by name.

    >>> [stage.steps for stage in stages_of({"num_inference_steps": 1, "guidance_scale": 1})]
    ['num_inference_steps']
    """
    found: dict[str, Stage] = {}
    for stage in STAGES:
        if stage.steps in parameters and (stage.guidance is None or stage.guidance in parameters):
            found.setdefault(stage.steps, stage)
    return tuple(found.values())


def other_stages(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of all stages but the first, with their defaults.

    The options set the first stage. What the others do changes pictures too, and a new version of diffusers
    may do it otherwise.
    """
    names = [name for stage in stages_of(parameters)[1:] for name in (stage.steps, stage.guidance) if name]
    return {name: parameters[name].default for name in names}


def network_of(pipeline: Any) -> Any:
    """Return the network of a diffusers pipeline, its unet or transformer; None where it has neither."""
    # Not `or`: a network that was compiled has no truth value.
    parts = (getattr(pipeline, name, None) for name in NETWORKS)
    return next((part for part in parts if part is not None), None)


def count_evaluations(
    config: Mapping[str, Any], parameters: Mapping[str, Any], arguments: Mapping[str, Any]
) -> int:
    """Return the network evaluations that a picture costs in all stages; guidance doubles them.

    Args:
        config: of the unet or transformer.
        parameters: what the pipeline's call takes, by name.
        arguments: what it is called with.

    >>> count_evaluations({}, {}, {"num_inference_steps": 50, "guidance_scale": 7.5})
    100
    """
    # A guidance-distilled network takes the scale as an input and is evaluated once; the pipelines of such
    # families have another argument for guidance by two evaluations, off by default.
    distilled = (
        config.get("guidance_embeds")
        or config.get("time_cond_proj_dim") is not None
        or "true_cfg_scale" in parameters
    )
    total = 0
    for stage in stages_of(parameters) or STAGES[:1]:
        guided = float((stage.guidance and arguments.get(stage.guidance)) or 0) > 1 and not distilled
        total += int(arguments.get(stage.steps, 1)) * (2 if guided else 1)
    return total
