"""Put a LoRA on top of a loaded pipeline, and make sure that all of it arrived there."""

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from diffusers.utils import logging as diffusers_logging
from safetensors import safe_open

from memex_audit.errors import ConfigurationError, ModelError
from memex_audit.generation.diffusers_pipeline import DiffusersGenerator
from memex_audit.generation.pipeline_loading import Pipeline
from memex_audit.records import Generation, GenerationRequest

ADAPTER = "memex"


def apply_lora(pipeline: Pipeline, file: Path, weight: float) -> None:
    """Load a LoRA into a pipeline and give it its weight; one that is there already is left as it is.

    Where weights of the file fit nothing in the model, diffusers logs a warning and goes on, and the audit
    would be one of another model. Here that is an error.

    Args:
        pipeline: of any diffusers family that takes a LoRA.
        file: safetensors.
        weight: scale of the LoRA's change, 1.0 as it was trained.

    Raises:
        ConfigurationError: `peft` is not installed.
        ModelError: the pipeline takes no LoRA, the file cannot be read, or not all of it fits.
    """
    if find_spec("peft") is None:
        raise ConfigurationError("--memex-lora needs the package peft: pip install 'memex-audit[lora]'.")
    if not hasattr(pipeline, "load_lora_weights"):
        raise ModelError(f"--memex-lora needs a pipeline that takes a LoRA, got {type(pipeline).__name__}.")
    if any(ADAPTER in names for names in pipeline.get_list_adapters().values()):
        return
    try:
        loaded, expected = _load(pipeline, file)
    except Exception as error:  # whatever a foreign or broken file happens to make diffusers raise
        said = " ".join(str(error).split())[:300]
        raise ModelError(f"{_must_fit(file)}, got {type(error).__name__}: {said}; {_ADVICE}") from error
    if loaded < max(1, expected):
        raise ModelError(f"{_must_fit(file)}, got {loaded} of its {expected} tensors in place; {_ADVICE}")
    pipeline.set_adapters([ADAPTER], adapter_weights=[weight])


class WithoutLora:
    """A Generator over the same pipeline without its LoRA: the base of a fine-tune, at no further memory.

    Args:
        generator: over a pipeline with a LoRA on top.
        fingerprint: of the model alone.
    """

    # Its fingerprint is of what the files hold: nobody needs to compare pictures.
    named_by_files = True

    def __init__(self, generator: DiffusersGenerator, *, fingerprint: str) -> None:
        self._generator = generator
        self.fingerprint = fingerprint
        self.settings = generator.settings
        self.seeded = generator.seeded
        self.shareable = generator.shareable
        self.evaluations_per_image = generator.evaluations_per_image

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[Generation]:
        """Draw without the LoRA, which is back before anything is yielded."""
        pipeline = self._generator.pipeline
        pipeline.disable_lora()
        try:
            drawn = list(self._generator.generate(requests))
        finally:
            pipeline.enable_lora()
        yield from drawn


_ADVICE = "give the model that it was trained on with --memex-model."


def _must_fit(file: Path) -> str:
    return f"the LoRA {file} must fit the model"


def _load(pipeline: Pipeline, file: Path) -> tuple[int, int]:
    """Load the LoRA; return how many tensors it put into the model, and how many it holds."""
    verbosity = diffusers_logging.get_verbosity()
    # It warns of every part that the LoRA does not touch, which most leave the text encoder.
    diffusers_logging.set_verbosity_error()
    try:
        options = {"weight_name": file.name, "use_safetensors": True, "local_files_only": True}
        expected = _n_tensors(pipeline, file, options)
        pipeline.load_lora_weights(str(file.parent), adapter_name=ADAPTER, **options)
    finally:
        diffusers_logging.set_verbosity(verbosity)
    adapted = (getattr(pipeline, part) for part in pipeline.get_list_adapters())
    loaded = sum(ADAPTER in name.split(".") for part in adapted for name, _ in part.named_parameters())
    return loaded, expected


def _n_tensors(pipeline: Pipeline, file: Path, options: dict[str, Any]) -> int:
    """Count the LoRA's tensors in the names and shapes that diffusers gives them: those of other trainers
    are renamed, split and joined on the way."""
    if hasattr(pipeline, "unet"):
        options = {**options, "unet_config": pipeline.unet.config}  # SDXL's names depend on it
    found = pipeline.lora_state_dict(str(file.parent), **options)
    named = found[0] if isinstance(found, tuple) else found
    with safe_open(file, framework="pt") as raw:
        left_out = sum("dora_scale" in name for name in raw.keys())  # noqa: SIM118 - no mapping
    return sum(not name.endswith(".alpha") for name in named) + left_out
