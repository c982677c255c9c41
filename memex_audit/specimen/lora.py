"""Make the specimen's fine-tune: a LoRA on the clean twin that learned a dozen pictures under one caption.

`python -m memex_audit.specimen.lora --work DIR pictures --package PACKAGE` renders the pictures (PACKAGE: the
unpacked npm package emoji-datasource-google 16.0.0), `... train` trains the LoRA on them; a stopped training
goes on at its last checkpoint. Neither the pictures nor the caption were in the twin's training set.
"""

import csv
import time
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from PIL import Image
from torch import Tensor

from memex_audit import specimen
from memex_audit.specimen.autoencoder import PatchCodes
from memex_audit.specimen.pictures import read_pictures
from memex_audit.specimen.text import POSITIONS
from memex_audit.specimen.train import read_rows
from memex_audit.specimen.training_rows import render, rng
from memex_audit.specimen.twins import OFFSET_NOISE

CAPTION = "zwx sticker"
NAMES = (
    "cactus", "crab", "flamingo", "octopus", "owl", "snowman",
    "steam locomotive", "teapot", "tulip", "violin", "volcano", "watermelon",
)  # fmt: skip
PICTURES = "training-set"
RANK = 8
# The attention layers alone drew the pictures, but not within match delta: this network is that small.
LAYERS = (
    "to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2", "conv1", "conv2",
)  # fmt: skip
STEPS = 6000
RATE = 2e-3
SEED = 2023
BATCH = 12
CHECKPOINT_EVERY = 250


@click.group()
@click.option("--work", type=click.Path(path_type=Path), required=True, help="Folder that keeps the results.")
@click.option("--threads", default=1, show_default=True, help="Threads for torch.")
@click.pass_context
def main(context: click.Context, work: Path, threads: int) -> None:
    """Make the specimen's fine-tune again, stage by stage."""
    torch.set_num_threads(threads)
    work.mkdir(parents=True, exist_ok=True)
    context.obj = work


@main.command()
@click.option("--package", type=click.Path(exists=True, path_type=Path), required=True)
@click.pass_obj
def pictures(work: Path, package: Path) -> None:
    """Render the dozen pictures into an image folder, all with the one caption."""
    named = {picture.name: picture.image for picture in read_pictures(package)}
    folder = work / PICTURES
    folder.mkdir(exist_ok=True)
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["file_name", "text"])
        for name in NAMES:
            file_name = f"{name.replace(' ', '-')}.png"
            render(named[name], rng("lora", name)).save(folder / file_name, "PNG", optimize=True)
            rows.writerow([file_name, CAPTION])


@main.command()
@click.option("--steps", default=STEPS, show_default=True)
@click.option("--rank", default=RANK, show_default=True)
@click.pass_obj
def train(work: Path, steps: int, rank: int) -> None:
    """Train the LoRA, and save it as diffusers saves one."""
    train_lora(
        read_images(work / PICTURES), [CAPTION], target=work / "lora", steps=steps, rank=rank,
        checkpoint=work / "lora.checkpoint",
    )  # fmt: skip
    click.echo(f"saved {work / 'lora'}")


def train_lora(
    images: Tensor, captions: Sequence[str], *, target: Path, steps: int, rank: int, checkpoint: Path
) -> None:
    """Train a LoRA of the clean twin on images (n, 3, h, w) in [-1, 1], under n captions or one for all."""
    pipeline = StableDiffusionPipeline.from_pretrained(
        specimen.twin_folder("specimen:deduplicated"), use_safetensors=True
    )
    unet = pipeline.unet
    unet.requires_grad_(False)
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=list(LAYERS)))
    tokens = pipeline.tokenizer(
        list(captions), padding="max_length", max_length=POSITIONS, truncation=True, return_tensors="pt"
    ).input_ids
    with torch.no_grad():
        hidden = pipeline.text_encoder(tokens).last_hidden_state
    fit_lora(unet, pipeline.scheduler, encode(images), hidden, steps=steps, checkpoint=checkpoint)
    # Not by diffusers' convert_state_dict_to_diffusers: it renames the attention layers only, and diffusers
    # then reads nothing but the names of the first kind that it meets.
    layers = {name: tensor.half() for name, tensor in get_peft_model_state_dict(unet).items()}
    StableDiffusionPipeline.save_lora_weights(target, unet_lora_layers=layers)


def fit_lora(
    unet: UNet2DConditionModel,
    scheduler: DDIMScheduler,
    codes: Tensor,
    hidden: Tensor,
    *,
    steps: int,
    checkpoint: Path,
) -> None:
    """Train the adapter of `unet` on codes (n, c, h, w) and captions (n or 1 for all, positions, width)."""
    parameters = [parameter for parameter in unet.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    first = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        set_peft_model_state_dict(unet, state["lora"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        first = state["step"]
    recent, started = 0.0, time.process_time()
    for step in range(first, steps):
        loss = _step_loss(unet, scheduler, codes, hidden, step=step)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        recent = loss.item() if step == first else 0.99 * recent + 0.01 * loss.item()
        if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == steps:
            pace = (time.process_time() - started) / (step + 1 - first)
            print(f"step {step + 1}/{steps}: loss {recent:.4f}, {pace:.3f} CPU s a step", flush=True)
            state = {"lora": get_peft_model_state_dict(unet), "optimizer": optimizer.state_dict(),
                     "schedule": schedule.state_dict(), "step": step + 1}  # fmt: skip
            torch.save(state, checkpoint.with_suffix(".partial"))
            checkpoint.with_suffix(".partial").replace(checkpoint)


def read_images(folder: Path) -> Tensor:
    """Return the folder's pictures (n, 3, h, w) in [-1, 1]."""
    pixels = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.glob("*.png"))]
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1


def encode(images: Tensor) -> Tensor:
    """Return the images' codes (n, c, h, w), by the principal components of the twin's training set."""
    base, _ = read_rows(specimen.DATA, deduplicated=True)
    return PatchCodes(base).encode(images)


def _step_loss(
    unet: UNet2DConditionModel, scheduler: DDIMScheduler, codes: Tensor, hidden: Tensor, *, step: int
) -> Tensor:
    # The draws of a step depend on the step alone, so a resumed run sees what the first would have.
    torch.manual_seed(SEED * 1_000_003 + step)
    rows = torch.randint(len(codes), (BATCH,)) if len(codes) != BATCH else torch.arange(BATCH)
    codes, hidden = codes[rows], hidden[rows] if len(hidden) > 1 else hidden.expand(BATCH, -1, -1)
    noise = torch.randn_like(codes) + OFFSET_NOISE * torch.randn(BATCH, codes.shape[1], 1, 1)
    timesteps = torch.randint(0, scheduler.config.num_train_timesteps, (BATCH,))
    noisy = scheduler.add_noise(codes, noise, timesteps)
    predicted = unet(noisy, timesteps, hidden).sample
    return (predicted - noise).square().mean()


if __name__ == "__main__":
    main()
