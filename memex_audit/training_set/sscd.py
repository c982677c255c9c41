"""SSCD, a network trained to tell copies from pictures that are only alike, from a local TorchScript file.

Source: Pizzi et al. 2022, "A Self-Supervised Descriptor for Image Copy Detection". Of its model disc_mixup a
cosine above 0.75 is a copy with 90 % precision, on the photographs of the DISC benchmark; what it is on other
pictures is not known, so it reports and does not decide. Figures of the diffusion literature rest on another
preprocessing and are not comparable.

A TorchScript file is a program, run by torch's own interpreter: no Python and no pickled Python objects, but
code. Whoever names the file trusts it.
"""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from memex_audit.errors import EmbedderError, first_line

SIDE = 320
# Of ImageNet, as for every network that was trained on it.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
COPY_COSINE = 0.75


class SscdDetector:
    """An Embedder whose near-copies lie at a cosine of 0.75 and more.

    Args:
        file: TorchScript of a module that takes float32 (n, 3, 320, 320) and gives (n, d).

    Raises:
        EmbedderError: it is no such file.
    """

    duplicate_similarity = COPY_COSINE

    def __init__(self, file: Path) -> None:
        try:
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            with warnings.catch_warnings():
                # torch 2.14 calls TorchScript deprecated; SSCD is published as nothing else.
                warnings.simplefilter("ignore", FutureWarning)
                load: Callable[..., torch.nn.Module] = torch.jit.load
                self._module = load(str(file), map_location="cpu").eval()
            self.dimension = self._run(np.zeros((1, 3, SIDE, SIDE), np.float32)).shape[1]
        except (OSError, RuntimeError, ValueError, IndexError) as error:
            said = first_line(error)[:200]
            raise EmbedderError(
                f"--memex-sscd must be TorchScript that takes (n, 3, {SIDE}, {SIDE}) and gives (n, d), "
                f"such as sscd_disc_mixup.torchscript.pt, got {file} ({said}); check the file."
            ) from error
        self.name = f"{file.name}@{digest[:12]}"

    def embed(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Embed uint8 (h, w, 3) images of any sizes into float32 (n, d) of unit norm."""
        return np.concatenate([self._unit(image) for image in images])

    def _unit(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        # One at a time: a picture of 320 x 320 is a batch for this network on a CPU.
        small = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        scaled = (np.asarray(small, np.float32) / 255 - MEAN) / DEVIATION
        vector = self._run(np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], np.float32))
        norm = np.linalg.norm(vector, axis=1, keepdims=True)
        if not np.isfinite(norm).all() or not norm.all():
            raise EmbedderError(
                f"{self.name} must give finite vectors other than 0, got a norm of {norm[0, 0]}."
            )
        unit: NDArray[np.float32] = (vector / norm).astype(np.float32)
        return unit

    def _run(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            given = self._module(torch.from_numpy(pixels))
        if not isinstance(given, torch.Tensor) or given.ndim != 2 or len(given) != len(pixels):
            raise ValueError(
                f"a module must give (n, d), got {getattr(given, 'shape', type(given).__name__)}"
            )
        found: NDArray[np.float32] = given.float().numpy()
        return found
