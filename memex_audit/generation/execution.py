"""How a pipeline is run: what saves memory or time, and changes pictures by rounding at most."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from diffusers import DiffusionPipeline

from memex_audit.errors import ConfigurationError, first_line
from memex_audit.generation.evaluations import NETWORKS, network_of
from memex_audit.generation.pipeline_loading import Pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How a pipeline is run; None leaves it as it is loaded. See the functions of these names."""

    attention_slicing: str | None = None
    offload: str | None = None
    compile: str | None = None


def check_execution(execution: Execution, device: str) -> None:
    """Make sure, before anything is loaded, that a pipeline can be run so on this device.

    Raises:
        ConfigurationError: it cannot.
    """
    if execution.offload is None:
        return
    if execution.compile is not None:
        raise ConfigurationError(
            f"--memex-compile must have weights that stay where they are, got {execution.compile} with "
            f"--memex-offload {execution.offload}; take one of them."
        )
    check_offload(execution.offload, device)


def set_execution(pipeline: Pipeline, execution: Execution, device: str) -> None:
    """Let a pipeline, and every stage it is made of, run as it is asked for.

    Args:
        pipeline: of any diffusers family; with `offload` on the CPU.
        execution: as `check_execution` passed it.
        device: where it computes.

    Raises:
        ConfigurationError: this pipeline cannot.
    """
    held = [part for part in vars(pipeline).values() if isinstance(part, DiffusionPipeline)]
    for stage in [pipeline] if isinstance(pipeline, DiffusionPipeline) else held:
        if execution.attention_slicing is not None:
            slice_attention(stage, execution.attention_slicing)
        if execution.compile is not None:
            compile_network(stage, execution.compile)
        if execution.offload is not None:
            offload_weights(stage, execution.offload, device)


def check_offload(offload: str, device: str) -> None:
    """Make sure that weights can lie in main memory while they are not used.

    Raises:
        ConfigurationError: the device's memory is the main memory, or accelerate is not installed.
    """
    if torch.device(device).type == "cpu":
        raise ConfigurationError(
            "--memex-offload must have a device with a memory of its own, cuda or mps, got "
            f"{offload} on cpu; leave it out."
        )
    if find_spec("accelerate") is None:
        raise ConfigurationError(
            f"--memex-offload {offload} needs the package accelerate: pip install accelerate."
        )


def offload_weights(pipeline: Pipeline, offload: str, device: str) -> None:
    """Keep weights in main memory, and bring them to the device for as long as they are used.

    Args:
        pipeline: on the CPU.
        offload: "model", a part at a time, or "sequential", a layer at a time: least memory, and slow.
        device: where they are used.

    Raises:
        ConfigurationError: this pipeline does not say in which order its parts are used.
    """
    try:
        if offload == "model":
            pipeline.enable_model_cpu_offload(device=device)
        else:
            pipeline.enable_sequential_cpu_offload(device=device)
    except ValueError as error:
        raise ConfigurationError(
            f"--memex-offload {offload} must have a pipeline that can do it, {type(pipeline).__name__} "
            f"cannot: {first_line(error)}; leave it out."
        ) from error


def slice_attention(pipeline: Pipeline, slices: str) -> None:
    """Compute attention in slices, one after the other.

    Args:
        pipeline: of a family with a UNet.
        slices: "auto", in two, or "max", a head at a time.

    Raises:
        ConfigurationError: no part of the pipeline can do it; diffusers would leave it as it is, in silence.
    """
    parts = (getattr(pipeline, name, None) for name in pipeline.config)
    if not any(hasattr(part, "set_attention_slice") for part in parts):
        raise ConfigurationError(
            f"--memex-attention-slicing must have a network that can slice it, {type(pipeline).__name__} has "
            "none; leave it out: its attention needs no memory for whole matrices."
        )
    pipeline.enable_attention_slicing(slices)


def compile_network(pipeline: Pipeline, mode: str, *, backend: str = "inductor") -> None:
    """Compile the network at its first call, and again for other shapes; one that is compiled stays so.

    Args:
        pipeline: with a unet or transformer.
        mode: of torch.compile.
        backend: of torch.compile.

    Raises:
        ConfigurationError: the pipeline has no such network.
    """
    network = network_of(pipeline)
    if network is None:
        raise ConfigurationError(
            f"--memex-compile must have a unet or transformer to compile, {type(pipeline).__name__} has "
            "neither; leave it out."
        )
    if hasattr(network, "_orig_mod"):
        return
    options: dict[str, Any] = {"mode": mode} if backend == "inductor" else {}
    compiled = torch.compile(network, backend=backend, **options)
    for name in NETWORKS:
        if getattr(pipeline, name, None) is network:
            replace_part(pipeline, name, compiled)


def replace_part(pipeline: Pipeline, name: str, part: Any) -> None:
    """Put another part in the place of one, in the pipeline and in the stages it is made of."""
    before = getattr(pipeline, name)
    # A pipeline of two stages holds the stages as pipelines of their own.
    for holder in (pipeline, *vars(pipeline).values()):
        if getattr(holder, name, None) is before:
            setattr(holder, name, part)
