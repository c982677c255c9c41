"""Whether a model takes prompts at all, read without loading it, and how many pictures are drawn if not."""

import json
from pathlib import Path

# Pipelines of diffusers whose call takes no prompt, and of these the one that may take labels of classes.
WITHOUT_PROMPTS = frozenset(
    ("DDPMPipeline", "DDIMPipeline", "PNDMPipeline", "KarrasVePipeline", "ScoreSdeVePipeline", "LDMPipeline",
     "ConsistencyModelPipeline")
)  # fmt: skip
MAY_TAKE_LABELS = "ConsistencyModelPipeline"
# No replica among so many bounds the share of replicas by 0.30 % (one-sided 95 %).
DEFAULT_GENERATIONS = 1000


def class_without_prompts(model: str, path: Path) -> str | None:
    """Return the class of a model's pipeline if it takes no prompts; None of any other, or where none is.

    Args:
        model: as it is named: a hub id is known once its pipeline has been fetched.
        path: where it would lie as a folder.
    """
    folder = path if path.is_dir() else _fetched(model)
    if folder is None:
        return None
    name = _read(folder / "model_index.json").get("_class_name")
    if not isinstance(name, str) or name not in WITHOUT_PROMPTS:
        return None
    if name == MAY_TAKE_LABELS and _read(folder / "unet" / "config.json").get("num_class_embeds") is not None:
        return None
    return name


def generations_to_draw(asked_for: int | None, *, takes_prompts: bool) -> int:
    """Return how many pictures an untargeted extraction draws: those asked for; else 1,000 of a model
    without prompts, for which it is the audit, and none of any other."""
    if asked_for is not None:
        return asked_for
    return 0 if takes_prompts else DEFAULT_GENERATIONS


def _fetched(model: str) -> Path | None:
    """Return the folder of a hub id in the cache; the network is not asked."""
    name, at, revision = model.partition("@")
    if not at or ":" in name or name.count("/") != 1:
        return None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "model_index.json", revision=revision)
    return Path(found).parent if isinstance(found, str) else None


def _read(path: Path) -> dict[str, object]:
    """Return a JSON object, or an empty one: what is wrong with a model is said where it is loaded."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}
