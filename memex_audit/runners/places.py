"""Paths that mean the same wherever a worker runs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from memex_audit.config import Settings
from memex_audit.model_bench import STORE_FOLDER

PATHS = ("model", "model_config", "textual_inversion", "prompts", "calibration", "canaries", "sscd")
SETS = ("training_set", "untargeted_held_out")


def as_seen_everywhere(settings: Settings, rootdir: Path) -> Settings:
    """Return settings whose files are named by their whole paths; a worker's current folder is another.

    What is no file here (a hub id, the name of an embedder) is left as it is.
    """
    store = Path(settings.store).expanduser() if settings.store else rootdir / STORE_FOLDER
    given = {name: getattr(settings, name) for name in (*PATHS, *SETS)}
    whole: dict[str, Any] = {
        name: whole_set(text) if name in SETS else _whole(text)
        for name, text in given.items()
        if text is not None
    }
    lora = settings.lora and replace(settings.lora, path=_whole(settings.lora.path))
    kind, colon, folder = settings.embedder.partition(":")
    embedder = f"{kind}:{_whole(folder)}" if colon else settings.embedder
    return replace(settings, **whole, lora=lora, embedder=embedder, store=str(Path.cwd() / store))


def _whole(text: str) -> str:
    path = Path.cwd() / Path(text).expanduser()
    return str(path) if path.exists() else text


def whole_set(location: str) -> str:
    """Return a training set's location by whole paths: a path, a pattern, or several joined by `::`.

    >>> whole_set("hf://datasets/one::/data/*.tar")
    'hf://datasets/one::/data/*.tar'
    """
    parts = location.split("::")
    return "::".join(part if "://" in part else str(Path.cwd() / Path(part).expanduser()) for part in parts)
