"""Pipelines of which one model is a part: a prior before a decoder, a stage that enlarges behind another."""

from collections.abc import Mapping, Sequence
from typing import Any

import diffusers
import torch

from memex_audit.errors import ModelError
from memex_audit.generation.families import Pipeline

# Decoders, and the pipeline that each makes together with its prior.
COMBINED: Mapping[str, str] = {
    "KandinskyPipeline": "KandinskyCombinedPipeline",
    "KandinskyV22Pipeline": "KandinskyV22CombinedPipeline",
}
# Stage II is given what stage I read of the prompt, by an encoder of several gigabytes.
READ_BEFORE = ("text_encoder", "tokenizer")


class IFCascade:
    """DeepFloyd IF's stages I and II as one pipeline; in all else it is stage I.

    Screens read stage I: there it is decided what the picture shows.
    """

    def __init__(self, stage_1: Pipeline, stage_2: Pipeline) -> None:
        self.stage_1 = stage_1
        self.stage_2 = stage_2

    def __getattr__(self, name: str) -> Any:
        if name in ("stage_1", "stage_2"):  # not there yet: a copy is being made
            raise AttributeError(name)
        return getattr(self.stage_1, name)

    def __call__(
        self,
        prompt: Sequence[str],
        *,
        generator: Sequence[torch.Generator],
        num_inference_steps: int = 100,
        guidance_scale: float = 7.0,
        negative_prompt: Sequence[str] | None = None,
        stage_2_num_inference_steps: int = 50,
        stage_2_guidance_scale: float = 4.0,
        output_type: str = "np",
    ) -> Any:
        """Draw with stage I, and enlarge what it drew with stage II."""
        with_prompt, without = self.stage_1.encode_prompt(
            list(prompt), do_classifier_free_guidance=True, negative_prompt=negative_prompt
        )
        read = {"prompt_embeds": with_prompt, "negative_prompt_embeds": without, "generator": generator}
        small = self.stage_1(
            **read,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            output_type="pt",
        ).images
        return self.stage_2(
            image=small,
            **read,
            num_inference_steps=stage_2_num_inference_steps,
            guidance_scale=stage_2_guidance_scale,
            output_type=output_type,
        )

    def enable_model_cpu_offload(self, **options: Any) -> None:
        """Keep the weights of both stages in main memory, and bring them over a part at a time."""
        for stage in (self.stage_1, self.stage_2):
            stage.enable_model_cpu_offload(**options)

    def enable_sequential_cpu_offload(self, **options: Any) -> None:
        """Keep the weights of both stages in main memory, and bring them over a layer at a time."""
        for stage in (self.stage_1, self.stage_2):
            stage.enable_sequential_cpu_offload(**options)

    def enable_attention_slicing(self, slice_size: str) -> None:
        """Compute the attention of both stages in slices."""
        for stage in (self.stage_1, self.stage_2):
            stage.enable_attention_slicing(slice_size)


def join(pipeline: Pipeline, stages: Mapping[str, Pipeline]) -> Pipeline:
    """Return one pipeline of a model and the stages that its memex.toml names.

    Args:
        pipeline: the model.
        stages: `prior` or `stage_2`, loaded.

    Raises:
        ModelError: a decoder has no prior, or a model takes no stage of this name.
    """
    name = type(pipeline).__name__
    if name in COMBINED and "prior" not in stages:
        raise ModelError(
            f"{name} must have a prior, which turns a prompt into what it draws; name the prior's folder in "
            'memex.toml beside the model: [model] prior = "FOLDER".'
        )
    joined = {"prior": _with_prior, "stage_2": _with_stage_2}
    for stage, other in stages.items():
        pipeline = joined[stage](pipeline, other)
    return pipeline


def _with_prior(decoder: Pipeline, prior: Pipeline) -> Pipeline:
    name = type(decoder).__name__
    if name not in COMBINED:
        raise ModelError(
            f"memex.toml must name a `prior` for {' or '.join(COMBINED)} only, got one for {name}; take it "
            "out."
        )
    parts = {f"prior_{part}": value for part, value in prior.components.items()}
    combined: Any = getattr(diffusers, COMBINED[name])
    return combined(**decoder.components, **parts)


def _with_stage_2(stage_1: Pipeline, stage_2: Pipeline) -> Pipeline:
    if not isinstance(stage_1, diffusers.IFPipeline) or not isinstance(
        stage_2, diffusers.IFSuperResolutionPipeline
    ):
        raise ModelError(
            "memex.toml's `stage_2` must be an IFSuperResolutionPipeline behind an IFPipeline, got "
            f"{type(stage_2).__name__} behind {type(stage_1).__name__}; name the folder of stage II."
        )
    return IFCascade(stage_1, stage_2)
