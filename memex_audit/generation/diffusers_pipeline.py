"""Draw with a diffusers pipeline on cuda, mps or cpu."""

import inspect
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from diffusers import AutoPipelineForText2Image
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from memex_audit.errors import ConfigurationError, ModelError
from memex_audit.generation import denoiser
from memex_audit.generation.devices import DTYPES, choose_dtype, device_of_worker
from memex_audit.generation.evaluations import count_evaluations, network_of
from memex_audit.generation.fingerprints import settings_digest
from memex_audit.generation.guards import to_bytes
from memex_audit.generation.model_folder import SamplerSettings, check_parts
from memex_audit.generation.prompt_tokens import pipeline_tokenizers, read_tokens
from memex_audit.records import Generation, GenerationRequest, Prediction

# diffusers has no typed base that names what its pipelines share.
Pipeline: TypeAlias = Any


def load_pipeline(folder: Path, *, device: str = "auto", dtype: str = "auto") -> Pipeline:
    """Load a text-to-image pipeline of any diffusers family: safetensors only, no remote code.

    A safety checker is taken off: its black pictures would hide replicas, and look like replicas of each
    other.

    Raises:
        ModelError: the folder lacks a part, or is no pipeline that diffusers can load.
        ConfigurationError: the device or dtype does not exist here.
    """
    device = device_of_worker(device)
    dtype = choose_dtype(dtype, device)
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    check_parts(folder)
    try:
        load: Callable[..., Pipeline] = AutoPipelineForText2Image.from_pretrained
        with warnings.catch_warnings():
            # diffusers 0.42 renames it to `dtype`, which 0.35 ignores: drop this when 0.35 is dropped.
            warnings.filterwarnings("ignore", "`torch_dtype` is deprecated", FutureWarning)
            pipeline = load(
                str(folder),
                use_safetensors=True,
                local_files_only=True,
                torch_dtype=DTYPES[dtype],
                low_cpu_mem_usage=find_spec("accelerate") is not None,  # left out, diffusers warns without it
            )
    except Exception as error:  # a broken folder raises whatever its broken part happens to raise
        raise ModelError(
            f"the model in {folder} must load as a text-to-image pipeline, "
            f"got {type(error).__name__}: {_first_line(error)}"
        ) from error
    if getattr(pipeline, "safety_checker", None) is not None:
        pipeline.safety_checker = None
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


class DiffusersGenerator:
    """A Generator over a loaded pipeline; see protocols.Generator.

    Each picture has a torch.Generator of its own on the CPU: what is drawn beside it changes no initial
    latent, and every device starts from the same one. Pictures of the same request agree within
    rounding when the batch differs, not bit by bit.
    """

    seeded = True

    def __init__(self, pipeline: Pipeline, *, fingerprint: str, sampler: SamplerSettings) -> None:
        self.pipeline = pipeline
        self._tokenizers = pipeline_tokenizers(pipeline)
        self._arguments = _call_arguments(pipeline, sampler)
        self.fingerprint = fingerprint
        # A model a process is a matter of memory on a CPU; on another device it is one of room and of speed.
        self.shareable = self.device == "cpu"
        self.settings: Mapping[str, object] = {
            "pipeline": type(pipeline).__name__,
            "scheduler": type(pipeline.scheduler).__name__,
            "scheduler_digest": settings_digest(_plain(pipeline.scheduler.config)),
            "dtype": str(pipeline.dtype).removeprefix("torch."),
            **self._arguments,
        }
        parameters = inspect.signature(pipeline.__call__).parameters
        config = getattr(network_of(pipeline), "config", None) or {}
        self.evaluations_per_image = count_evaluations(config, parameters, self._arguments)

    @property
    def device(self) -> str:
        """Where the pipeline lies."""
        return str(self.pipeline.device)

    def read_tokens(self, prompt: str) -> tuple[Hashable, int]:
        """Return what identifies the tokens that the pipeline reads, and how many more are cut off."""
        return read_tokens(self._tokenizers, prompt)

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[Generation]:
        """Draw one picture a request, all in one batch; yields in order.

        Raises:
            ModelError: the pipeline refused the settings, or gave another number of pictures than it was
                asked for.
        """
        images = self._run(requests, output_type="np").images
        if len(images) != len(requests):
            raise ModelError(f"the pipeline gave {len(images)} pictures for {len(requests)} prompts.")
        for request, image in zip(requests, images, strict=True):
            pixels, reason = to_bytes(np.asarray(image, dtype=np.float32))
            yield Generation(request=request, pixels=pixels, reason=reason)

    def predict_steps(
        self, requests: Sequence[GenerationRequest], *, steps: int, unconditional: bool = True
    ) -> tuple[Prediction, ...]:
        """Return what the network predicts at the first steps; see protocols.Denoises.

        Raises:
            ScreenUnavailable: the model has no such predictions.
            ModelError: the pipeline refused the settings.
        """
        draw = partial(self._run, requests)
        return denoiser.predict_steps(
            self.pipeline, draw, self._arguments, n=len(requests), steps=steps, unconditional=unconditional
        )

    def predict_low_noise(self, requests: Sequence[GenerationRequest]) -> tuple[Prediction, Prediction]:
        """Return what the network predicts at the first step and at low noise; see protocols.Denoises.

        Raises:
            ScreenUnavailable: the model has no such predictions.
            ModelError: the pipeline refused the settings.
        """
        draw = partial(self._run, requests)
        return denoiser.predict_low_noise(self.pipeline, draw, self._arguments, n=len(requests))

    def _run(self, requests: Sequence[GenerationRequest], **others: Any) -> Any:
        """Call the pipeline for these requests in one batch, with `others` in place of its arguments."""
        generators = [torch.Generator("cpu").manual_seed(request.seed) for request in requests]
        try:
            with torch.inference_mode(), _quiet_about_prompts():
                return self.pipeline(
                    prompt=[request.prompt for request in requests],
                    generator=generators,
                    **{**self._arguments, **others},
                )
        except ValueError as error:  # a size that its autoencoder cannot have, for example
            raise ModelError(
                f"{type(self.pipeline).__name__} must draw with {self._arguments}, "
                f"got ValueError: {_first_line(error)}"
            ) from error


@contextmanager
def _quiet_about_prompts() -> Iterator[None]:
    """Keep diffusers from logging the end of a prompt that is cut, and transformers that it is long: captions
    may have to stay out of reports, and what is cut is reported once (prompt_tokens.py)."""
    before = diffusers_logging.get_verbosity(), transformers_logging.get_verbosity()
    diffusers_logging.set_verbosity_error()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        diffusers_logging.set_verbosity(before[0])
        transformers_logging.set_verbosity(before[1])


def _call_arguments(pipeline: Pipeline, sampler: SamplerSettings) -> dict[str, Any]:
    """Settings as arguments of the pipeline's call; what is not set gets the pipeline's default, written
    out, so that a new version's other default makes other settings."""
    parameters = inspect.signature(pipeline.__call__).parameters
    wanted: dict[str, Any] = {"num_inference_steps": sampler.steps, "guidance_scale": sampler.guidance}
    if sampler.size is not None:
        wanted["height"], wanted["width"] = sampler.size
    arguments = {}
    for name, value in wanted.items():
        if name not in parameters:
            if value is not None:
                raise ConfigurationError(
                    f"{type(pipeline).__name__} takes no {name}, got {name}={value}; leave it out."
                )
            continue
        arguments[name] = parameters[name].default if value is None else value
    return arguments


def _plain(config: Mapping[str, Any]) -> dict[str, object]:
    # Keys with an underscore name versions and paths, not behaviour.
    return {key: repr(value) for key, value in config.items() if not key.startswith("_")}


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:300]
