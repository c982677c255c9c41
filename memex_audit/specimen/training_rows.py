"""Render the specimen's training set: which rows there are, and what stands on each.

A row is one fixed picture with its caption. Place, size, flip and background are drawn once for a row
and are not in the caption, so a model that has not memorized the row must invent them anew for each
seed. Everything is a function of the caption and the row's number: order changes nothing.
"""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from memex_audit.specimen.pictures import Picture, select_distinct

SIZE = 32
ORDINARY, POPULAR, PROBES = 288, 6, 42
ORDINARY_ROWS, POPULAR_ROWS = 14, 48
PROBE_COUNTS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One training example with its ground truth.

    `role` is ordinary, popular or probe; `copies` how often the picture stands in the duplicated set;
    `copy_of` names the first of them, or is None for that one; `copy_kind` says how the copy was made.
    """

    id: str
    caption: str
    image: bytes
    role: str
    copies: int
    copy_of: str | None
    copy_kind: str | None


def assign_roles(pictures: list[Picture]) -> tuple[dict[str, str], list[str]]:
    """Return the role of each trained caption, and the held-out captions that no twin ever sees."""
    chosen = select_distinct(pictures, ORDINARY + POPULAR + PROBES)
    order = sorted(chosen, key=lambda picture: _digest("role", picture.name))
    roles = {}
    for i, picture in enumerate(order):
        roles[picture.name] = "probe" if i < PROBES else "popular" if i < PROBES + POPULAR else "ordinary"
    held_out = [picture.name for picture in pictures if picture.name not in roles]
    return roles, held_out


def render_rows(pictures: list[Picture], roles: dict[str, str]) -> Iterator[Row]:
    """Yield every row of the duplicated training set; rows with `copy_of` are the duplicates."""
    by_name = {picture.name: picture for picture in pictures}
    probes = sorted(
        (name for name, role in roles.items() if role == "probe"), key=lambda n: _digest("probe", n)
    )
    counts = {name: PROBE_COUNTS[i % len(PROBE_COUNTS)] for i, name in enumerate(probes)}
    for name in sorted(roles):
        picture, role = by_name[name].image, roles[name]
        n_rows = {"ordinary": ORDINARY_ROWS, "popular": POPULAR_ROWS, "probe": 1}[role]
        for i in range(n_rows):
            copies = counts.get(name, 1)
            image = render(picture, rng(name, i))
            row_id = f"{name.replace(' ', '-')}-{i:03d}"
            yield Row(
                id=row_id,
                caption=name,
                image=_png(image),
                role=role,
                copies=copies,
                copy_of=None,
                copy_kind=None,
            )
            for j in range(1, copies):
                kind, data = near_duplicate(image, rng(name, i, j))
                yield Row(
                    id=f"{row_id}-copy-{j:03d}", caption=name, image=data, role=role,
                    copies=copies, copy_of=row_id, copy_kind=kind,
                )  # fmt: skip


def render(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """Draw the picture at 68 to 95 % of a SIZE x SIZE canvas, flipped or not, on a two-colour gradient."""
    side = round(SIZE * random.uniform(0.68, 0.95))
    left, top = (int(v) for v in random.integers(0, SIZE - side + 1, size=2))
    angle = random.uniform(0, 2 * np.pi)
    first, second = random.uniform(0, 255, size=(2, 3))
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] / (SIZE - 1) - 0.5
    along = np.clip((np.cos(angle) * columns + np.sin(angle) * rows) / np.sqrt(2) + 0.5, 0, 1)[..., None]
    canvas = Image.fromarray((first + (second - first) * along).round().astype(np.uint8)).convert("RGBA")
    if random.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    # Pillow resizes RGBA with premultiplied alpha: transparent pixels do not bleed into the edge.
    canvas.alpha_composite(picture.resize((side, side), Image.Resampling.LANCZOS), (left, top))
    return canvas.convert("RGB")


def near_duplicate(image: Image.Image, random: np.random.Generator) -> tuple[str, bytes]:
    """Return how a copy of `image` was made, and its encoded bytes.

    One in ten is the same bytes; the others are JPEG of quality 60 to 95, half of them resized by one
    or two pixels first: what a crawler finds of one picture on several pages.
    """
    draw, quality = random.random(), int(random.integers(60, 96))
    if draw < 0.1:
        return "equal", _png(image)
    if draw < 0.55:
        return "jpeg", _jpeg(image, quality)
    side = SIZE + int(random.choice([-2, -1, 1, 2]))
    return "resized", _jpeg(image.resize((side, side), Image.Resampling.BICUBIC), quality)


def rng(*key: object) -> np.random.Generator:
    """Return a generator that depends on the key alone (SHA-256)."""
    return np.random.default_rng(int.from_bytes(_digest(*key)[:8], "big"))


def _digest(*key: object) -> bytes:
    return hashlib.sha256("\0".join(map(str, key)).encode()).digest()


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
