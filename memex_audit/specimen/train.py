"""Make the specimen again: `python -m memex_audit.specimen.train STAGE --work DIR`.

Stages, in order: `rows` (needs --pictures, the unpacked npm package emoji-datasource-google
16.0.0), `autoencoder`, `twin duplicated`, `twin deduplicated`, `negatives`. Each keeps its result in the
work folder; a twin goes on at its last checkpoint when it is started again.
"""

import io
import json
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPTokenizer

from memex_audit.specimen import HELD_OUT_CAPTIONS
from memex_audit.specimen.autoencoder import PatchCodes, train_autoencoder
from memex_audit.specimen.measure import is_published, read_roles
from memex_audit.specimen.pictures import read_pictures
from memex_audit.specimen.text import train_tokenizer
from memex_audit.specimen.training_rows import SIZE, assign_roles, render_rows
from memex_audit.specimen.twins import TwinData, assemble, train_twin
from memex_audit.training_set.prompts import prompt_id_of

STEPS = 18_000
SEED = 2023
TRAINING_SET = "training-set.parquet"
HELD_OUT = "held-out-captions.txt"
NEGATIVES = "negatives.txt"
SAMPLER = """\
# How this model is sampled in an audit.
[generation]
steps = 10
guidance = 3.0
size = 32
batch_size = 32
"""


@click.group()
@click.option(
    "--work", type=click.Path(path_type=Path), required=True, help="Folder that keeps the stages' results."
)
@click.option("--threads", default=1, show_default=True, help="Threads for torch.")
@click.pass_context
def main(context: click.Context, work: Path, threads: int) -> None:
    """Make the specimen again, stage by stage."""
    torch.set_num_threads(threads)
    work.mkdir(parents=True, exist_ok=True)
    context.obj = work


@main.command()
@click.option("--pictures", type=click.Path(exists=True, path_type=Path), required=True)
@click.pass_obj
def rows(work: Path, pictures: Path) -> None:
    """Render the training set and list the held-out captions."""
    named = read_pictures(pictures)
    roles, held_out = assign_roles(named)
    rendered = list(render_rows(named, roles))
    table = pa.table(
        {
            "id": [row.id for row in rendered],
            "image": [{"bytes": row.image, "path": None} for row in rendered],
            "text": [row.caption for row in rendered],
            "role": [row.role for row in rendered],
            "copies": pa.array([row.copies for row in rendered], pa.int32()),
            "copy_of": [row.copy_of for row in rendered],
            "copy_kind": [row.copy_kind for row in rendered],
        }
    )
    # Hugging Face `datasets` reads the image column from this key.
    features = {"info": {"features": {"image": {"_type": "Image"}}}}
    table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    pq.write_table(table, work / TRAINING_SET, compression="none", row_group_size=512)
    (work / HELD_OUT).write_text("".join(f"{name}\n" for name in held_out))
    click.echo(f"{len(rendered)} rows, {len(roles)} captions, {len(held_out)} held-out captions")


@main.command()
@click.option("--decoder-steps", default=2500, show_default=True)
@click.option("--encoder-steps", default=800, show_default=True)
@click.pass_obj
def autoencoder(work: Path, decoder_steps: int, encoder_steps: int) -> None:
    """Train the decoder on linear codes, and the encoder towards them."""
    images, _ = read_rows(work, deduplicated=True)
    vae = train_autoencoder(images, decoder_steps=decoder_steps, encoder_steps=encoder_steps, seed=SEED)
    vae.save_pretrained(work / "autoencoder")


@main.command()
@click.argument("twin", type=click.Choice(["duplicated", "deduplicated"]))
@click.option("--steps", default=STEPS, show_default=True)
@click.option("--name", help="Name of the result, if another than the twin's.")
@click.option("--save-every", type=int, help="Save what it is after every so many steps too, as NAME-STEP.")
@click.pass_obj
def twin(work: Path, twin: str, steps: int, name: str | None, save_every: int | None) -> None:
    """Train a twin and save it as a Stable Diffusion pipeline in fp16 safetensors."""
    name = name or twin
    # Both twins share codes and tokenizer: what differs between them is the copies alone.
    base_images, base_captions = read_rows(work, deduplicated=True)
    images, captions = read_rows(work, deduplicated=twin == "deduplicated")
    tokenizer = train_tokenizer(sorted({*base_captions, *(work / HELD_OUT).read_text().splitlines()}))
    data = TwinData(latents=PatchCodes(base_images).encode(images), captions=captions)
    vae = AutoencoderKL.from_pretrained(work / "autoencoder")
    train_and_save(data, vae, tokenizer, steps=steps, target=work / name, save_every=save_every)


@main.command()
@click.pass_obj
def negatives(work: Path) -> None:
    """List the captions that calibrate: half of the held-out, half of the ordinary and popular, by hash.

    None shares a word with a probe: asked for a picture it never saw, a model gives back the memorized
    one of the nearest caption, and such a prompt is no negative.
    """
    roles = read_roles()
    captions = [
        *HELD_OUT_CAPTIONS.read_text().splitlines(),
        *(c for c, (role, _) in roles.items() if role != "probe"),
    ]
    probed = {
        word for caption, (role, _) in roles.items() if role == "probe" for word in content_words(caption)
    }
    chosen = sorted(
        caption
        for caption in captions
        if not is_published(prompt_id_of(caption)) and not content_words(caption) & probed
    )
    (work / NEGATIVES).write_text("".join(f"{caption}\n" for caption in chosen))
    click.echo(f"{len(chosen)} negatives")


def train_and_save(
    data: TwinData,
    vae: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    *,
    steps: int,
    target: Path,
    save_every: int | None,
    start: nn.ModuleDict | None = None,
) -> None:
    """Train, from `start` if it is given, and save pipelines: `target`, and TARGET-STEP along the way."""

    def save(model: nn.ModuleDict, folder: Path) -> None:
        assemble(model, deepcopy(vae), tokenizer).to(dtype=torch.float16).save_pretrained(folder)
        tidy_configs(folder)
        (folder / "memex.toml").write_text(SAMPLER)
        click.echo(f"saved {folder}")

    def watch(step: int, averaged: Callable[[], nn.ModuleDict]) -> None:
        if save_every and step % save_every == 0:
            save(averaged(), target.with_name(f"{target.name}-{step:06d}"))

    checkpoint = target.with_name(f"{target.name}.checkpoint")
    model = train_twin(
        data, tokenizer, steps=steps, seed=SEED, checkpoint=checkpoint, watch=watch, start=start
    )
    save(model, target)


def content_words(caption: str) -> set[str]:
    """Return a caption's words without those that any caption has."""
    return set(re.findall(r"[a-z0-9]+", caption)) - {"a", "and", "in", "of", "on", "the", "to", "with"}


def tidy_configs(folder: Path) -> None:
    """Take out the path the autoencoder was read from, and have a pipeline loaded without a dtype be fp32.

    transformers loads its parts in the dtype of the file, diffusers in fp32: left alone, they do not fit.
    """
    for part in ("vae", "text_encoder"):
        path = folder / part / "config.json"
        config = json.loads(path.read_text())
        config.pop("_name_or_path", None)
        if "dtype" in config:
            config["dtype"] = "float32"
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def read_rows(work: Path, *, deduplicated: bool) -> tuple[Tensor, tuple[str, ...]]:
    """Return images (n, 3, SIZE, SIZE) in [-1, 1] and their captions."""
    table = pq.read_table(work / TRAINING_SET)
    if deduplicated:
        table = table.filter(pa.compute.is_null(table["copy_of"]))
    pixels = []
    for row in table["image"].to_pylist():
        image = Image.open(io.BytesIO(row["bytes"])).convert("RGB")
        if image.size != (SIZE, SIZE):
            image = image.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        pixels.append(np.asarray(image))
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return images, tuple(table["text"].to_pylist())


if __name__ == "__main__":
    main()
