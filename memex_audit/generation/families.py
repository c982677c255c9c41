"""How pipelines of diffusers differ in what they are asked for.

What a pipeline's call takes says it: a prompt, a label of a class, or a number of pictures. No family is
told apart by its name.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import diffusers

from memex_audit.errors import ModelError
from memex_audit.generation.evaluations import network_of

# diffusers has no typed base that names what its pipelines share.
Pipeline: TypeAlias = Any

# What a pipeline that starts from a picture takes, and one that starts from noise does not.
PICTURE_ARGUMENTS = ("strength", "mask_image", "control_image")


def takes_prompts(pipeline: Pipeline) -> bool:
    """Whether what is drawn depends on a prompt, or on the label of a class."""
    takes = inspect.signature(pipeline.__call__).parameters
    by_class = "class_labels" in takes and _n_classes(pipeline) is not None
    return _takes_prompt(takes) or by_class


def ask(pipeline: Pipeline, prompts: Sequence[str]) -> dict[str, Any]:
    """Return the arguments that ask a pipeline for one picture a prompt.

    Raises:
        ModelError: it takes neither prompts nor labels nor a number of pictures; or a prompt is no label.
    """
    takes = inspect.signature(pipeline.__call__).parameters
    if _takes_prompt(takes):
        return {"prompt": list(prompts)}
    asked: dict[str, Any] = {}
    if takes_prompts(pipeline):
        asked["class_labels"] = [_label(pipeline, prompt) for prompt in prompts]
    if "batch_size" in takes:
        asked["batch_size"] = len(prompts)
    if not asked:
        raise ModelError(
            "a pipeline must be asked by a prompt, a class label or a number of pictures, "
            f"{type(pipeline).__name__} takes none of them; offer it as a `memex_generator` of your own."
        )
    return asked


def _takes_prompt(takes: Mapping[str, inspect.Parameter]) -> bool:
    if "prompt" in takes:
        return True
    # A pipeline of the user's own may pass its arguments on.
    passes_on = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in takes.values())
    return passes_on and "batch_size" not in takes


def _label(pipeline: Pipeline, prompt: str) -> int:
    """Return the number of the class that a prompt names, by its number or its name."""
    names: Mapping[str, int] = getattr(pipeline, "labels", {})
    number = int(prompt) if prompt.strip().isdecimal() else names.get(prompt)
    n_classes = _n_classes(pipeline) or 0
    if number is None or number >= n_classes:
        raise ModelError(
            f"a prompt for {type(pipeline).__name__} must be a class of the model, a number below "
            f"{n_classes:,} or one of its {len(names):,} names, got a text of {len(prompt)} characters that "
            "is none; give a file of classes with --memex-prompts."
        )
    return number


def _n_classes(pipeline: Pipeline) -> int | None:
    """Return how many classes a network was trained on, None where it knows none."""
    config = getattr(network_of(pipeline), "config", None) or {}
    known: int | None = config.get("num_class_embeds") or config.get("num_embeds_ada_norm")
    return known


def starts_from_picture(pipeline_class: type) -> bool:
    """Whether pipelines of a class need a picture to start from."""
    parameters = inspect.signature(pipeline_class.__call__).parameters
    if any(name in parameters for name in PICTURE_ARGUMENTS):
        return True
    return "image" in parameters and parameters["image"].default is inspect.Parameter.empty


def pipeline_class(name: object) -> type:
    """Return diffusers' own pipeline class of a name.

    Raises:
        ModelError: diffusers has none of this name; a class from anywhere else is never loaded.
    """
    found = getattr(diffusers, name, None) if isinstance(name, str) and not name.startswith("_") else None
    if not (isinstance(found, type) and issubclass(found, diffusers.DiffusionPipeline)):
        raise ModelError(
            f"a model_index.json must name a pipeline class of diffusers, got _class_name={name!r}, which "
            f"diffusers {diffusers.__version__} does not have; save the pipeline with a class of diffusers, "
            "or offer it as a `memex_generator` of your own."
        )
    return found
