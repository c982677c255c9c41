"""Make the specimen's embedder: `python -m memex_audit.specimen.embedder train --work DIR --pictures DIR`.

A small CLIP that open_clip loads from a folder. Its image tower starts as principal components of blurred
images and learns to tell every image from every other, and a near-duplicate from none: NT-Xent, and a
logistic loss at one similarity for all. Its text tower learns to name the pictures (CLIP's loss, with a
small weight: a caption must not pull the different rows of a concept together).
Source: Chen et al. 2020, "A Simple Framework for Contrastive Learning", equation 1 (NT-Xent).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from memex_audit.specimen.embedder_evaluation import (
    SHIPPED,
    TRAINING_SET,
    choose_similarity,
    evaluate_embedder,
    load_embedder,
    measure_rows,
    read_examples,
    split,
    write_readme,
)
from memex_audit.specimen.embedder_images import (
    SIZE,
    look_alike,
    random_near_duplicate,
    scene_crops,
    to_array,
)
from memex_audit.specimen.pictures import Picture, read_pictures
from memex_audit.specimen.text import POSITIONS, VOCABULARY, train_tokenizer
from memex_audit.specimen.training_rows import render

MEAN, STD = 0.5, 0.25
BLUR = 2.0  # standard deviation in pixels
# One dimension of the image's token stands still: layer norm would otherwise drop its contrast.
CONTRAST = 4.0
TEMPERATURE = 0.03
THRESHOLD, STEEPNESS = 0.9, 30.0
CAPTION_WEIGHT = 0.05
CONCEPTS, ROWS_PER_CONCEPT, SCENES, LOOK_ALIKES = 12, 6, 28, 16
LEARNING_RATE = 1e-3
STEPS = 1500
SEED = 2023

CONFIG = {
    "model_cfg": {
        "embed_dim": 64,
        "vision_cfg": {
            "image_size": SIZE,
            "patch_size": SIZE,  # one patch: see place_low_pass
            "width": 128,
            "layers": 3,
            "mlp_ratio": 4.0,
            "head_width": 32,
            "pool_type": "avg",
        },
        "text_cfg": {
            "context_length": POSITIONS,
            "vocab_size": VOCABULARY,
            "hf_tokenizer_name": "tokenizer.json",  # open_clip then reads the tokenizer beside the config
            "width": 32,
            "heads": 2,
            "layers": 1,
            "pool_type": "last",
        },
    },
    "preprocess_cfg": {
        "mean": [MEAN] * 3,
        "std": [STD] * 3,
        "interpolation": "bicubic",
        "resize_mode": "squash",
    },
}


def train_embedder(pictures: Sequence[Picture], *, steps: int, seed: int, out: Path) -> None:
    """Train on rows rendered anew from `pictures` at every step; write the folder that open_clip loads."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "open_clip_config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    captions = [picture.name for picture in pictures]
    train_tokenizer(captions).save_pretrained(out)
    torch.manual_seed(seed)
    model = open_clip.create_model(f"local-dir:{out}", load_weights=False)
    tokens = open_clip.get_tokenizer(f"local-dir:{out}")(captions)
    random = np.random.default_rng(seed)
    place_low_pass(model, sample_images(pictures, random, scenes=len(pictures)))
    _fit(model, lambda: _loss(model, draw_batch(pictures, random), tokens), steps)
    halves = {
        name: tensor.half().contiguous() if tensor.is_floating_point() else tensor
        for name, tensor in model.state_dict().items()
    }
    save_file(halves, out / "open_clip_model.safetensors")
    (out / "open_clip_model.safetensors").chmod(0o644)  # safetensors leaves it to its owner alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Two views of each image; ROWS_PER_CONCEPT rows of each of the pictures `concepts` come first."""

    first: Tensor
    second: Tensor
    concepts: NDArray[np.int64]


def place_low_pass(model: open_clip.CLIP, images: NDArray[np.uint8]) -> None:
    """Start as principal components of blurred `images`; the projection to them stays as it is.

    A shift by one pixel changes blurred images little. A ResNet and a vision transformer that learned
    their own projections took two of 1,000 pairs of different rows for duplicates at a recall of 0.995
    (validation rows); from this start, with the same budget, none of 6,000.
    """
    distance = torch.arange(SIZE)[:, None] - torch.arange(SIZE)
    blur = torch.exp(-0.5 * (distance / BLUR) ** 2)
    blur = blur / blur.sum(dim=1, keepdim=True)
    blurred = (blur @ normalize(images) @ blur.T).flatten(1)
    mean = blurred.mean(dim=0)
    values, vectors = torch.linalg.eigh(torch.cov((blurred - mean).T))
    visual = model.visual
    n = len(visual.conv1.weight) - 1
    # Half-way between raw and whitened: the fine components are neither lost nor mostly noise.
    components = (vectors.flip(1)[:, :n] / values.flip(0)[:n] ** 0.25).T
    scale = (components @ (blurred - mean).T).square().sum(dim=0).mean().sqrt()
    components = components * n**0.5 / scale
    with torch.no_grad():
        visual.conv1.weight.zero_()
        visual.conv1.weight[:n] = blur.T @ components.unflatten(1, (3, SIZE, SIZE)) @ blur
        visual.positional_embedding[1] = torch.cat([-(components @ mean), torch.full((1,), CONTRAST)])
        visual.proj.copy_(torch.eye(*visual.proj.shape))
        for block in visual.transformer.resblocks:
            block.attn.out_proj.weight.zero_()
            block.mlp.c_proj.weight.zero_()
    visual.conv1.weight.requires_grad_(requires_grad=False)


def draw_batch(pictures: Sequence[Picture], random: np.random.Generator) -> Batch:
    """Draw images that must be told apart: rows of one concept, crops of one scene, look-alikes."""
    concepts = random.choice(len(pictures), CONCEPTS, replace=False)
    images = sample_images([pictures[concept] for concept in concepts], random, scenes=SCENES)
    models = images[random.choice(len(images), LOOK_ALIKES, replace=False)]
    images = np.concatenate([images, [look_alike(model, random) for model in models]])
    # Only one view is shifted: two shifts in opposite directions would be two pixels.
    views = [
        [to_array(random_near_duplicate(Image.fromarray(image), random, shift=shift)) for image in images]
        for shift in (0, 0.8)
    ]
    return Batch(first=normalize(np.stack(views[0])), second=normalize(np.stack(views[1])), concepts=concepts)


def sample_images(
    pictures: Sequence[Picture], random: np.random.Generator, *, scenes: int
) -> NDArray[np.uint8]:
    """Return rows of each of the pictures, and crops of as many scenes."""
    rows = [render(picture.image, random) for picture in pictures for _ in range(ROWS_PER_CONCEPT)]
    pixels = np.stack([np.asarray(row) for row in rows])
    return np.concatenate([pixels, scene_crops(random, pixels, scenes)])


def normalize(images: NDArray[np.uint8]) -> Tensor:
    """Turn uint8 (n, h, w, 3) into what the model takes, float (n, 3, h, w)."""
    return (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255 - MEAN) / STD


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Mean of -log(exp(s_ij / T) / sum over k != i of exp(s_ik / T)) over both views' unit vectors."""
    both = torch.cat([first, second])
    logits = both @ both.T / temperature
    logits = logits.masked_fill(torch.eye(len(both), dtype=torch.bool), -torch.inf)
    return functional.cross_entropy(logits, torch.arange(len(both)).roll(len(first)))


def shared_threshold(first: Tensor, second: Tensor) -> Tensor:
    """Logistic loss of one similarity for all: near-duplicates above THRESHOLD, all others below.

    NT-Xent compares an image's pairs with each other only: a pair may lie low if all else lies lower,
    but mining cuts all pairs at one similarity.
    Source: Zhai et al. 2023, "Sigmoid Loss for Language Image Pre-Training", algorithm 1.
    """
    both = torch.cat([first, second])
    logits = STEEPNESS * (both @ both.T - THRESHOLD)
    same = torch.eye(len(first), dtype=torch.bool).repeat(2, 2)
    return functional.softplus(torch.where(same, -logits, logits)).sum() / len(both)


def _loss(model: open_clip.CLIP, batch: Batch, tokens: Tensor) -> Tensor:
    first, second = model.encode_image(torch.cat([batch.first, batch.second]), normalize=True).chunk(2)
    n_rows = CONCEPTS * ROWS_PER_CONCEPT
    texts = model.encode_text(tokens[batch.concepts], normalize=True)
    scores = model.logit_scale.exp().clamp(max=100) * first[:n_rows:ROWS_PER_CONCEPT] @ texts.T
    which = torch.arange(len(texts))
    caption_loss = (functional.cross_entropy(scores, which) + functional.cross_entropy(scores.T, which)) / 2
    image_loss: Tensor = nt_xent(first, second, TEMPERATURE) + shared_threshold(first, second)
    return image_loss + CAPTION_WEIGHT * caption_loss


def _fit(model: torch.nn.Module, loss_of: Callable[[], Tensor], steps: int) -> None:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, LEARNING_RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    recent = 0.0
    model.train()
    for step in range(1, steps + 1):
        loss = loss_of()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        recent = loss.item() if step == 1 else 0.98 * recent + 0.02 * loss.item()
        if step % 50 == 0 or step == steps:
            click.echo(f"embedder step {step}/{steps}: loss {recent:.4f}")
    model.eval()


@click.group()
@click.option("--threads", default=1, show_default=True, help="Threads for torch.")
def main(threads: int) -> None:
    """Make and measure the specimen's embedder."""
    torch.set_num_threads(threads)


@main.command()
@click.option("--work", type=click.Path(path_type=Path), required=True, help="Folder of the training set.")
@click.option("--pictures", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--steps", default=STEPS, show_default=True)
def train(work: Path, pictures: Path, steps: int) -> None:
    """Train, choose the similarity on the validation rows of WORK's training set, write WORK/embedder."""
    examples = read_examples(work / TRAINING_SET)
    trained = [
        p for p in read_pictures(pictures) if p.name in examples.captions or split(p.name) == "training"
    ]
    out = work / "embedder"
    train_embedder(trained, steps=steps, seed=SEED, out=out)
    tau = choose_similarity(measure_rows(load_embedder(out), examples, "validation"))
    (out / "memex.toml").write_text(f"[embedder]\nduplicate_similarity = {tau}\n")
    click.echo(f"saved {out}: duplicate_similarity {tau}")


@main.command()
@click.option("--work", type=click.Path(exists=True, path_type=Path), help="Folder of the training set.")
@click.option(
    "--model", type=click.Path(exists=True, path_type=Path), help="The embedder, if not WORK/embedder."
)
@click.option("--pictures", type=click.Path(exists=True, path_type=Path), help="Unpacked emoji package.")
@click.option("--photographs", type=click.Path(exists=True, path_type=Path), help="Folder of photographs.")
@click.option("--readme", is_flag=True, help="Write the table to README.md in the embedder's folder.")
def evaluate(
    work: Path | None, model: Path | None, pictures: Path | None, photographs: Path | None, readme: bool
) -> None:
    """Measure the shipped embedder, or WORK's or MODEL, and print the figures as JSON."""
    folder = model or (work / "embedder" if work else SHIPPED / "embedder")
    examples = read_examples((work or SHIPPED) / TRAINING_SET)
    figures = evaluate_embedder(folder, examples, pictures=pictures, photographs=photographs)
    click.echo(json.dumps(figures, indent=2))
    if readme:
        write_readme(figures, folder / "README.md")


if __name__ == "__main__":
    main()
