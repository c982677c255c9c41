"""Paths that mean the same wherever a worker runs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from memex_audit.config import Settings
from memex_audit.model_bench import STORE_FOLDER

PATHS = (
    "model", "model_config", "textual_inversion", "training_set", "prompts", "calibration", "canaries",
    "untargeted_held_out", "sscd",
)  # fmt: skip


def as_seen_everywhere(settings: Settings, rootdir: Path) -> Settings:
    """Return settings whose files are named by their whole paths; a worker's current folder is another.

    What is no file here (a hub id, the name of an embedder) is left as it is.
    """
    store = Path(settings.store).expanduser() if settings.store else rootdir / STORE_FOLDER
    whole: dict[str, Any] = {
        name: _whole(text) for name in PATHS if (text := getattr(settings, name)) is not None
    }
    lora = settings.lora and replace(settings.lora, path=_whole(settings.lora.path))
    kind, colon, folder = settings.embedder.partition(":")
    embedder = f"{kind}:{_whole(folder)}" if colon else settings.embedder
    return replace(settings, **whole, lora=lora, embedder=embedder, store=str(Path.cwd() / store))


def _whole(text: str) -> str:
    path = Path.cwd() / Path(text).expanduser()
    return str(path) if path.exists() else text
