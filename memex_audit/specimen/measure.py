"""Measure what the twins replicate, on prompts and seeds that no calibration used.

`python -m memex_audit.specimen.measure --write-docs` writes the table of the specimen's README and the
contact sheet docs/specimen.png. Prompts: all probes, and the half of the others whose prompt id is odd.
"""

import hashlib
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from memex_audit.audit import Audit
from memex_audit.config import Settings
from memex_audit.records import Finding, PromptSet, Verdict
from memex_audit.specimen import PREFIX, TRAINING_SET, TWINS
from memex_audit.workbench import Workbench

FRESH_SEED = 7
README = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
SHEET_CAPTIONS, SHEET_SEEDS, CELL, LABEL = 20, 8, 64, 190


def is_published(prompt_id: str) -> bool:
    """Whether a prompt belongs to the half that figures are published from; the other half calibrates."""
    return int(prompt_id, 16) % 2 == 1


@click.command()
@click.option("--store", type=click.Path(path_type=Path), default=Path(".memex"), show_default=True)
@click.option("--write-docs", is_flag=True, help="Write README's table and docs/specimen.png.")
def main(store: Path, write_docs: bool) -> None:
    """Audit both twins with fresh seeds and print replication by duplication count."""
    roles = read_roles()
    counted: dict[str, dict[tuple[str, int], list[Finding]]] = {}
    for twin in TWINS:
        bench = Workbench(
            Settings(model=PREFIX + twin, seed=FRESH_SEED, max_prompts=1000, store=str(store)), Path.cwd()
        )
        chosen = [
            p for p in bench.prompts.prompts if roles[p.text][0] == "probe" or is_published(p.prompt_id)
        ]
        audit = bench.audit(replace(bench.prompts, prompts=tuple(chosen)))
        counted[twin] = {}
        for finding in audit.findings():
            counted[twin].setdefault(roles[finding.prompt], []).append(finding)
        if write_docs and twin == "deduplicated":
            draw_sheet(bench, audit, roles).save("docs/specimen.png")
    table = format_table(counted)
    click.echo(table)
    if write_docs:
        write_between(README, BEGIN, table, END)


def write_between(page: Path, begin: str, text: str, end: str) -> None:
    """Put a text into a page between two marks, in place of what stood there."""
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    page.write_text(f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}", encoding="utf-8")


def read_roles() -> dict[str, tuple[str, int]]:
    """Return the ground truth of each caption: its role, and how often its picture stands in the set."""
    table = pq.read_table(TRAINING_SET, columns=["text", "role", "copies"]).to_pylist()
    return {row["text"]: (row["role"], row["copies"]) for row in table}


def format_table(counted: dict[str, dict[tuple[str, int], list[Finding]]]) -> str:
    """Return the Markdown table: prompts extracted, and the share of their generations, by role and count."""
    lines = [
        "| prompts | copies | "
        + " | ".join(f"{twin}: extracted | flagged | replicas a generation" for twin in TWINS)
        + " |",
        "|---|---|" + "---|---|---|" * len(TWINS),
    ]
    for key in sorted(counted[TWINS[0]], key=lambda key: (key[0] != "probe", key[0], key[1])):
        cells = []
        for twin in TWINS:
            findings = counted[twin][key]
            extracted = sum(f.verdict is Verdict.EXTRACTED for f in findings)
            flagged = sum(f.verdict is Verdict.FLAGGED for f in findings)
            share = sum(f.replicas for f in findings) / sum(f.generations for f in findings)
            cells.append(f"{extracted} of {len(findings)} | {flagged} | {share:.0%}")
        lines.append(f"| {key[0]} | {key[1]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw_sheet(bench: Workbench, audit: Audit, roles: dict[str, tuple[str, int]]) -> Image.Image:
    """Draw ordinary captions of the published half, SHEET_SEEDS seeds each, with their captions."""
    ordinary = [p for p in audit.prompts.prompts if roles[p.text][0] == "ordinary"]
    chosen = sorted(ordinary, key=lambda p: hashlib.sha256(p.text.encode()).digest())[:SHEET_CAPTIONS]
    shown = PromptSet(prompts=tuple(chosen), frame=audit.prompts.frame)
    sheet = Image.new("RGB", (LABEL + SHEET_SEEDS * CELL, SHEET_CAPTIONS * CELL), "white")
    pen = ImageDraw.Draw(sheet)
    for row, prompt in enumerate(shown.prompts):
        pen.text((6, row * CELL + CELL // 2 - 5), prompt.text[:30], fill="black")
        requests = [bench.unit_store.request(prompt.text, number) for number in range(SHEET_SEEDS)]
        for column, generation in enumerate(bench.generator.generate(requests)):
            if generation.pixels is not None:
                sheet.paste(_enlarged(generation.pixels), (LABEL + column * CELL, row * CELL))
    return sheet


def _enlarged(pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(pixels).resize((CELL - 2, CELL - 2), Image.Resampling.NEAREST)


if __name__ == "__main__":
    main()
