"""Seed -> a folder of canaries: what to plant, the pictures to compare with, and the sealed manifest."""

import csv
import hashlib
import io
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from memex_audit.canaries.captions import draw_captions, read_words, word_pairs
from memex_audit.canaries.manifest import MANIFEST, Canary, Manifest, manifest_bytes, read_manifest
from memex_audit.canaries.pictures import GRID, cell_means, draw_pictures, random_of
from memex_audit.errors import CanaryError
from memex_audit.protocols import TrainingSet

PLANTED, PICTURES, METADATA = "planted", "pictures", "metadata.csv"
# From a picture of the training set: more than any match delta (at most 0.15).
LEAST_L2_TO_TRAINING = 0.2
# Drawn beyond what is needed, for those that turn out to be like something in the training set.
SPARE_SHARE = 0.5
LEAST_SIDE, MOST_SIDE = GRID, 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many canaries: `each` at every one of `repetitions`, and `references` that are never planted."""

    repetitions: tuple[int, ...]
    each: int
    references: int
    size: tuple[int, int]
    seed: int

    def __post_init__(self) -> None:
        _check_repetitions(self.repetitions)
        for name, value in (("each", self.each), ("reference", self.references)):
            if value < 1:
                raise CanaryError(
                    f"--{name} must be at least 1, got {value}; exposure needs canaries to rank."
                )
        if not all(LEAST_SIDE <= side <= MOST_SIDE for side in self.size):
            raise CanaryError(
                f"--size must have sides of {LEAST_SIDE} to {MOST_SIDE} pixels, got "
                f"{self.size[0]}x{self.size[1]}; give the size that the model is trained at."
            )

    @property
    def levels(self) -> tuple[int, ...]:
        """The repetitions of every canary, 0 for references."""
        return tuple(r for r in sorted(self.repetitions) for _ in range(self.each)) + (0,) * self.references


def make_canaries(folder: Path, plan: Plan, training_set: TrainingSet | None = None) -> Manifest:
    """Write canaries into a new folder, which is there whole or not at all.

    `planted/` is an image folder with a file for each repetition, to be added to the training set;
    `pictures/` holds each canary's picture once, references too, and is what an audit compares with.

    Args:
        folder: must not exist, or be empty.
        plan: how many, how large, and the seed that everything is a function of.
        training_set: one that they are to be planted into; its captions and pictures are read, and canaries
            that are like one of them are left out.

    Raises:
        CanaryError: the folder holds something, cannot be written, or too few canaries are unlike the set.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CanaryError(
            f"FOLDER must be a new or empty folder, got {folder}, which holds something; name another: "
            "canaries that were planted are never written over."
        )
    chosen = list(_choose(plan, training_set))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
        try:
            _write(beside, plan, chosen)
            beside.chmod(0o755)
            if folder.exists():
                folder.rmdir()
            beside.rename(folder)
        finally:
            rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise CanaryError(
            f"FOLDER must be a folder that can be written, got {folder} ({error.strerror or error}); name "
            "another."
        ) from error
    return read_manifest(folder / MANIFEST)


def _choose(plan: Plan, training_set: TrainingSet | None) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield a caption and a picture for each of `plan.levels`.

    Which of them is planted how often is drawn last, from all alike: to a model that saw none of them a
    planted picture is one of the references, and its rank among them is uniform.
    """
    needed = len(plan.levels)
    drawn = needed if training_set is None else needed + int(needed * SPARE_SHARE) + 8
    height, width = plan.size
    captions = list(draw_captions(drawn, seed=plan.seed))
    pictures = list(draw_pictures(drawn, height=height, width=width, seed=plan.seed))
    if training_set is not None:
        captions, pictures = _unlike(training_set, captions, pictures, needed)
    order = random_of("roles", plan.seed).permutation(needed)
    yield from ((captions[row], pictures[row]) for row in order.tolist())


def _unlike(
    training_set: TrainingSet, captions: list[str], pictures: list[NDArray[np.uint8]], needed: int
) -> tuple[list[str], list[NDArray[np.uint8]]]:
    """Leave out captions that share two words with one of the set, and pictures that are near one of it."""
    words = set(read_words())
    using = {pair: row for row, caption in enumerate(captions) for pair in word_pairs(caption.split())}
    cells = np.stack([cell_means(picture) for picture in pictures])
    nearest = np.full(len(pictures), np.inf)
    known: set[int] = set()
    for example in training_set.examples():
        pairs = word_pairs(words.intersection(example.caption.lower().split()))
        known.update(using[pair] for pair in pairs if pair in using)
        if min(example.pixels.shape[:2]) >= GRID:
            away = np.sqrt(((cells - cell_means(example.pixels)) ** 2).mean(axis=(1, 2, 3)))
            nearest = np.minimum(nearest, away)
    kept_captions = [caption for row, caption in enumerate(captions) if row not in known]
    kept_pictures = [pictures[row] for row in np.flatnonzero(nearest >= LEAST_L2_TO_TRAINING).tolist()]
    fewest = min(len(kept_captions), len(kept_pictures))
    if fewest < needed:
        raise CanaryError(
            f"{needed} canaries must be unlike all of {training_set.location}, got {fewest} of "
            f"{len(captions)} drawn; ask for fewer (--each, --reference) or take another --seed."
        )
    return kept_captions[:needed], kept_pictures[:needed]


def _write(folder: Path, plan: Plan, chosen: Sequence[tuple[str, NDArray[np.uint8]]]) -> None:
    (folder / PICTURES).mkdir()
    (folder / PLANTED).mkdir()
    canaries, rows = [], []
    for number, (repetitions, (caption, pixels)) in enumerate(zip(plan.levels, chosen, strict=True)):
        name = f"planted-{number:03d}-{repetitions}x" if repetitions else f"reference-{number:03d}"
        data = _png(pixels)
        picture = f"{PICTURES}/{name}.png"
        (folder / picture).write_bytes(data)
        canaries.append(
            Canary(
                canary_id=name,
                caption=caption,
                repetitions=repetitions,
                picture=picture,
                sha256=hashlib.sha256(data).hexdigest(),
            )
        )
        for copy in range(1, repetitions + 1):
            copy_name = f"{name}-{copy:03d}.png"
            (folder / PLANTED / copy_name).write_bytes(data)
            rows.append((copy_name, caption))
    with (folder / PLANTED / METADATA).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file_name", "text"), *rows])
    (folder / MANIFEST).write_bytes(manifest_bytes(seed=plan.seed, size=plan.size, canaries=tuple(canaries)))


def _check_repetitions(repetitions: Sequence[int]) -> None:
    given = ",".join(map(str, repetitions))
    if not repetitions or any(count < 1 for count in repetitions):
        raise CanaryError(
            f"--repetitions must be whole numbers of at least 1 with commas between, got {given or 'none'}; "
            "what is never planted are the references (--reference)."
        )
    if len(set(repetitions)) < len(repetitions):
        raise CanaryError(
            f"--repetitions must differ, got {given}; --each says how many canaries there are at each."
        )


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
