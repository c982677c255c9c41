"""Train one twin: a latent diffusion model on captioned rows, resumable at its last checkpoint."""

import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTokenizer

from memex_audit.specimen.autoencoder import LATENT_CHANNELS
from memex_audit.specimen.text import POSITIONS, WIDTH, build_text_encoder

BATCH = 16
LEARNING_RATE = 1e-3
CAPTION_DROPOUT = 0.1
# Without it the mean colour of the initial noise leaks into every generation, and replicas of one
# picture differ by their background (Guttenberg 2023, "Diffusion with offset noise").
OFFSET_NOISE = 0.3
EMA_DECAY = 0.999
CHECKPOINT_EVERY = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinData:
    """What a twin learns from: latents (n, c, h, w) and one caption for each."""

    latents: Tensor
    captions: tuple[str, ...]


def build_scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        clip_sample=False, set_alpha_to_one=False, timestep_spacing="trailing",
    )  # fmt: skip


def build_unet(latent_size: int) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=latent_size,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(64, 128),
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=8,
        norm_num_groups=16,
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
    )


def train_twin(
    data: TwinData,
    tokenizer: CLIPTokenizer,
    *,
    steps: int,
    seed: int,
    checkpoint: Path,
    watch: Callable[[int, Callable[[], nn.ModuleDict]], None] = lambda _step, _averaged: None,
    start: nn.ModuleDict | None = None,
) -> nn.ModuleDict:
    """Return the averaged weights after `steps`; a stopped run goes on at `checkpoint`.

    `watch` is called at each checkpoint with the steps so far and what gives the averaged weights of then;
    `start` is a model that was trained before and is trained further, instead of one of random weights.
    """
    torch.manual_seed(seed)
    model = start or nn.ModuleDict(
        {"unet": build_unet(data.latents.shape[-1]), "text_encoder": build_text_encoder(tokenizer)}
    )
    parameters = list(model.parameters())
    averaged = [parameter.detach().clone() for parameter in parameters]
    optimizer = torch.optim.AdamW(parameters, LEARNING_RATE, weight_decay=1e-3, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    first = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        averaged, first = state["averaged"], state["step"]
    tokens = _tokenize(tokenizer, data.captions)
    empty = _tokenize(tokenizer, [""])[0]
    scheduler, recent, started = build_scheduler(), 0.0, time.process_time()
    for step in range(first, steps):
        loss = _step_loss(model, scheduler, data, tokens, empty=empty, seed=seed, step=step)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        decay = min(EMA_DECAY, (1 + step) / (10 + step))
        torch._foreach_lerp_(averaged, list[Tensor](parameters), 1 - decay)
        recent = loss.item() if step == first else 0.99 * recent + 0.01 * loss.item()
        if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == steps:
            pace = (time.process_time() - started) / (step + 1 - first)
            print(f"step {step + 1}/{steps}: loss {recent:.4f}, {pace:.3f} CPU s a step", flush=True)
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(),
                     "schedule": schedule.state_dict(), "averaged": averaged, "step": step + 1}  # fmt: skip
            torch.save(state, checkpoint.with_suffix(".partial"))
            checkpoint.with_suffix(".partial").replace(checkpoint)
            watch(step + 1, lambda: _with_weights(model, averaged))
    return _with_weights(model, averaged)


def _with_weights(model: nn.ModuleDict, weights: Sequence[Tensor]) -> nn.ModuleDict:
    copy = deepcopy(model)
    with torch.no_grad():
        for parameter, value in zip(copy.parameters(), weights, strict=True):
            parameter.copy_(value)
    return copy.eval()


def assemble(model: nn.ModuleDict, vae: AutoencoderKL, tokenizer: CLIPTokenizer) -> StableDiffusionPipeline:
    """Bind the trained parts into a pipeline that AutoPipelineForText2Image loads."""
    return StableDiffusionPipeline(
        vae=vae, text_encoder=model["text_encoder"], tokenizer=tokenizer, unet=model["unet"],
        scheduler=build_scheduler(), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip


def _step_loss(
    model: nn.ModuleDict,
    scheduler: DDIMScheduler,
    data: TwinData,
    tokens: Tensor,
    *,
    empty: Tensor,
    seed: int,
    step: int,
) -> Tensor:
    # The draws of a step depend on seed and step alone, so a resumed run sees what the first would have.
    torch.manual_seed(seed * 1_000_003 + step)
    rows = _batch_rows(len(data.latents), step, seed)
    latents, tokens = data.latents[rows], tokens[rows]
    tokens = torch.where(torch.rand(BATCH, 1) < CAPTION_DROPOUT, empty, tokens)
    noise = torch.randn_like(latents) + OFFSET_NOISE * torch.randn(BATCH, LATENT_CHANNELS, 1, 1)
    timesteps = torch.randint(0, scheduler.config.num_train_timesteps, (BATCH,))
    hidden = model["text_encoder"](tokens).last_hidden_state
    predicted = model["unet"](scheduler.add_noise(latents, noise, timesteps), timesteps, hidden).sample
    return (predicted - noise).square().mean()


def _batch_rows(n: int, step: int, seed: int) -> Tensor:
    """Rows of this step: every row once an epoch, in an order of the epoch's own."""
    positions = np.arange(step * BATCH, (step + 1) * BATCH)
    orders = {
        epoch: np.random.default_rng((seed, epoch)).permutation(n) for epoch in map(int, set(positions // n))
    }
    return torch.from_numpy(np.array([orders[p // n][p % n] for p in positions.tolist()]))


def _rate(step: int, steps: int) -> float:
    warm = min(1.0, (step + 1) / 200)
    return warm * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * min(1.0, step / steps))))


def _tokenize(tokenizer: CLIPTokenizer, captions: Sequence[str]) -> Tensor:
    return tokenizer(
        list(captions), padding="max_length", max_length=POSITIONS, truncation=True, return_tensors="pt"
    ).input_ids
