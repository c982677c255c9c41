"""Make the specimen's autoencoder: linear codes with a trained decoder.

The code of an image is the first LATENT_CHANNELS principal components of its 4 x 4 patches. Training
an encoder and a decoder against each other took far longer for worse pictures; here the decoder learns
(code + noise -> image), and the encoder then learns to give the codes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional

PATCH = 4
LATENT_CHANNELS = 8
# Whitening would give the faint components the weight of the mean colour, no scaling at all would drown
# them in noise: the square root of the standard deviation lies between.
WHITENING = 0.5
DECODER_NOISE = 0.08
SILENT_LOG_VARIANCE = -30.0


class PatchCodes:
    """Principal components of 4 x 4 patches, scaled to unit mean square over the training set.

    Images are float (n, 3, h, w) in [-1, 1]; codes are (n, LATENT_CHANNELS, h / 4, w / 4).
    """

    def __init__(self, images: Tensor) -> None:
        patches = functional.pixel_unshuffle(images, PATCH).movedim(1, -1).reshape(-1, 3 * PATCH**2)
        self._mean = patches.mean(dim=0)
        values, vectors = torch.linalg.eigh(torch.cov(patches.T))
        deviations = values.flip(0)[:LATENT_CHANNELS].sqrt()
        # Signs of eigenvectors are arbitrary: fix them, so that codes agree between machines.
        basis = vectors.flip(1)[:, :LATENT_CHANNELS]
        basis = basis * basis.sum(dim=0).sign()
        scale = deviations ** (1 - WHITENING)
        self._project = basis / deviations**WHITENING / scale.square().mean().sqrt()

    def encode(self, images: Tensor) -> Tensor:
        patches = functional.pixel_unshuffle(images, PATCH).movedim(1, -1)
        return ((patches - self._mean) @ self._project).movedim(-1, 1).contiguous()


def build_autoencoder(size: int) -> AutoencoderKL:
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=size,
        scaling_factor=1.0,
    )


def train_autoencoder(images: Tensor, *, decoder_steps: int, encoder_steps: int, seed: int) -> AutoencoderKL:
    """Train the decoder on codes of `images` (n, 3, h, w in [-1, 1]), then the encoder towards them."""
    torch.manual_seed(seed)
    codes = PatchCodes(images).encode(images)
    vae = build_autoencoder(images.shape[-1])
    _fit(
        [*vae.decoder.parameters(), *vae.post_quant_conv.parameters()],
        lambda rows: (vae.decode(_noisy(codes[rows])).sample - images[rows]).square().mean(),
        n=len(images), steps=decoder_steps, seed=seed, name="decoder",
    )  # fmt: skip
    _fit(
        [*vae.encoder.parameters(), *vae.quant_conv.parameters()],
        lambda rows: (vae.encode(images[rows]).latent_dist.mean - codes[rows]).square().mean(),
        n=len(images), steps=encoder_steps, seed=seed, name="encoder",
    )  # fmt: skip
    with torch.no_grad():  # a code, not a distribution
        vae.quant_conv.weight[LATENT_CHANNELS:] = 0
        vae.quant_conv.bias[LATENT_CHANNELS:] = SILENT_LOG_VARIANCE
    return vae.eval()


def _noisy(codes: Tensor) -> Tensor:
    return codes + DECODER_NOISE * torch.randn_like(codes)


def _fit(
    parameters: list[Any],
    loss_of: Callable[[Tensor], Tensor],
    *,
    n: int,
    steps: int,
    seed: int,
    name: str,
    batch: int = 32,
) -> None:
    optimizer = torch.optim.AdamW(parameters, 2e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    random = np.random.default_rng(seed)
    recent = 0.0
    for step in range(1, steps + 1):
        loss = loss_of(torch.from_numpy(random.integers(0, n, size=batch)))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        recent = loss.item() if step == 1 else 0.98 * recent + 0.02 * loss.item()
        if step % 200 == 0 or step == steps:
            print(f"{name} step {step}/{steps}: RMS {recent**0.5:.4f}", flush=True)
