"""Draw with a diffusers pipeline on cuda, mps or cpu."""

import inspect
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from memex_audit.errors import ModelError, first_line
from memex_audit.generation import denoiser, families
from memex_audit.generation.call_arguments import call_arguments, set_scheduler
from memex_audit.generation.evaluations import count_evaluations, network_of
from memex_audit.generation.fingerprints import settings_digest
from memex_audit.generation.guards import to_bytes
from memex_audit.generation.model_folder import SamplerSettings
from memex_audit.generation.pipeline_loading import Pipeline
from memex_audit.generation.prompt_tokens import pipeline_tokenizers, read_tokens
from memex_audit.generation.steps import HearStep, heard
from memex_audit.records import Generation, GenerationRequest, Prediction


class DiffusersGenerator:
    """A Generator over a loaded pipeline; see protocols.Generator.

    Each picture has a torch.Generator of its own on the CPU: what is drawn beside it changes no initial
    latent, and every device starts from the same one. Pictures of the same request agree within
    rounding when the batch differs, not bit by bit.
    """

    seeded = True
    # Set by whoever shows progress: hears each step of the batch that is being drawn.
    on_step: HearStep | None = None

    def __init__(self, pipeline: Pipeline, *, fingerprint: str, sampler: SamplerSettings) -> None:
        if sampler.scheduler is not None:
            set_scheduler(pipeline, sampler.scheduler)
        self.pipeline = pipeline
        self._ask = partial(families.ask, pipeline)
        self.takes_prompts = families.takes_prompts(pipeline)
        self._tokenizers = pipeline_tokenizers(pipeline)
        self._arguments = call_arguments(pipeline, sampler)
        # Screens compare with the prediction without a prompt, not with that of a negative one.
        self._as_if_not_set = {"negative_prompt": None} if "negative_prompt" in self._arguments else {}
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
        """Where the pipeline computes; its weights may lie elsewhere (--memex-offload)."""
        return str(getattr(self.pipeline, "_execution_device", self.pipeline.device))

    def read_tokens(self, prompt: str) -> tuple[Hashable, int]:
        """Return what identifies the tokens that the pipeline reads, and how many more are cut off."""
        return read_tokens(self._tokenizers, prompt)

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[Generation]:
        """Draw one picture a request, all in one batch; yields in order.

        Raises:
            ModelError: the pipeline refused the settings, or gave another number of pictures than it was
                asked for.
        """
        with heard(self.pipeline, self.on_step):
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
        draw = partial(self._run, requests, **self._as_if_not_set)
        return denoiser.predict_steps(
            self.pipeline, draw, self._arguments, n=len(requests), steps=steps, unconditional=unconditional
        )

    def predict_low_noise(self, requests: Sequence[GenerationRequest]) -> tuple[Prediction, Prediction]:
        """Return what the network predicts at the first step and at low noise; see protocols.Denoises.

        Raises:
            ScreenUnavailable: the model has no such predictions.
            ModelError: the pipeline refused the settings.
        """
        draw = partial(self._run, requests, **self._as_if_not_set)
        return denoiser.predict_low_noise(self.pipeline, draw, self._arguments, n=len(requests))

    def _run(self, requests: Sequence[GenerationRequest], **others: Any) -> Any:
        """Call the pipeline for these requests in one batch, with `others` in place of its arguments."""
        generators = [torch.Generator("cpu").manual_seed(request.seed) for request in requests]
        arguments = {**self._arguments, **others}
        if arguments.get("negative_prompt") is not None:  # of the same type as the prompts
            arguments["negative_prompt"] = [arguments["negative_prompt"]] * len(requests)
        try:
            with torch.inference_mode(), _quiet_about_prompts():
                return self.pipeline(
                    **self._ask([request.prompt for request in requests]),
                    generator=generators,
                    **arguments,
                )
        except ValueError as error:  # a size that its autoencoder cannot have, for example
            raise ModelError(
                f"{type(self.pipeline).__name__} must draw with {self._arguments}, "
                f"got ValueError: {first_line(error)}"
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


def _plain(config: Mapping[str, Any]) -> dict[str, object]:
    # Keys with an underscore name versions and paths, not behaviour.
    return {key: repr(value) for key, value in config.items() if not key.startswith("_")}
