"""Embed pictures with the image tower of an open_clip model."""

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import huggingface_hub
import numpy as np
import open_clip
import torch
from PIL import Image
from safetensors import SafetensorError

from memex_audit.errors import EmbedderError

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH = 64
INSTEAD = "use `--memex-embedder local-dir:FOLDER` (a model on this disk) or `specimen` (shipped, small)"
# What goes wrong in a download or in weights that do not fit: network, disk, safetensors, torch, config.
LOAD_ERRORS = (SafetensorError, OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError)


class OpenClipEmbedder:
    """An Embedder: the model's own preprocessing, then its image tower, then unit norm.

    Args:
        model: an open_clip model.
        preprocess: its transform for inference, from a PIL image to a float tensor.
        name: identifies the model in caches and reports.
        dimension: length of an embedding.
        duplicate_similarity: cosine from which on two pictures are near-copies.
        device: a torch device.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        preprocess: Callable[[Image.Image], torch.Tensor],
        *,
        name: str,
        dimension: int,
        duplicate_similarity: float,
        device: str,
    ) -> None:
        self.name = name
        self.dimension = dimension
        self.duplicate_similarity = duplicate_similarity
        self._model: Any = model.to(device).eval()
        self._preprocess = preprocess
        self._device = device

    def embed(self, images: "Sequence[NDArray[np.uint8]]") -> "NDArray[np.float32]":
        """Embed pictures.

        Args:
            images: uint8 (h, w, 3) each, of any sizes.

        Returns:
            float32 (len(images), dimension); every row has unit norm.

        Raises:
            EmbedderError: the model gives values that are not finite.
        """
        vectors = np.empty((len(images), self.dimension), dtype=np.float32)
        for start in range(0, len(images), BATCH):
            vectors[start : start + BATCH] = self._embed_batch(images[start : start + BATCH])
        return vectors

    def _embed_batch(self, images: "Sequence[NDArray[np.uint8]]") -> "NDArray[np.float32]":
        batch = torch.stack([self._preprocess(Image.fromarray(image)) for image in images])
        with torch.inference_mode():
            vectors = self._model.encode_image(batch.to(self._device)).float().cpu().numpy()
        norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        if not np.isfinite(norms).all() or not norms.all():
            msg = f"Embeddings of {self.name} must be finite and not zero, got others; check its weights."
            raise EmbedderError(msg)
        unit: NDArray[np.float32] = (vectors / norms).astype(np.float32)
        return unit


def load_local(folder: Path, *, name: str, duplicate_similarity: float, device: str) -> OpenClipEmbedder:
    """Load a model from a folder of config and safetensors.

    Raises:
        EmbedderError: the files do not fit each other or open_clip.
    """
    spec = f"local-dir:{folder}"
    try:
        dimension = int(open_clip.get_model_config(spec)["embed_dim"])
        model, preprocess = open_clip.create_model_from_pretrained(spec)
    except LOAD_ERRORS as error:
        msg = f"Embedder in {folder} must be an open_clip model with its weights, got: {_one_line(error)}"
        raise EmbedderError(msg) from error
    return OpenClipEmbedder(
        model,
        preprocess,
        name=name,
        dimension=dimension,
        duplicate_similarity=duplicate_similarity,
        device=device,
    )


def load_pretrained(
    arch: str, tag: str, revision: str | None, *, name: str, duplicate_similarity: float, device: str
) -> OpenClipEmbedder:
    """Load one of open_clip's pretrained models from the hub or its cache.

    Raises:
        EmbedderError: open_clip knows no such model, or its weights cannot be had.
    """
    config = _find_pretrained(arch, tag)
    try:
        weights = _download(config["hf_hub"], revision)
        model, preprocess = open_clip.create_model_from_pretrained(
            arch,
            pretrained=weights,
            force_quick_gelu=bool(config.get("quick_gelu")),
            image_mean=config.get("mean"),
            image_std=config.get("std"),
            image_interpolation=config.get("interpolation"),
            image_resize_mode=config.get("resize_mode"),
        )
    except LOAD_ERRORS as error:
        msg = f"Weights of {name} cannot be had ({_one_line(error)}); {INSTEAD}."
        raise EmbedderError(msg) from error
    return OpenClipEmbedder(
        model,
        preprocess,
        name=name,
        dimension=int(open_clip.get_model_config(arch)["embed_dim"]),
        duplicate_similarity=duplicate_similarity,
        device=device,
    )


def weights_are_cached(arch: str, tag: str, revision: str | None) -> bool:
    """Whether a pretrained model can be loaded without the hub.

    Raises:
        EmbedderError: open_clip knows no such model, or only a pickle of it.
    """
    try:
        huggingface_hub.hf_hub_download(
            *_hub_file(_find_pretrained(arch, tag)["hf_hub"]), revision=revision, local_files_only=True
        )
    except FileNotFoundError:
        return False
    return True


def _find_pretrained(arch: str, tag: str) -> dict[str, Any]:
    tags = open_clip.list_pretrained_tags_by_model(arch)
    if not tags:
        near = difflib.get_close_matches(arch, open_clip.list_models())
        msg = (
            f"Embedder must be one of open_clip's models, got {arch!r}; nearest: {', '.join(near) or 'none'}."
        )
        raise EmbedderError(msg)
    if tag not in tags:
        msg = f"Embedder {arch} must have one of the tags {', '.join(tags)}, got {tag!r}."
        raise EmbedderError(msg)
    config: dict[str, Any] = open_clip.get_pretrained_cfg(arch, tag)
    if not config.get("hf_hub"):
        msg = f"Weights of {arch}/{tag} must be safetensors, got a pickle; choose another tag or {INSTEAD}."
        raise EmbedderError(msg)
    return config


def _hub_file(hub_path: str) -> tuple[str, str]:
    """Return the repository and the safetensors file behind "ORG/MODEL/" or "ORG/MODEL/FILE"."""
    repo, _, file = hub_path.rpartition("/")
    return repo, f"{file.rsplit('.', 1)[0]}.safetensors" if file else "open_clip_model.safetensors"


def _download(hub_path: str, revision: str | None) -> str:
    """Return the path of a model's safetensors file here."""
    repo, file = _hub_file(hub_path)
    try:
        # The hub's cache first: without a network a look-up retries for half a minute.
        return huggingface_hub.hf_hub_download(repo, file, revision=revision, local_files_only=True)
    except FileNotFoundError:
        return huggingface_hub.hf_hub_download(repo, file, revision=revision)


def _one_line(error: Exception) -> str:
    lines = str(error).split("\n")
    return lines[0].strip() or type(error).__name__
