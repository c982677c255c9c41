"""Find a model: the specimen's name, a folder, or a hub id with a revision become a folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memex_audit.errors import ConfigurationError, ModelError
from memex_audit.generation.trust import check_trusted, check_weights
from memex_audit.settings_file import NAME, read_table

VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")
LORA_WEIGHTS = "pytorch_lora_weights.safetensors"
# Names of pickles that the libraries look for, and of the safetensors that they look for before.
READ_BEFORE_PICKLES = {"pytorch_model": "model", "diffusion_pytorch_model": "diffusion_pytorch_model"}
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerSettings:
    """How pictures are drawn; None means the pipeline's own default.

    `steps`: network steps of the sampler; `guidance`: scale of classifier-free guidance; `size`:
    (height, width) in pixels; `batch_size`: pictures drawn at once (changes no picture);
    `negative_prompt`: what guidance leads away from; `scheduler`: class that takes the steps.
    """

    steps: int | None = None
    guidance: float | None = None
    size: tuple[int, int] | None = None
    batch_size: int | None = None
    negative_prompt: str | None = None
    scheduler: str | None = None


def check_model_folder(folder: Path) -> Path:
    """Return `folder` if a diffusers pipeline with safetensors weights lies in it.

    Raises:
        ModelError: no such folder, no pipeline in it, or weights that only unpickling could read.
    """
    if not folder.is_dir():
        raise ModelError(
            f"a model must be a folder, a hub id with a revision (NAME/MODEL@REVISION) or "
            f"specimen:NAME, got {folder}, which does not exist."
        )
    if not (folder / "model_index.json").is_file():
        raise ModelError(
            f"a model folder must hold a diffusers pipeline, {folder} has no model_index.json; "
            "write one with pipeline.save_pretrained(FOLDER)."
        )
    check_parts(folder)
    for part in sorted(path for path in folder.iterdir() if path.is_dir()):
        if pickle := _pickle_in_place_of_safetensors({path.name for path in part.iterdir()}):
            raise ModelError(
                f"weights must be safetensors, {part} has only {pickle}, which could run code when "
                "it is loaded; convert it with pipeline.save_pretrained(FOLDER, safe_serialization=True)."
            )
    return folder


def _pickle_in_place_of_safetensors(files: set[str]) -> str | None:
    """Return the pickle that would be read of a part's files, where what is read first is not there."""
    pickled = sorted(name for name in files if name.endswith(PICKLES))
    if pickled and not any(name.endswith(".safetensors") for name in files):
        return pickled[0]
    for pickle, weights in READ_BEFORE_PICKLES.items():
        read = {f"{weights}.safetensors", f"{weights}.safetensors.index.json"}
        if f"{pickle}.bin" in files and not read & files:
            return f"{pickle}.bin"
    return None


def check_parts(folder: Path) -> None:
    """Check that every part the pipeline's index names is there, and that its files can be trusted.

    transformers 5 makes an empty tokenizer where the files are missing: every prompt would read the same.

    Raises:
        UntrustedModel: a file names code or files elsewhere, or lies about what it holds.
        ModelError: a part has no folder, a tokenizer has no vocabulary, or the index is no JSON.
    """
    index = read_index(folder)
    check_trusted(folder, index)
    for name, part in index.items():
        if name.startswith("_") or not isinstance(part, list) or None in part:
            continue
        files = [file.name for file in (folder / name).glob("*")]
        if "tokenizer" in name:
            files = [file for file in files if file in VOCABULARIES]
        if not files:
            raise ModelError(
                f"a pipeline must hold every part its model_index.json names, {folder / name} has no files"
                f"{' of a vocabulary' if 'tokenizer' in name else ''}; copy the whole model again."
            )


def read_index(folder: Path) -> dict[str, Any]:
    """Return what a pipeline's model_index.json says: its class, and the class of each part.

    Raises:
        ModelError: it is no JSON object.
    """
    path = folder / "model_index.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ModelError(f"{path} must be the JSON that a diffusers pipeline wrote, got: {error}.") from error


def read_stages(folder: Path) -> dict[str, Path]:
    """Return the folders of `[model]` in the folder's memex.toml: other stages of the same model, by name.

    Raises:
        ConfigurationError: a stage is no text.
        ModelError: it is no folder of a pipeline.
    """
    stages = {}
    for name, path in read_table(folder, "model").items():
        if not isinstance(path, str):
            raise ConfigurationError(
                f'{folder / NAME} {name} must be a folder, got {path!r}; write {name} = "FOLDER".'
            )
        stages[name] = check_model_folder(folder / Path(path).expanduser())
    return stages


def fetch_model(hub_id: str) -> Path:
    """Download a pipeline `NAME/MODEL@REVISION` (safetensors only), or find it in the cache.

    Raises:
        ConfigurationError: no revision is named; what a branch holds can change between two audits.
        ModelError: it cannot be had.
    """
    name, _, revision = hub_id.partition("@")
    if not revision:
        raise ConfigurationError(
            f"a hub id must name its revision, got {hub_id!r}; write {name}@COMMIT so that two audits "
            "see the same weights."
        )
    from diffusers import DiffusionPipeline
    from huggingface_hub import is_offline_mode

    try:
        folder = DiffusionPipeline.download(name, revision=revision, use_safetensors=True)
    except Exception as error:  # the hub's client raises a dozen unrelated types
        got = "HF_HUB_OFFLINE and no copy in the cache" if is_offline_mode() else type(error).__name__
        raise ModelError(
            f"the model {hub_id} must be in the local cache or on a hub that can be reached, got {got}; give "
            "a local folder with --memex-model FOLDER."
        ) from error
    return Path(folder)


def find_lora(path: Path) -> Path:
    """Return the file of a LoRA: `path` itself, or pytorch_lora_weights.safetensors in it.

    Raises:
        ModelError: there is no such file, or it is no safetensors.
        UntrustedModel: its header lies.
    """
    file = path / LORA_WEIGHTS if path.is_dir() else path
    if not file.is_file():
        raise ModelError(
            f"a LoRA must be a .safetensors file or a folder with {LORA_WEIGHTS}, {path} holds none; "
            "give the file itself."
        )
    if file.suffix != ".safetensors":
        raise ModelError(
            f"a LoRA must be safetensors, got {file}, which could run code when it is loaded; "
            "save it with pipeline.save_lora_weights(FOLDER)."
        )
    check_weights(file)
    return file


def looks_like_hub_id(spec: str) -> bool:
    """Whether `spec` reads as NAME/MODEL and is no path.

    >>> looks_like_hub_id("someone/model@main"), looks_like_hub_id("./model"), looks_like_hub_id("model")
    (True, False, False)
    """
    is_path = spec.startswith((".", "/", "~")) or is_checkpoint(spec) or Path(spec).exists()
    return spec.count("/") == 1 and not is_path


def is_checkpoint(spec: str) -> bool:
    """Whether `spec` names a model whose weights lie in one file.

    >>> is_checkpoint("models/dreamy.safetensors"), is_checkpoint("someone/model@main")
    (True, False)
    """
    return spec.endswith(".safetensors")


def find_weights(path: Path, option: str) -> Path:
    """Return a .safetensors file that an option names, and that says the truth about what it holds.

    Raises:
        ModelError: there is no such file, or it is no safetensors.
        UntrustedModel: its header lies.
    """
    if not path.is_file():
        raise ModelError(f"{option} must be a .safetensors file, got {path}, which does not exist.")
    if not is_checkpoint(path.name):
        raise ModelError(
            f"{option} must be a .safetensors file, got {path}, which could run code when it is loaded; "
            "convert it where you trust it."
        )
    check_weights(path)
    return path


def read_sampler_settings(folder: Path) -> SamplerSettings:
    """Read `[generation]` of the folder's memex.toml, if there is one.

    Raises:
        ConfigurationError: the file is no TOML, or names an unknown setting or a value that cannot be used.
    """
    table = read_table(folder, "generation")
    try:
        return _sampler_settings(**table)
    except ValueError as error:
        raise ConfigurationError(f"{folder / NAME} [generation] must be usable, got {error}.") from error


def _sampler_settings(
    *,
    steps: object = None,
    guidance: object = None,
    size: object = None,
    batch_size: object = None,
    negative_prompt: object = None,
    scheduler: object = None,
) -> SamplerSettings:
    scale = float(guidance) if isinstance(guidance, int) and not isinstance(guidance, bool) else guidance
    if scale is not None and not (isinstance(scale, float) and scale >= 0):
        raise ValueError(f"guidance = {guidance!r}, which is no number of 0 or more")
    sides = [size, size] if isinstance(size, int) else size
    if sides is not None and not (isinstance(sides, list) and len(sides) == 2):
        raise ValueError(f"size = {size!r}, which is no side and no [height, width]")
    height, width = (_whole("size", side) for side in sides or (None, None))
    return SamplerSettings(
        steps=_whole("steps", steps),
        guidance=scale,
        size=None if height is None or width is None else (height, width),
        batch_size=_whole("batch_size", batch_size),
        negative_prompt=_text("negative_prompt", negative_prompt),
        scheduler=_text("scheduler", scheduler),
    )


def _text(name: str, value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} = {value!r}, which is no text")
    return value


def _whole(name: str, value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} = {value!r}, which is no whole number of 1 or more")
    return value
