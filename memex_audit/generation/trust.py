"""Look at all files of a model before any is loaded: nothing in them may name code or files elsewhere.

diffusers and transformers refuse most of this by themselves, in the versions that know of it, and in the
middle of loading. Here it is refused in any version, with the reason, in one pass that reads configurations
and the headers of weights, and that imports nothing heavy.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

from memex_audit.errors import UntrustedModel
from memex_audit.generation.safetensors_header import read_header

INDEX = "model_index.json"
LIBRARIES = ("diffusers", "transformers")
# A vocabulary may be larger; what is read here is not.
LARGEST_CONFIG = 32 << 20
OWN = "offer the model as a `memex_generator` of your own"
CLASS_NAME = re.compile(r"[A-Za-z]\w*")


def check_trusted(folder: Path, index: Mapping[str, Any]) -> None:
    """Refuse a pipeline whose files would have code run, or files read, that are not its own.

    Args:
        folder: of the pipeline.
        index: what its model_index.json says.

    Raises:
        UntrustedModel: the message names the file and what is wrong with it.
    """
    _check_classes(folder / INDEX, index)
    _check_code(folder / "None.py")  # diffusers looks for a custom pipeline of the name None
    root, seen = Path(os.path.realpath(folder)), set[Path]()
    for name, part in index.items():
        if _is_class(name, part) and (folder / name).is_dir():
            for path in _files_below(folder / name, root, seen):
                _check_file(path, root)


def check_weights(file: Path) -> None:
    """Refuse a .safetensors file (a LoRA, a checkpoint, learned tokens) whose header lies.

    Raises:
        UntrustedModel: the header does not fit the file or itself.
    """
    read_header(file)


@contextmanager
def hub_unreachable() -> Iterator[None]:
    """Let nothing be asked of a hub meanwhile: diffusers does not hand `local_files_only` on to all parts."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


# -- files


def _files_below(folder: Path, root: Path, seen: set[Path]) -> Iterator[Path]:
    """Yield the files below a folder, sorted; hidden ones are nobody's part."""
    real = _inside(folder, root)
    if real in seen:  # a link in a circle
        return
    seen.add(real)
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _files_below(path, root, seen)
        else:
            _inside(path, root)
            yield path


def _inside(path: Path, root: Path) -> Path:
    """Return where a file really lies: below the model's folder, or in a hub's cache, which is all links."""
    real = Path(os.path.realpath(path))
    cached = any(parent.name.startswith("models--") for parent in real.parents)
    if not real.is_relative_to(root) and not cached:
        raise UntrustedModel(
            f"a model's files must lie in its folder, got {path}, a link to {real}; copy the file there."
        )
    return real


def _check_file(path: Path, root: Path) -> None:
    if path.suffix == ".py":
        _check_code(path)
    elif path.suffix == ".safetensors":
        read_header(path)
    elif path.name == INDEX:
        _check_classes(path, _read_config(path))
    elif path.name == "adapter_config.json":
        raise UntrustedModel(
            f"a part's weights must be whole, got {path}, which names a model elsewhere that they belong on; "
            "merge them, or give them with --memex-lora."
        )
    elif path.name.endswith(".safetensors.index.json"):
        _check_shards(path)
    elif path.name == "config.json" or path.name.endswith(("_config.json", "special_tokens_map.json")):
        for key, value in _entries(_read_config(path)):
            _check_entry(path, root, key, value)


def _check_code(path: Path) -> None:
    if path.exists():
        raise UntrustedModel(
            f"a model must come without code, got {path}, which diffusers could load; take it away, or {OWN}."
        )


def _read_config(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST_CONFIG:
            raise ValueError(f"{path.stat().st_size:,} bytes, more than {LARGEST_CONFIG:,}")
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"a {type(found).__name__}")
    except (OSError, ValueError, RecursionError) as error:
        said = "JSON in JSON without end" if isinstance(error, RecursionError) else str(error)[:200]
        raise UntrustedModel(f"{path} must be a JSON object, got {said}; copy the model again.") from error
    return found


def _check_shards(path: Path) -> None:
    shards = _read_config(path).get("weight_map")
    names = set(shards.values()) if isinstance(shards, dict) and _all_text(shards.values()) else {""}
    for name in sorted(names):
        if not name.endswith(".safetensors") or PurePosixPath(name.replace("\\", "/")).name != name:
            raise UntrustedModel(
                f"{path} must name .safetensors files beside it, got {name[:200]!r}; copy the model again."
            )


def _all_text(values: Any) -> bool:
    return all(isinstance(value, str) for value in values)


# -- what configurations name


def _check_classes(path: Path, index: Mapping[str, Any]) -> None:
    """Refuse classes from anywhere but diffusers and transformers."""
    for key, value in _entries(index):
        _check_entry(path, path.parent, key, value)
    for name, part in index.items():
        if _is_class(name, part) and not (name.isidentifier() and _is_from_library(part)):
            raise UntrustedModel(
                f"a part must be of a class of diffusers or transformers, got {name}={_shown(part)} in "
                f"{path}; what another module holds is not imported: {OWN}."
            )


def _is_class(name: str, part: object) -> bool:
    """Whether an entry of an index names a class: [library, class], not [null, null] of an absent part."""
    if name.startswith("_") or not isinstance(part, list):
        return False
    return part[:1] != [None] and any(isinstance(word, str) for word in part)


def _is_from_library(part: list[object]) -> bool:
    library, class_name = part if len(part) == 2 else (None, None)
    known = isinstance(library, str) and (library in LIBRARIES or _is_pipeline_module(library))
    return known and isinstance(class_name, str) and CLASS_NAME.fullmatch(class_name) is not None


def _is_pipeline_module(name: str) -> bool:
    """Whether a part's class stands beside its pipeline in diffusers (`stable_diffusion`: safety checker)."""
    spec = find_spec("diffusers")  # imports nothing
    places = (spec.submodule_search_locations if spec else None) or []
    return name.isidentifier() and any((Path(place) / "pipelines" / name).is_dir() for place in places)


def _entries(value: object) -> Iterator[tuple[str, object]]:
    """Yield every key of a configuration with its value, however deep."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from _entries(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _entries(inner)


def _check_entry(path: Path, root: Path, key: str, value: object) -> None:
    for fault in (_names_code, _names_class, _names_kernel, _fetches_weights):
        if said := fault(key, value):
            raise UntrustedModel(
                f"a model must come whole and without code, got {key}={_shown(value)} in {path}, {said}; "
                f"take it out, or {OWN}."
            )
    if key.endswith(("_file", "_files")) and _leads_outside(key, value, root):
        raise UntrustedModel(
            f"{path} must name files of the model's own folder, got {key}={_shown(value)}; copy the file "
            "there, or take the entry out."
        )


def _names_code(key: str, value: object) -> str | None:
    return "which names code of its own" if key == "auto_map" and value else None


def _names_class(key: str, value: object) -> str | None:
    if key == "_class_name" and not (isinstance(value, str) and CLASS_NAME.fullmatch(value)):
        return "which is no name of a class"
    return None


def _names_kernel(key: str, value: object) -> str | None:
    if key.endswith("_implementation") and "/" in str(value):
        return "which names code on a hub"
    return None


def _fetches_weights(key: str, value: object) -> str | None:
    return "which fetches weights elsewhere" if key == "use_pretrained_backbone" and value else None


def _leads_outside(key: str, value: object, root: Path) -> bool:
    names = value if isinstance(value, list) else [value]
    return any(isinstance(name, str) and _is_outside(key, name, root) for name in names)


def _is_outside(key: str, name: str, root: Path) -> bool:
    if ".." in re.split(r"[/\\]", name):
        return True
    # Many tokenizers carry this path of the machine that they were made on; nothing reads it any more.
    if key == "special_tokens_map_file" or not Path(name).is_absolute():
        return False
    return Path(name).exists() and not Path(os.path.realpath(name)).is_relative_to(root)


def _shown(value: object) -> str:
    return repr(value)[:200]
