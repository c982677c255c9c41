"""Load a diffusers pipeline from a folder."""

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

from diffusers import AutoPipelineForText2Image
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from memex_audit.errors import ModelError
from memex_audit.generation.devices import DTYPES, choose_dtype, device_of_worker
from memex_audit.generation.model_folder import check_parts

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
        load: Any = AutoPipelineForText2Image.from_pretrained
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
            f"got {type(error).__name__}: {first_line(error)}"
        ) from error
    if getattr(pipeline, "safety_checker", None) is not None:
        pipeline.safety_checker = None
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def first_line(error: Exception) -> str:
    """Return the first line of what a library said, cut to what a message has room for."""
    return (str(error).strip().splitlines() or [""])[0][:300]
