"""Live through docs/guides/fine-tune.md: `python docs/scripts/fine_tune_story.py --work DIR STAGE`.

Stages, in order: `pictures` (needs --package, the unpacked npm package emoji-datasource-google 16.0.0),
`train repeated`, `deduplicate`, `train deduplicated`, `train shorter`, `audit`, `write`. Each keeps its
result in the work folder, where the commands of the page run; what was stopped goes on where it was.
"""

import csv
import inspect
import json
import os
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from transcripts import SUMMARY, kept

from memex_audit import specimen
from memex_audit.config import Lora, Settings
from memex_audit.specimen import HELD_OUT_CAPTIONS
from memex_audit.specimen.lora import BATCH, RANK, train_lora
from memex_audit.specimen.measure import BEGIN, END, write_between
from memex_audit.specimen.pictures import Picture, read_pictures, select_distinct
from memex_audit.specimen.training_rows import SIZE, near_duplicate, render, rng
from memex_audit.training_set import embedder_name, mine, open_training_set
from memex_audit.training_set.duplicates import find_duplicates
from memex_audit.training_set.embedding import load_embedder
from memex_audit.workbench import Workbench

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guides" / "fine-tune.md"
SHEET = ROOT / "docs" / "assets" / "fine-tune.png"
BLOCK = re.compile(r"(<!-- fine_tune_story.py: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
PICTURES, REPEATED, COPIES = 60, 12, 16
# Each LoRA: its training set, and how often its training sees each file.
TRAININGS = {
    "repeated": ("repeated", 300),
    "deduplicated": ("deduplicated", 300),
    "shorter": ("deduplicated", 150),
}
FILES = "--lora ./lora-{0} --training-set ./{1} --embedder specimen"
CALIBRATE = "memex calibrate " + FILES + " --reference specimen:deduplicated"
AUDIT = "pytest audits/ " + FILES.replace("--", "--memex-") + " --memex-json {0}.json"
COMMANDS = {
    f"{action}-{name}": command.format(name, folder)
    for name, (folder, _) in TRAININGS.items()
    for action, command in (("calibrate", CALIBRATE), ("audit", AUDIT))
} | {"compare": "memex compare repeated.json deduplicated.json"}
IMPORTS = """\
from collections import defaultdict
from pathlib import Path

from memex_audit import specimen
from memex_audit.training_set import embedder_name, mine, open_training_set
from memex_audit.training_set.duplicates import find_duplicates
from memex_audit.training_set.embedding import load_embedder"""
# A verdict and its exit code are told by the summary; of a calibration the last line has the thresholds.
PIECES: dict[str, tuple[tuple[str, str], ...]] = {"audit": (SUMMARY,), "calibrate": ((r"^edge delta", ""),)}
ORDER = ("first", "second", "third")
SHOWN_REPEATED, SHOWN_OTHERS, SEEDS, CELL, LABEL, GAP, TITLE = 6, 6, 4, 48, 130, 14, 20


@click.group()
@click.option("--work", type=click.Path(path_type=Path), required=True, help="Folder that keeps the results.")
@click.pass_context
def main(context: click.Context, work: Path) -> None:
    """Live through the guide, stage by stage."""
    work.mkdir(parents=True, exist_ok=True)
    context.obj = work


@main.command()
@click.option("--package", type=click.Path(exists=True, path_type=Path), required=True)
@click.pass_obj
def pictures(work: Path, package: Path) -> None:
    """Render the training set: sixty captions, twelve of whose pictures stand there many times."""
    folder = work / "repeated"
    folder.mkdir(exist_ok=True)
    captions = {}
    for number, picture in enumerate(choose(read_pictures(package))):
        copies = COPIES if number < REPEATED else 1
        captions |= dict.fromkeys(write_files(folder, picture, copies), picture.name)
    write_captions(folder, captions)
    click.echo(f"{len(captions)} files, {PICTURES} pictures, {REPEATED} of them {COPIES} times")


def write_captions(folder: Path, captions: dict[str, str]) -> None:
    """Write metadata.csv: each file name with its caption."""
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["file_name", "text"])
        rows.writerows(captions.items())


def choose(named: list[Picture]) -> list[Picture]:
    """Choose pictures of the captions that no twin saw, those to be repeated first."""
    held_out = set(HELD_OUT_CAPTIONS.read_text().splitlines())
    plain = [p for p in named if p.name in held_out and len(p.name.split()) <= 2 and "-" not in p.name]
    distinct = select_distinct(plain, PICTURES)
    return [distinct[i] for i in rng("fine-tune").permutation(PICTURES)]


def write_files(folder: Path, picture: Picture, copies: int) -> list[str]:
    """Write a picture and its near-copies; return their names."""
    image, stem = render(picture.image, rng("fine-tune", picture.name)), picture.name.replace(" ", "-")
    names = [f"{stem}.png"]
    image.save(folder / names[0], "PNG", optimize=True)
    for number in range(1, copies):
        kind, data = near_duplicate(image, rng("fine-tune", picture.name, number))
        names.append(f"{stem}-{number:02d}.{'png' if kind == 'equal' else 'jpg'}")
        (folder / names[-1]).write_bytes(data)
    return names


@main.command()
@click.argument("name", type=click.Choice(list(TRAININGS)))
@click.pass_obj
def train(work: Path, name: str) -> None:
    """Train a LoRA."""
    torch.set_num_threads(1)
    folder, passes = TRAININGS[name]
    examples = list(open_training_set(work / folder).examples())
    images = torch.stack([to_tensor(example.pixels) for example in examples])
    train_lora(
        images, [example.caption for example in examples], target=work / f"lora-{name}",
        steps=passes * len(examples) // BATCH, rank=RANK, checkpoint=work / f"{name}.checkpoint",
    )  # fmt: skip
    click.echo(f"saved {work / f'lora-{name}'}")


def to_tensor(pixels: np.ndarray) -> Tensor:
    """Return pixels as (3, SIZE, SIZE) in [-1, 1]; copies that were resized get their size back."""
    image = Image.fromarray(pixels)
    if image.size != (SIZE, SIZE):
        image = image.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 127.5 - 1


@main.command("deduplicate")
@click.pass_obj
def deduplicate_set(work: Path) -> None:
    """Copy one file of each group of near-copies, and its caption."""
    training_set = open_training_set(work / "repeated")
    captions = {example.id: example.caption for example in training_set.examples()}
    folder = work / "deduplicated"
    folder.mkdir(exist_ok=True)
    chosen = keep_one_of_each(work / "repeated", work / ".memex")
    for name in chosen:
        shutil.copyfile(work / "repeated" / name, folder / name)
    write_captions(folder, {name: captions[name] for name in chosen})
    click.echo(f"{len(chosen)} of {len(captions)} files")


def keep_one_of_each(folder: Path, store: Path) -> list[str]:
    """Return the largest file of each group of near-copies."""
    spec = specimen.EMBEDDER
    mined = mine(
        open_training_set(folder), lambda: load_embedder(spec), embedder_name=embedder_name(spec),
        cache=store / "embeddings", max_prompts=320, seed=0,
    )  # fmt: skip
    names = mined.load_example_ids()
    found = find_duplicates(mined.load_vectors(), mined.similarity, example_ids=names)
    groups = defaultdict(list)
    for name, group in zip(names, found.groups.tolist(), strict=True):
        groups[group].append(name)
    return sorted(max(group, key=lambda name: (folder / name).stat().st_size) for group in groups.values())


@main.command()
@click.argument("names", nargs=-1, type=click.Choice(list(COMMANDS)))
@click.pass_obj
def audit(work: Path, names: tuple[str, ...]) -> None:
    """Run the commands of the page (default: all, in their order), and keep what they print."""
    environment = os.environ | {"COLUMNS": "80", "PYTHONPATH": str(ROOT)}
    if not (work / "audits").exists():
        subprocess.run(["memex", "init"], cwd=work, env=environment, check=True, capture_output=True)
    for name in names or COMMANDS:
        command = COMMANDS[name]
        done = subprocess.run(
            command, shell=True, cwd=work, env=environment, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        (work / f"{name}.txt").write_text(done.stdout.replace(str(work.resolve()), "/home/you/fine-tune"))
        click.echo(f"{command}: exit code {done.returncode}")


@main.command()
@click.pass_obj
def write(work: Path) -> None:
    """Write the page's transcripts and table, and the sheet of pictures."""
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(BLOCK.sub(lambda found: found[1] + transcript(work, found[2]) + found[3], text), "utf-8")
    write_between(PAGE, BEGIN, table(work), END)
    draw_sheet(work).quantize(256).save(SHEET, optimize=True)
    click.echo(f"{PAGE}, {SHEET} ({SHEET.stat().st_size / 1024:.0f} KiB)")


def transcript(work: Path, name: str) -> str:
    """Return a command and what is shown of its output, or the code that made the second training set."""
    if name == "code":
        return f"\n```python\n{IMPORTS}\n\n\n{inspect.getsource(keep_one_of_each).rstrip()}\n```\n\n"
    pieces = PIECES.get(name.partition("-")[0], ())
    shown = kept((work / f"{name}.txt").read_text(), pieces)
    return f"\n```console\n{COMMANDS[name]}\n```\n\n```text\n{shown}\n```\n\n"


def table(work: Path) -> str:
    """Return what was found of the repeated captions and of the others, in both audits."""
    repeated = repeated_captions(work)
    results = [json.loads((work / f"{name}.json").read_text())["findings"] for name in TRAININGS]
    roles: dict[str, Callable[[str], bool]] = {
        f"{REPEATED} captions, each picture {COPIES} times": lambda prompt: prompt in repeated,
        f"{PICTURES - REPEATED} captions, each picture once": lambda prompt: prompt not in repeated,
    }
    lines = [
        "| in the first training set |" + "".join(f" {name}: extracted | flagged |" for name in ORDER),
        "|---" * (1 + 2 * len(ORDER)) + "|",
    ]
    for role, belongs in roles.items():
        cells = [cell for found in results for cell in counted([f for f in found if belongs(f["prompt"])])]
        lines.append("| " + " | ".join([role, *cells]) + " |")
    return "\n".join(lines)


def counted(findings: list[dict[str, Any]]) -> Iterator[str]:
    """Yield how many of these prompts were extracted, and how many of the others were flagged."""
    verdicts = [finding["verdict"] for finding in findings]
    yield f"{verdicts.count('extracted')} of {len(verdicts)}"
    yield str(verdicts.count("flagged"))


def repeated_captions(work: Path) -> set[str]:
    """Return the captions whose picture stands in the first training set many times."""
    with (work / "repeated" / "metadata.csv").open(newline="", encoding="utf-8") as file:
        captions = [row["text"] for row in csv.DictReader(file)]
    return {caption for caption in captions if captions.count(caption) > 1}


def draw_sheet(work: Path) -> Image.Image:
    """Draw training pictures, and beside each what either LoRA draws under its caption."""
    repeated = repeated_captions(work)
    trained = {
        example.caption: example.pixels for example in open_training_set(work / "deduplicated").examples()
    }
    shown = sorted(repeated)[:SHOWN_REPEATED] + sorted(set(trained) - repeated)[:SHOWN_OTHERS]
    width = left_of(len(TRAININGS)) - GAP
    sheet = Image.new("RGB", (width, TITLE + len(shown) * CELL), "white")
    pen = ImageDraw.Draw(sheet)
    for column, title in (
        (LABEL, "trained"),
        *((left_of(i), f"{name} LoRA") for i, name in enumerate(ORDER)),
    ):
        pen.text((column, 4), title, fill="black")
    for row, caption in enumerate(shown):
        pen.text((6, TITLE + row * CELL + CELL // 2 - 6), caption, fill="black")
        paste(sheet, trained[caption], LABEL, row)
    for number, name in enumerate(TRAININGS):
        bench = Workbench(
            Settings(lora=Lora(path=str(work / f"lora-{name}")), store=str(work / ".memex")), work
        )
        for row, caption in enumerate(shown):
            requests = [bench.unit_store.request(caption, seed) for seed in range(SEEDS)]
            for column, drawn in enumerate(bench.generator.generate(requests)):
                if drawn.pixels is not None:
                    paste(sheet, drawn.pixels, left_of(number) + column * CELL, row)
    return sheet


def left_of(number: int) -> int:
    """Return where the columns of a LoRA begin."""
    return LABEL + CELL + GAP + number * (SEEDS * CELL + GAP)


def paste(sheet: Image.Image, pixels: np.ndarray, left: int, row: int) -> None:
    """Put a picture into its place, enlarged."""
    cell = Image.fromarray(pixels).resize((CELL - 4, CELL - 4), Image.Resampling.NEAREST)
    sheet.paste(cell, (left, TITLE + row * CELL))


if __name__ == "__main__":
    main()
