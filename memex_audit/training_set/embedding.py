"""Load an embedder by its name: examples -> embeddings, float32 (n, d) of unit norm."""

import hashlib
from pathlib import Path

from memex_audit.errors import ConfigurationError, EmbedderError
from memex_audit.protocols import Embedder
from memex_audit.settings_file import NAME, read_table

DEFAULT_EMBEDDER = "ViT-B-32/laion2b_s34b_b79k"
# A default for CLIP ViT-B-32, not calibrated on anybody's set: crops and recompressions of one picture
# lie above it, pictures of one subject mostly below.
DEFAULT_DUPLICATE_SIMILARITY = 0.95
LOCAL_DIR = "local-dir:"
CONFIG, WEIGHTS, SETTINGS = "open_clip_config.json", "open_clip_model.safetensors", NAME


def load_embedder(spec: str, *, device: str = "cpu") -> Embedder:
    """Load an open_clip model; its weights are safetensors, anything else is refused.

    Args:
        spec: `ARCH/TAG`, one of open_clip's pretrained models, from the Hugging Face hub or its cache;
            `ARCH/TAG@REVISION` pins the hub's revision; `local-dir:FOLDER` is a folder with
            open_clip_config.json, open_clip_model.safetensors and optionally memex.toml, whose
            `[embedder] duplicate_similarity` says above which cosine two pictures are near-copies.
        device: a torch device.

    Raises:
        EmbedderError: the spec cannot be read, or the weights cannot be had.
    """
    similarity = duplicate_similarity_of(spec)
    name = embedder_name(spec)
    if spec.startswith(LOCAL_DIR):
        from memex_audit.training_set.open_clip_embedder import load_local

        folder = Path(spec.removeprefix(LOCAL_DIR))
        return load_local(folder, name=name, duplicate_similarity=similarity, device=device)
    from memex_audit.training_set.open_clip_embedder import load_pretrained

    arch, _, tag = spec.partition("/")
    tag, _, revision = tag.partition("@")
    return load_pretrained(
        arch, tag, revision or None, name=name, duplicate_similarity=similarity, device=device
    )


def embedder_name(spec: str) -> str:
    """Return the name that identifies an embedder in caches and reports, without loading it.

    A hub model's name is its spec. A folder's is its last part with a digest of its files: the same
    model has the same name wherever it lies, and a changed one another.

    Raises:
        EmbedderError: the spec cannot be read, or the folder lacks a file.
    """
    if not spec.startswith(LOCAL_DIR):
        _check_pretrained(spec)
        return spec
    folder = Path(spec.removeprefix(LOCAL_DIR))
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            msg = (
                f"Embedder folder must hold {CONFIG} and {WEIGHTS}, got {folder} without {name}; save "
                "the model there as open_clip.push_to_hf_hub does, safetensors only."
            )
            raise EmbedderError(msg)
    digest = hashlib.sha256()
    for name in (CONFIG, WEIGHTS, SETTINGS):
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"{folder.resolve().name}@{digest.hexdigest()[:12]}"


def duplicate_similarity_of(spec: str) -> float:
    """Return the cosine from which on an embedder's vectors are near-copies, without loading it.

    Raises:
        EmbedderError: the folder's memex.toml cannot be read, or its value is not in (0, 1].
    """
    if not spec.startswith(LOCAL_DIR):
        return DEFAULT_DUPLICATE_SIMILARITY
    folder = Path(spec.removeprefix(LOCAL_DIR))
    try:
        settings = read_table(folder, "embedder")
    except ConfigurationError as error:
        raise EmbedderError(str(error)) from error
    value = settings.get("duplicate_similarity", DEFAULT_DUPLICATE_SIMILARITY)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        path = folder / NAME
        msg = (
            f"{path} duplicate_similarity must be in (0, 1], got {value!r}. It is a cosine; larger is closer."
        )
        raise EmbedderError(msg)
    return float(value)


def _check_pretrained(spec: str) -> None:
    arch, _, tag = spec.partition("/")
    if not arch or not tag or "/" in tag:
        msg = (
            f"`--memex-embedder` must be ARCH/TAG, local-dir:FOLDER or specimen, got {spec!r}; for instance "
            f"{DEFAULT_EMBEDDER}."
        )
        raise EmbedderError(msg)
