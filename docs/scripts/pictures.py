"""Pictures of how-it-works.md, drawn by the specimen: `python docs/scripts/pictures.py`.

The specimen's training pictures are public emoji, so they can be shown; a report shows mosaics of anybody's.
"""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from memex_audit.audit import Audit
from memex_audit.config import Settings
from memex_audit.extraction.distances import tile_l2
from memex_audit.extraction.protocol import sequential_test
from memex_audit.extraction.verdicts import read_cliques
from memex_audit.looking import comparable
from memex_audit.records import AuditPrompt
from memex_audit.reporting.figures import evidence_sheet
from memex_audit.workbench import Workbench

ASSETS = Path(__file__).parents[1] / "assets"
CAPTION = "rescue worker\u2019s helmet"
SEEDS = 16
CELL, GAP = 64, 6
INK, RED = "#222", "#c62828"

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What one twin drew for the caption, and what the audit made of it."""

    audit: Audit
    bench: Workbench
    prompt: AuditPrompt
    images: Pixels

    @property
    def distances(self) -> NDArray[np.float64]:
        return tile_l2(self.images)


def draw_twin(twin: str, caption: str, store: Path) -> Drawn:
    """Draw sixteen pictures of the caption with one twin."""
    bench = Workbench(Settings(model=f"specimen:{twin}", store=str(store)), Path.cwd())
    (prompt,) = [prompt for prompt in bench.prompts.prompts if prompt.text == caption]
    requests = [bench.unit_store.request(prompt.text, number) for number in range(SEEDS)]
    images, _ = comparable(list(bench.generator.generate(requests)))
    return Drawn(audit=bench.audit(bench.prompts), bench=bench, prompt=prompt, images=images)


def row_of_pictures(images: Sequence[Pixels], per_row: int = 8) -> Image.Image:
    """Return pictures side by side, enlarged without smoothing."""
    n_rows = math.ceil(len(images) / per_row)
    sheet = Image.new("RGB", (per_row * (CELL + GAP) - GAP, n_rows * (CELL + GAP) - GAP), "white")
    for number, pixels in enumerate(images):
        row, column = divmod(number, per_row)
        sheet.paste(enlarged(pixels), (column * (CELL + GAP), row * (CELL + GAP)))
    return sheet


def enlarged(pixels: Pixels) -> Image.Image:
    """Return a picture at CELL pixels."""
    return Image.fromarray(pixels).resize((CELL, CELL), Image.Resampling.NEAREST)


def side_by_side(named: list[tuple[str, Image.Image]], gap: int = 28) -> Image.Image:
    """Return images in one row, each under its name."""
    font = ImageFont.load_default(15)
    width = sum(image.width for _, image in named) + gap * (len(named) - 1)
    sheet = Image.new("RGB", (width, max(image.height for _, image in named) + 26), "white")
    pen, left = ImageDraw.Draw(sheet), 0
    for name, image in named:
        pen.text((left, 2), name, fill=INK, font=font)
        sheet.paste(image, (left, 26))
        left += image.width + gap
    return sheet


def heat_map(distances: NDArray[np.float64], delta: float) -> str:
    """Return a matrix of distances as SVG cells; a cell within delta has a red frame."""
    n, cell = len(distances), 17
    parts = []
    for i in range(n):
        for j in range(n):
            x, y = j * cell, i * cell
            light = 100 - 78 * (1 - min(1.0, distances[i, j] / 0.5))
            parts.append(
                f'<rect x="{x}" y="{y}" width="{cell}" height="{cell}" fill="hsl(231,45%,{light:.0f}%)"/>'
            )
            if i != j and distances[i, j] <= delta:
                parts.append(
                    f'<rect x="{x + 1.5}" y="{y + 1.5}" width="{cell - 3}" height="{cell - 3}" fill="none" '
                    f'stroke="{RED}" stroke-width="1.2"/>'
                )
    return "".join(parts)


def heat_maps(twins: dict[str, Drawn], delta: float) -> str:
    """Return both twins' matrices side by side."""
    side, gap = SEEDS * 17, 48
    parts = [svg_open(2 * side + gap, side + 30, "Tile-l2 of every pair of sixteen generations, by twin")]
    for number, (name, drawn) in enumerate(twins.items()):
        left = number * (side + gap)
        parts.append(f'<text x="{left}" y="16" fill="{INK}">{name}</text>')
        parts.append(f'<g transform="translate({left},26)">{heat_map(drawn.distances, delta)}')
        parts.append(f'<rect width="{side}" height="{side}" fill="none" stroke="#aaa"/></g>')
    return "\n".join([*parts, "</svg>\n"])


def graph(drawn: Drawn, clique: tuple[int, ...], delta: float) -> str:
    """Return the near-duplicate graph on a circle, with its pictures; the clique's edges are red."""
    radius, side, middle = 190, 44, 230
    places = [
        (
            middle + radius * math.sin(2 * math.pi * k / SEEDS),
            middle - radius * math.cos(2 * math.pi * k / SEEDS),
        )
        for k in range(SEEDS)
    ]
    parts = [svg_open(2 * middle, 2 * middle, "Near-duplicate graph of sixteen generations with its clique")]
    for a, b in combinations(range(len(drawn.images)), 2):
        if drawn.distances[a, b] <= delta:
            within = a in clique and b in clique
            (x1, y1), (x2, y2) = places[a], places[b]
            parts.append(
                f'<line x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}" '
                f'stroke="{RED if within else "#999"}" stroke-width="{1.4 if within else 1}"/>'
            )
    for number, ((x, y), pixels) in enumerate(zip(places, drawn.images, strict=True)):
        left, top = x - side / 2, y - side / 2
        colour = RED if number in clique else "#aaa"
        parts.append(
            f'<image x="{left:.0f}" y="{top:.0f}" width="{side}" height="{side}" image-rendering="pixelated" '
            f'href="data:image/png;base64,{base64.b64encode(png(pixels)).decode()}"/>'
        )
        parts.append(
            f'<rect x="{left:.0f}" y="{top:.0f}" width="{side}" height="{side}" fill="none" '
            f'stroke="{colour}" stroke-width="2.5"/>'
        )
    return "\n".join([*parts, "</svg>\n"])


def svg_open(width: int, height: int, title: str) -> str:
    """Return the head of an SVG on white."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'font-family="sans-serif" font-size="15"><title>{title}</title>'
        f'<rect width="{width}" height="{height}" fill="#fff"/>'
    )


def png(pixels: Pixels) -> bytes:
    """Return a picture as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


@click.command()
@click.option("--store", type=click.Path(path_type=Path), default=Path(".memex"), show_default=True)
@click.option("--caption", default=CAPTION, show_default=True, help="Caption of the specimen's training set.")
def main(store: Path, caption: str) -> None:
    """Draw the pictures into docs/assets and print the figures that the page quotes."""
    twins = {twin: draw_twin(twin, caption, store) for twin in ("duplicated", "deduplicated")}
    learned = twins["duplicated"]
    training_set = learned.bench.training_set
    assert training_set is not None
    copies = training_set.load(learned.prompt.example_ids[:SEEDS])
    row_of_pictures(copies).save(ASSETS / "duplicate-group.png", optimize=True)
    drawn = [(f"{name}: 16 seeds", row_of_pictures(list(twin.images), 4)) for name, twin in twins.items()]
    side_by_side(drawn).save(ASSETS / "generations.png", optimize=True)
    delta = learned.bench.protocol.edge_delta
    (ASSETS / "distances.svg").write_text(heat_maps(twins, delta), encoding="utf-8")
    finding = learned.audit.finding(learned.prompt)
    # Of all sixteen: the audit itself stops as soon as the prompt is decided.
    test = sequential_test(learned.bench.protocol)
    look = test.looks.index(SEEDS)
    clique = read_cliques(
        learned.images, edge_delta=delta, flag_at=test.flag_at[look], clean_at=test.clean_at[look]
    ).members
    (ASSETS / "graph.svg").write_text(graph(learned, clique, delta), encoding="utf-8")
    (ASSETS / "match.jpg").write_bytes(evidence_sheet(learned.audit.exhibit(finding)))
    for name, twin in twins.items():
        pairs = twin.distances[np.triu_indices(SEEDS, 1)]
        click.echo(
            f"{name}: {(pairs <= delta).sum()} of {len(pairs)} pairs within {delta:g}; "
            f"least {pairs.min():.3f}, median {np.median(pairs):.3f}, largest {pairs.max():.3f}"
        )
    click.echo(f"{finding.verdict}: {finding}")


if __name__ == "__main__":
    main()
