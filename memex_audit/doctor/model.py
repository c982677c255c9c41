"""Look at the model as its files are: nothing is loaded but its tokenizers."""

import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memex_audit.doctor.checks import Check, missing, ok, warning
from memex_audit.errors import ConfigurationError, ModelError, UntrustedModel
from memex_audit.generation.evaluations import count_evaluations
from memex_audit.generation.model_folder import (
    SamplerSettings,
    check_model_folder,
    looks_like_hub_id,
    read_stages,
)
from memex_audit.generation.safetensors_header import read_header
from memex_audit.workbench import Workbench

NETWORKS = ("unet", "transformer")
VARIANTS = (".fp16.", ".bf16.", ".non_ema.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """How pictures are drawn; None is what only the loaded pipeline knows. `size`: (height, width)."""

    steps: int | None
    guidance: float | None
    size: tuple[int, int] | None
    evaluations: int | None


def find_model(bench: Workbench, *, hub: bool) -> tuple[Path | None, Check]:
    """Return the model's folder, None where it is not here yet.

    Args:
        bench: of the audit.
        hub: whether the hub can be reached.

    Raises:
        ModelError: it is not as it must be.
        ConfigurationError: a hub id names no revision, or a specimen no twin.
    """
    spec = bench.settings.model
    if looks_like_hub_id(spec):
        cached = _cached(spec)
        if cached is None and hub:
            return None, warning("model", f"{spec} is fetched from the hub when the audit starts")
        if cached is None:
            advice = "go online for the first audit, or give a folder with --memex-model"
            return None, missing("model", f"{spec} is not in the cache, and the hub does not answer", advice)
        bench.model_folder = cached
    folder = bench.model_folder
    class_name = read_json(folder / "model_index.json").get("_class_name", "a pipeline")
    said = f"{spec}: {class_name}, safetensors"
    if bench.model_files.tokens:
        said += f"; with the learned tokens {bench.settings.textual_inversion}"
    if bench.settings.lora and bench.lora_file:
        said += f"; with the LoRA {bench.settings.lora.path}, weight {bench.settings.lora.weight:g}"
    return folder, ok("model", said)


def _cached(hub_id: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    name, _, revision = hub_id.partition("@")
    if not revision:
        raise ConfigurationError(
            f"a hub id must name its revision, got {hub_id!r}; write {name}@COMMIT so that two audits "
            "see the same weights."
        )
    found = try_to_load_from_cache(name, "model_index.json", revision=revision)
    if isinstance(found, str):
        try:
            return check_model_folder(Path(found).parent)
        except UntrustedModel:
            raise
        except ModelError:  # a download that broke off
            return None
    return None


def count_parameters(folder: Path, checkpoint: Path | None = None) -> int:
    """Count the numbers in the weights of a model and its stages, by the headers of their files.

    Raises:
        UntrustedModel: a file is no safetensors, is cut short, or its header lies.
    """
    if checkpoint:
        return _count_numbers(checkpoint)
    folders = (folder, *read_stages(folder).values())
    parts = sorted(path for place in folders for path in place.iterdir() if path.is_dir())
    return sum(_count_numbers(path) for part in parts for path in _loaded_files(part))


def _loaded_files(part: Path) -> list[Path]:
    """Return the weights that are loaded: of a part that is there in several variants, one."""
    files = sorted(part.glob("*.safetensors"))
    plain = [path for path in files if not any(variant in path.name for variant in VARIANTS)]
    return plain or files


def _count_numbers(path: Path) -> int:
    return sum(tensor.n_numbers for tensor in read_header(path))


def find_drawing(folder: Path, sampler: SamplerSettings) -> Drawing:
    """Return how pictures are drawn: the sampler's settings over the pipeline's defaults."""
    steps, guidance = sampler.steps, sampler.guidance
    parameters: dict[str, Any] = {}
    if steps is None or guidance is None:
        parameters = _call_defaults(str(read_json(folder / "model_index.json").get("_class_name")))
        steps = steps or parameters.get("num_inference_steps")
        guidance = parameters.get("guidance_scale") if guidance is None else guidance
    networks = [folder / part for part in NETWORKS if (folder / part).is_dir()]
    config = read_json(networks[0] / "config.json") if networks else {}
    evaluations = None
    if steps is not None:
        arguments = {**parameters, "num_inference_steps": steps, "guidance_scale": guidance}
        evaluations = count_evaluations(config, parameters, arguments)
    size = sampler.size or _default_size(config, read_json(folder / "vae" / "config.json"))
    return Drawing(steps=steps, guidance=guidance, size=size, evaluations=evaluations)


def _call_defaults(class_name: str) -> dict[str, Any]:
    """Return the defaults of a pipeline's call; nothing for a class that this diffusers does not have."""
    import diffusers

    pipeline = getattr(diffusers, class_name, None)
    if pipeline is None:
        return {}
    parameters = inspect.signature(pipeline.__call__).parameters
    return {name: None if p.default is p.empty else p.default for name, p in parameters.items()}


def _default_size(config: dict[str, Any], vae: dict[str, Any]) -> tuple[int, int] | None:
    side, blocks = config.get("sample_size"), vae.get("block_out_channels")
    if side is None or not isinstance(blocks, list):
        return None
    height, width = (side, side) if isinstance(side, int) else side
    scale = 2 ** (len(blocks) - 1)
    return int(height) * scale, int(width) * scale


def check_captions(folder: Path, captions: Sequence[str]) -> Check:
    """Count the captions that are longer than the model reads; none of them is shown."""
    from transformers import AutoTokenizer
    from transformers.utils import logging

    from memex_audit.generation.prompt_tokens import read_tokens

    folders = (folder, *read_stages(folder).values())
    places = sorted(path for place in folders for path in place.glob("*tokenizer*") if path.is_dir())
    if not places:
        return ok("captions", "the pipeline has no tokenizer of its own, so nothing is known to be cut")
    logging.set_verbosity_error()
    try:
        loaded = [AutoTokenizer.from_pretrained(str(place), local_files_only=True) for place in places]
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"a model must hold its tokenizers whole, got {folder} ({' '.join(str(error).split())[:200]}); "
            "copy it again."
        ) from error
    tokenizers = [(tokenizer, float(tokenizer.model_max_length)) for tokenizer in loaded]
    room = max(limit for _, limit in tokenizers)
    cut = sum(read_tokens(tokenizers, caption)[1] > 0 for caption in captions)
    said = f"{cut:,} of {len(captions):,} looked at are longer than the {room:,.0f} tokens the model reads"
    if cut:
        return warning("captions", said, "they are audited as cut; or write a prompt file of shorter ones")
    return ok("captions", said)


def read_json(path: Path) -> dict[str, Any]:
    """Read a configuration; what is not there or no object has no entries."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
