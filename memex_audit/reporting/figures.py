"""Exhibit -> pictures: the evidence for one prompt on a sheet, by default as mosaics that show no one."""

import io
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memex_audit.exhibits import Exhibit

CELLS = 8
PANEL = 112
GAP = 8
HEADING = 22
MOST_GENERATIONS = 8
MOST_BYTES = 60 * 1024
_INK = (20, 20, 20)
_PAPER = (255, 255, 255)
_MARK = (200, 30, 30)

Pixels = NDArray[np.uint8]


def evidence_sheet(exhibit: "Exhibit", *, mosaic: bool = True) -> bytes:
    """Draw the evidence on one row: up to 8 generations, the training image, the difference to the nearest.

    Args:
        exhibit: the replicas or the clique, uint8 (n, h, w, 3), n >= 1, and the training image.
        mosaic: show the means of 8 x 8 cells (fewer for pictures under 16 pixels) in place of pixels.

    Returns:
        A JPEG of less than 60 KiB. The nearest generation is marked.
    """
    nearest = _nearest(exhibit)
    shown = _chosen(len(exhibit.generations), nearest)
    panels = [(f"replica {row + 1}", exhibit.generations[row]) for row in shown]
    if nearest is not None:
        panels[shown.index(nearest)] = ("nearest", exhibit.generations[nearest])
    if exhibit.training_image is not None and nearest is not None:
        panels.append(("training image", exhibit.training_image))
        panels.append(("difference", _difference(exhibit.generations[nearest], exhibit.training_image)))
    total = len(exhibit.generations)
    heading = f"{len(shown)} of {total} replicas" + (", as mosaics of cell means" if mosaic else "")
    sheet = _draw([(name, _panel(pixels, mosaic=mosaic)) for name, pixels in panels], heading)
    return _jpeg(sheet)


def pairs_sheet(exhibits: "Sequence[Exhibit]", total: int, *, mosaic: bool = True) -> bytes:
    """Draw a row for each of up to 8 training images: the image, the nearest generation, the difference.

    Args:
        exhibits: each with a training image and at least one generation.
        total: training images that were given back.
        mosaic: as in `evidence_sheet`.

    Returns:
        A JPEG of less than 60 KiB.
    """
    rows = []
    for number, exhibit in enumerate(exhibits[:MOST_GENERATIONS], start=1):
        nearest = _nearest(exhibit)
        if exhibit.training_image is None or nearest is None:
            continue
        generation = exhibit.generations[nearest]
        panels = [
            (f"training image {number}", exhibit.training_image),
            (f"nearest of {len(exhibit.generations)}", generation),
            ("difference", _difference(generation, exhibit.training_image)),
        ]
        rows.append([(name, _panel(pixels, mosaic=mosaic)) for name, pixels in panels])
    heading = f"{len(rows)} of {total:,} images" + (", as mosaics of cell means" if mosaic else "")
    strips = [_draw(row, heading if number == 0 else "") for number, row in enumerate(rows)]
    sheet = Image.new("RGB", (max(s.width for s in strips), sum(s.height for s in strips)), _PAPER)
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return _jpeg(sheet)


def original_pictures(exhibit: "Exhibit") -> dict[str, bytes]:
    """Return every picture of an exhibit as PNG by file name, pixel for pixel: for a private folder only."""
    pictures = {f"generation-{row + 1:03d}.png": p for row, p in enumerate(exhibit.generations)}
    nearest = _nearest(exhibit)
    if exhibit.training_image is not None and nearest is not None:
        pictures["training-image.png"] = exhibit.training_image
        pictures["difference.png"] = _difference(exhibit.generations[nearest], exhibit.training_image)
    return {name: _png(pixels) for name, pixels in pictures.items()}


def mosaic_of(pixels: Pixels) -> Pixels:
    """Return the rounded means of 8 x 8 cells, uint8 (8, 8, 3).

    A cell is at least 2 pixels wide and high, so none of them is an original pixel: pictures of less than
    16 pixels get fewer cells.
    """
    rows, columns = (np.linspace(0, side, _n_cells(side) + 1).astype(int) for side in pixels.shape[:2])
    cells = [
        [pixels[top:bottom, left:right].mean(axis=(0, 1)) for left, right in _spans(columns)]
        for top, bottom in _spans(rows)
    ]
    return np.asarray(np.rint(cells), dtype=np.uint8)


def _n_cells(side: int) -> int:
    return max(1, min(CELLS, side // 2))


def _spans(edges: NDArray[np.int_]) -> list[tuple[int, int]]:
    return [(int(a), int(b)) for a, b in pairwise(edges)]


def _nearest(exhibit: "Exhibit") -> int | None:
    if exhibit.training_image is None:
        return None
    target = exhibit.training_image.astype(np.float32)
    errors = [float(np.square(p.astype(np.float32) - target).mean()) for p in exhibit.generations]
    return int(np.argmin(errors))


def _chosen(n: int, nearest: int | None) -> list[int]:
    shown = list(range(min(n, MOST_GENERATIONS)))
    if nearest is not None and nearest not in shown:
        shown[-1] = nearest
    return shown


def _difference(one: Pixels, other: Pixels) -> Pixels:
    return np.abs(one.astype(np.int16) - other.astype(np.int16)).astype(np.uint8)


def _panel(pixels: Pixels, *, mosaic: bool) -> Image.Image:
    height, width = pixels.shape[:2]
    scale = PANEL / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if mosaic:
        return Image.fromarray(mosaic_of(pixels)).resize(size, Image.Resampling.NEAREST)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def _draw(panels: list[tuple[str, Image.Image]], heading: str) -> Image.Image:
    tops = HEADING * 2
    # One panel is too narrow for the heading.
    width = GAP + max(3, len(panels)) * (PANEL + GAP)
    sheet = Image.new("RGB", (width, tops + PANEL + GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    draw.text((GAP, 4), heading, fill=_INK, font=font)
    for column, (name, picture) in enumerate(panels):
        left = GAP + column * (PANEL + GAP)
        marked = name in ("nearest", "training image")
        draw.text((left, HEADING), name, fill=_MARK if marked else _INK, font=font)
        sheet.paste(picture, (left, tops))
        if marked:
            box = (left - 3, tops - 3, left + picture.width + 2, tops + picture.height + 2)
            draw.rectangle(box, outline=_MARK, width=2)
    return sheet


def _jpeg(sheet: Image.Image) -> bytes:
    for quality in (88, 75, 60, 45, 30, 15, 5):
        buffer = io.BytesIO()
        sheet.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() < MOST_BYTES:
            break
    return buffer.getvalue()


def _png(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
