"""Load a diffusers pipeline from a folder, by the class that its model_index.json names."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import torch
from diffusers import AutoPipelineForText2Image, IFSuperResolutionPipeline
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from memex_audit.errors import ConfigurationError, ModelError, first_line
from memex_audit.generation.cascades import READ_BEFORE, join
from memex_audit.generation.devices import DTYPES, choose_dtype, device_of_worker
from memex_audit.generation.families import pipeline_class, starts_from_picture
from memex_audit.generation.model_folder import check_parts, read_index, read_stages
from memex_audit.generation.trust import hub_unreachable

# diffusers has no typed base that names what its pipelines share.
Pipeline: TypeAlias = Any


def load_pipeline(
    folder: Path, *, device: str = "auto", dtype: str = "auto", checkpoint: Path | None = None
) -> Pipeline:
    """Load a pipeline of any diffusers family that draws from noise: safetensors only, no remote code.

    A safety checker is taken off: its black pictures would hide replicas, and look like replicas of each
    other.

    Args:
        folder: as `save_pretrained` writes one.
        device: auto, cpu, cuda, cuda:N or mps.
        dtype: auto, fp32, fp16 or bf16.
        checkpoint: one .safetensors file of all weights; the folder then has configuration and tokenizers.

    Raises:
        ModelError: the folder lacks a part, or is no pipeline that diffusers can load.
        ConfigurationError: the device or dtype does not exist here.
    """
    device = device_of_worker(device)
    number_format = DTYPES[choose_dtype(dtype, device)]
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    pipeline = _load(folder, number_format, checkpoint).to(device)
    stages = {name: _load(stage, number_format).to(device) for name, stage in read_stages(folder).items()}
    joined = join(pipeline, stages)
    joined.set_progress_bar_config(disable=True)
    return joined


def _load(folder: Path, number_format: torch.dtype, checkpoint: Path | None = None) -> Pipeline:
    check_parts(folder)
    index = read_index(folder)
    loader: Any = pipeline_class(index.get("_class_name"))
    absent = _absent_parts(index, loader)
    if starts_from_picture(loader) and not issubclass(loader, IFSuperResolutionPipeline):
        loader = AutoPipelineForText2Image  # knows the class that draws with the same parts from noise
    if checkpoint:
        return _finished(_load_checkpoint(checkpoint, folder, loader, torch_dtype=number_format, **absent))
    with _one_line_errors(folder), hub_unreachable():
        pipeline = loader.from_pretrained(
            str(folder),
            use_safetensors=True,
            local_files_only=True,
            torch_dtype=number_format,
            low_cpu_mem_usage=find_spec("accelerate") is not None,  # left out, diffusers warns without it
            **absent,
        )
    return _finished(pipeline)


def _load_checkpoint(checkpoint: Path, folder: Path, loader: Any, **options: Any) -> Pipeline:
    """Load a pipeline whose weights lie in one file, and whose configuration lies in a folder.

    What the file does not hold (the encoders of many) is taken from the folder, if its weights are there.
    """
    if find_spec("accelerate") is None:
        # Without it diffusers leaves a layer that the file lacks at random, and says nothing.
        raise ConfigurationError("a model in one file needs the package accelerate: pip install accelerate.")
    if not hasattr(loader, "from_single_file"):
        raise ModelError(
            f"a model in one file must be of a family whose files diffusers can read, {loader.__name__} is "
            "not; give a folder that pipeline.save_pretrained wrote."
        )
    verbosity = diffusers_logging.get_verbosity()
    diffusers_logging.set_verbosity_error()  # it warns of number formats that nothing is wrong with
    try:
        with _one_line_errors(checkpoint), hub_unreachable():
            return loader.from_single_file(
                str(checkpoint), config=str(folder), local_files_only=True, **options
            )
    finally:
        diffusers_logging.set_verbosity(verbosity)


def _finished(pipeline: Pipeline) -> Pipeline:
    if getattr(pipeline, "safety_checker", None) is not None:
        pipeline.safety_checker = None
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


# Parts that a pipeline draws without, though its class does not say so.
SPARE = ("safety_checker", "feature_extractor", "text_encoder_3", "tokenizer_3")


def _absent_parts(index: Mapping[str, Any], loader: Any) -> dict[str, None]:
    """Return the parts that a pipeline was saved without: diffusers loads it only where it is told so.

    Raises:
        ModelError: it cannot draw without them.
    """
    absent = [name for name, part in index.items() if part == [None, None]]
    if issubclass(loader, IFSuperResolutionPipeline):
        absent += READ_BEFORE
    optional = getattr(loader, "_optional_components", ())
    if missing := [name for name in absent if name not in (*SPARE, *optional)]:
        raise ModelError(
            f"a {loader.__name__} must have its {' and '.join(missing)} to draw, it was saved without; save "
            "it with them."
        )
    return dict.fromkeys(absent)


@contextmanager
def _one_line_errors(folder: Path) -> Iterator[None]:
    """Make one line of whatever a broken part happens to raise."""
    try:
        with warnings.catch_warnings():
            # diffusers 0.42 renames it to `dtype`, which 0.35 ignores: drop this when 0.35 is dropped.
            warnings.filterwarnings("ignore", "`torch_dtype` is deprecated", FutureWarning)
            yield
    except Exception as error:
        raise ModelError(
            f"the model in {folder} must load as a text-to-image pipeline, "
            f"got {type(error).__name__}: {first_line(error)}"
        ) from error
