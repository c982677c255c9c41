"""Train the clean twin further, with canaries planted among its rows, to show what an audit of it finds.

`python -m memex_audit.specimen.canaries train --work DIR --plant FOLDER`: FOLDER is what `memex canary make
FOLDER --size 32x32` wrote. The result, DIR/planted, is a model folder; a stopped training goes on at its last
checkpoint. 4,000 steps are about 15 minutes of one core. `... table RESULT.json` prints what an audit of it
found, and with --out keeps that part of the result: docs/how-to/canaries.md was made so.
"""

import json
from pathlib import Path

import click
import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor, nn

from memex_audit import specimen
from memex_audit.canaries.making import PLANTED
from memex_audit.explain_canaries import canary_table
from memex_audit.reporting.json_report import read_result, record_to_dict
from memex_audit.specimen.autoencoder import PatchCodes
from memex_audit.specimen.train import read_rows, train_and_save
from memex_audit.specimen.training_rows import SIZE
from memex_audit.specimen.twins import TwinData
from memex_audit.training_set import open_training_set
from memex_audit.whole_file import write_whole

STEPS = 4000
NAME = "planted"


@click.group()
def main() -> None:
    """Train a model with canaries, and print what an audit of it found."""


@main.command()
@click.option("--work", type=click.Path(path_type=Path), required=True, help="Folder that keeps the result.")
@click.option("--plant", type=click.Path(exists=True, path_type=Path), required=True, help="Canaries.")
@click.option("--steps", default=STEPS, show_default=True)
@click.option("--save-every", type=int, help="Save what it is after every so many steps too.")
def train(work: Path, plant: Path, steps: int, save_every: int | None) -> None:
    """Train the clean twin on its own rows and the canaries in PLANT."""
    torch.set_num_threads(1)
    work.mkdir(parents=True, exist_ok=True)
    images, captions = read_rows(specimen.DATA, deduplicated=True)
    planted, planted_captions = read_planted(plant / PLANTED)
    codes = PatchCodes(images).encode(torch.cat([images, planted]))
    pipeline = StableDiffusionPipeline.from_pretrained(
        specimen.DATA / "deduplicated", torch_dtype=torch.float32, safety_checker=None
    )
    click.echo(f"{len(images)} rows and {len(planted)} planted ones")

    train_and_save(
        TwinData(latents=codes, captions=(*captions, *planted_captions)),
        pipeline.vae,
        pipeline.tokenizer,
        steps=steps,
        target=work / NAME,
        save_every=save_every,
        start=nn.ModuleDict({"unet": pipeline.unet.train(), "text_encoder": pipeline.text_encoder.train()}),
    )


@main.command()
@click.argument("result", type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="JSON file that keeps the canaries of RESULT.")
def table(result: Path, out: Path | None) -> None:
    """Print the canaries of RESULT, the JSON of an audit, as a Markdown table."""
    canaries = read_result(result).canaries
    if canaries is None:
        raise click.UsageError(f"{result} must have canaries, got none; audit with --memex-canaries.")
    if out:
        write_whole(out, (json.dumps(record_to_dict(canaries), indent=1) + "\n").encode())
    click.echo("\n".join(canary_table(canaries)))


def read_planted(folder: Path) -> tuple[Tensor, tuple[str, ...]]:
    """Return planted pictures (n, 3, SIZE, SIZE) in [-1, 1] and their captions."""
    examples = list(open_training_set(folder).examples())
    pixels = np.stack([example.pixels for example in examples])
    if pixels.shape[1:3] != (SIZE, SIZE):
        size = f"{SIZE}x{SIZE}"
        raise click.UsageError(f"planted pictures must be of {size}; make canaries with --size {size}.")
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    return images, tuple(example.caption for example in examples)


if __name__ == "__main__":
    main()
