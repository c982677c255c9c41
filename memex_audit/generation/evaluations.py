"""How often a picture's latent goes through the network."""

from collections.abc import Mapping
from typing import Any


def network_of(pipeline: Any) -> Any:
    """Return the network of a diffusers pipeline, its unet or transformer; None where it has neither."""
    # Not `or`: a network that was compiled has no truth value.
    parts = (getattr(pipeline, name, None) for name in ("unet", "transformer"))
    return next((part for part in parts if part is not None), None)


def count_evaluations(
    config: Mapping[str, Any], parameters: Mapping[str, Any], arguments: Mapping[str, Any]
) -> int:
    """Return the network evaluations that a picture costs; guidance doubles them.

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
    guided = float(arguments.get("guidance_scale") or 0) > 1 and not distilled
    return int(arguments.get("num_inference_steps", 1)) * (2 if guided else 1)
