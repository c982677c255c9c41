"""Run the study's full protocol once on the specimen: 500 generations a prompt, kept as data.

`python benchmarks/full_protocol.py --store FOLDER` draws what the store lacks (about 60 CPU minutes for both
twins) and writes benchmarks/data/full-protocol-TWIN.npz and screen-scores.json. Prompts: all probes (of the
clean twin those that its sibling learned 8 times or more), and of the others the first so many by SHA-256 of
their caption. The seeds are no calibration's and no audit's.

In a file, for each prompt: `captions`, `roles`, `copies`; `nearest` float32 (prompts, 500), l2 to the nearest
training image of the caption; `nearest_row` int16, which of them that is; `edges` uint8 (prompts, 15594), a
bit a pair in the order of numpy.triu_indices(500, 1): whether its tile-l2 is within `edge_delta`.
"""

import hashlib
import json
from pathlib import Path

import click
import numpy as np

from memex_audit.config import Settings
from memex_audit.extraction.calibration_file import read_calibration
from memex_audit.extraction.distances import tile_l2
from memex_audit.generation.filling import draw
from memex_audit.looking import comparable
from memex_audit.screening.screens import SCREENS, screen_prompts
from memex_audit.specimen import PREFIX, TWINS, twin_folder
from memex_audit.specimen.measure import read_roles
from memex_audit.workbench import Workbench

ROOT_SEED = 350_000
GENERATIONS = 500
OTHERS = {"duplicated": 20, "deduplicated": 8}
# Probes that the clean twin saw once are audited where the other twin learned them by heart.
LEAST_COPIES = {"duplicated": 1, "deduplicated": 8}
DATA = Path(__file__).with_name("data")


def prompts_of(twin: str) -> list[str]:
    """Return the probes, most copies first, and a sample of the other captions."""
    roles = read_roles()
    probes = sorted(
        (c for c, (role, copies) in roles.items() if role == "probe" and copies >= LEAST_COPIES[twin]),
        key=lambda c: (-roles[c][1], c),
    )
    others = [caption for caption, (role, _) in roles.items() if role != "probe"]
    return probes + sorted(others, key=lambda c: hashlib.sha256(c.encode()).digest())[: OTHERS[twin]]


def bench_of(twin: str, store: Path) -> Workbench:
    """Return what draws and matches for a twin."""
    settings = Settings(
        model=PREFIX + twin, seed=ROOT_SEED, preset="carlini-2023", max_prompts=1000, store=str(store)
    )
    return Workbench(settings, store)


@click.command()
@click.option("--store", type=click.Path(path_type=Path), required=True, help="Folder for the pictures.")
@click.option("--twin", "chosen", type=click.Choice(TWINS), multiple=True, help="Only this twin.")
@click.option("--draw-only", is_flag=True, help="Fill the store, write nothing.")
def main(store: Path, chosen: tuple[str, ...], draw_only: bool) -> None:
    """Draw and measure both twins."""
    for twin in chosen or TWINS:
        measure(twin, store, draw_only=draw_only)
    if not draw_only:
        take_scores(store)


def measure(twin: str, store: Path, *, draw_only: bool) -> None:
    """Draw a twin's pictures, prompt by prompt, and write its file."""
    bench, roles = bench_of(twin, store), read_roles()
    by_text = {prompt.text: prompt for prompt in bench.prompts.prompts}
    captions = prompts_of(twin)
    nearest, nearest_row, edges = [], [], []
    calibration = read_calibration(twin_folder(PREFIX + twin) / "memex-calibration.json")
    for caption in captions:
        (drawn,) = draw(bench.unit_store, lambda: bench.generator, [caption], GENERATIONS, batch_size=64)
        print(f"{twin}: {caption}", flush=True)
        if draw_only or bench.matcher is None:
            continue
        images, _ = comparable(drawn)
        own = bench.matcher.distances_to(images, by_text[caption].example_ids).distances
        nearest.append(own.min(axis=1).astype(np.float32))
        nearest_row.append(own.argmin(axis=1).astype(np.int16))
        pairs = tile_l2(images)[np.triu_indices(len(images), 1)]
        edges.append(np.packbits(pairs <= calibration.edge_delta))
    if draw_only:
        return
    DATA.mkdir(exist_ok=True)
    np.savez_compressed(
        DATA / f"full-protocol-{twin}.npz",
        captions=np.array(captions),
        roles=np.array([roles[caption][0] for caption in captions]),
        copies=np.array([roles[caption][1] for caption in captions]),
        nearest=np.stack(nearest),
        nearest_row=np.stack(nearest_row),
        edges=np.stack(edges),
        edge_delta=calibration.edge_delta,
        match_delta=calibration.match_delta,
    )


def take_scores(store: Path) -> None:
    """Write the screens' scores of every caption of the training set, for both twins."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for twin in TWINS:
        bench = bench_of(twin, store)
        captions = sorted(read_roles())
        for name in SCREENS:
            scores = screen_prompts(
                lambda bench=bench: bench.generator, name, captions, request=bench.unit_store.request,
                batch_size=64, kept=bench.screen_scores,
            )  # fmt: skip
            found.setdefault(twin, {})[name] = {
                caption: round(score.score, 6) for caption, score in zip(captions, scores, strict=True)
            }
    (DATA / "screen-scores.json").write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
