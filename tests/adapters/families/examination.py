"""What works on a family, tried on its tiny model as it is loaded for an audit."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoPipelineForImage2Image
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from memex_audit.config import Settings
from memex_audit.errors import ModelError, ScreenUnavailable
from memex_audit.generation.diffusers_pipeline import DiffusersGenerator
from memex_audit.generation.evaluations import network_of
from memex_audit.generation.lora import apply_lora
from memex_audit.model_bench import ModelBench
from memex_audit.records import Generation, GenerationRequest
from memex_audit.screening.screens import SCREENS, screen_prompts

ROOT = Path(__file__).parents[3]
BY_LABEL = ("DiT", "Consistency model by class")
SEEDS = 2


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was seen of a family; of a screen or a LoRA None where it works, else why it is refused."""

    family: str
    pipeline: str
    scheduler: str
    asked_by: str
    pictures: tuple[Generation, ...] = field(repr=False)
    evaluations: int
    screens: dict[str, str | None]
    image_to_image: str | None
    lora: str | None
    takes_tokens: bool
    reads_one_file: bool


def generator_of(folder: Path) -> DiffusersGenerator:
    """Load a family's folder as `--memex-model FOLDER` does."""
    settings = Settings(model=str(folder), device="cpu", store=str(folder.parent / "store"))
    return ModelBench(settings, folder.parent).generator


def what_is_said(folder: Path) -> str:
    """Return what is said of a folder that cannot be loaded, without its place."""
    with pytest.raises(ModelError) as caught:
        generator_of(folder)
    return str(caught.value).replace(f"the model in {folder}", "the model")


def prompts_of(family: str, generator: DiffusersGenerator) -> tuple[str, str]:
    """Return two prompts that mean something to a family."""
    if family in BY_LABEL:
        return "1", "2"
    return ("a cat", "a dog") if generator.takes_prompts else ("", "")


def examine(family: str, folder: Path) -> Result:
    """Draw a picture, try each screen, and ask diffusers for the rest."""
    generator = generator_of(folder)
    pipeline = generator.pipeline
    prompts = prompts_of(family, generator)
    (drawn,) = generator.generate([GenerationRequest(prompt=prompts[0], seed=0)])
    return Result(
        family=family,
        pipeline=type(pipeline).__name__,
        scheduler=type(pipeline.scheduler).__name__,
        asked_by="class" if family in BY_LABEL else "prompt" if generator.takes_prompts else "number",
        pictures=(drawn,),
        evaluations=generator.evaluations_per_image,
        screens={name: why_refused(generator, name, prompts[0]) for name in SCREENS},
        image_to_image=image_to_image_class(getattr(pipeline, "stage_1", pipeline)),
        lora=why_no_lora(folder, generator, drawn),
        takes_tokens=hasattr(pipeline, "load_textual_inversion"),
        reads_one_file=hasattr(pipeline, "from_single_file"),
    )


def why_refused(generator: DiffusersGenerator, screen: str, prompt: str) -> str | None:
    """Score a prompt by a screen; return why that is refused, None where it is not."""
    try:
        (scored,) = screen_prompts(
            lambda: generator,
            screen,
            [prompt],
            request=lambda text, number: GenerationRequest(prompt=text, seed=number),
            seeds=SEEDS,
        )
    except ScreenUnavailable as error:
        return str(error)
    assert math.isfinite(scored.score)
    return None


def why_no_lora(folder: Path, generator: DiffusersGenerator, before: Generation) -> str | None:
    """Put a LoRA made here on a fresh copy of the model, and look whether a picture changes with it."""
    file = save_lora(generator.pipeline, folder.with_name(f"{folder.name}-lora"))
    if file is None:
        with pytest.raises(ModelError) as caught:
            apply_lora(generator.pipeline, folder / "none.safetensors", 1.0)
        return str(caught.value)
    tuned = generator_of(folder)
    apply_lora(tuned.pipeline, file, 1.0)
    (after,) = tuned.generate([before.request])
    assert np.abs(after.pixels.astype(int) - before.pixels).max() > 0
    return None


def save_lora(pipeline, folder: Path) -> Path | None:
    """Save random changes of a pipeline's attention, if its class saves any; they are left on it too."""
    pipeline = getattr(pipeline, "stage_1", pipeline)
    if not hasattr(pipeline, "save_lora_weights"):
        return None
    network = network_of(pipeline)
    network.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights="gaussian"))
    for name, parameter in network.named_parameters():
        if "lora_B" in name:  # made as 0, so that a new LoRA changes nothing
            torch.nn.init.normal_(parameter)
    layers = get_peft_model_state_dict(network)
    part = "unet" if hasattr(pipeline, "unet") else "transformer"
    pipeline.save_lora_weights(folder, **{f"{part}_lora_layers": layers})
    return folder / "pytorch_lora_weights.safetensors"


def image_to_image_class(pipeline) -> str | None:
    """Return the class with which diffusers draws from a picture by the same parts."""
    try:
        return type(AutoPipelineForImage2Image.from_pipe(pipeline)).__name__
    except ValueError:
        return None
