"""A folder of generations -> which pictures there are of which prompt.

By a manifest (`manifest` or `metadata`, .csv, .jsonl or .parquet, with the columns prompt, file and, where it
is known, seed), else by what each picture says of itself.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from memex_audit.errors import ModelError, TrainingSetError
from memex_audit.generation.black_box.picture_prompts import find_prompt
from memex_audit.records import SetAside
from memex_audit.table_lines import Line, read_lines

TABLES = (".csv", ".jsonl", ".parquet")
MANIFESTS = tuple(f"{name}{suffix}" for name in ("manifest", "metadata") for suffix in TABLES)
SUFFIXES = (".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
FILE_COLUMNS = ("file", "file_name", "path")
# A column of a manifest, and all names that it may have.
COLUMNS = (("prompt",), FILE_COLUMNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedPicture:
    """A generation that was made before, and what it was made from."""

    prompt: str
    seed: int | None
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedPictures:
    """What a folder holds: pictures by prompt, in the order in which they are taken, and what is unusable."""

    location: Path
    by_prompt: Mapping[str, tuple[RecordedPicture, ...]]
    set_aside: tuple[SetAside, ...]

    def of(self, prompt: str) -> tuple[RecordedPicture, ...]:
        """Return the pictures of a prompt, none where there are none."""
        return self.by_prompt.get(prompt_key(prompt), ())

    @property
    def prompts(self) -> tuple[str, ...]:
        """Every prompt, those with most pictures first."""
        most_first = sorted(self.by_prompt.values(), key=lambda pictures: -len(pictures))
        return tuple(pictures[0].prompt for pictures in most_first)

    @property
    def n_pictures(self) -> int:
        return sum(map(len, self.by_prompt.values()))


def prompt_key(prompt: str) -> str:
    """Return what two spellings of one prompt have in common: NFC, single spaces."""
    return " ".join(unicodedata.normalize("NFC", prompt).split())


def read_recorded(place: Path) -> RecordedPictures:
    """Read which pictures a folder, or a manifest itself, holds of which prompt.

    Pictures are taken by seed where seeds are known, else by name.

    Raises:
        ModelError: there is no such folder, its manifest cannot be read, or no picture has a prompt.
    """
    folder, manifest = _find_manifest(place)
    entries = _by_manifest(folder, manifest) if manifest else _by_pictures(folder)
    pictures, set_aside = [], []
    for entry in entries:
        if isinstance(entry, SetAside):
            set_aside.append(entry)
        else:
            pictures.append(entry)
    kept, repeated = _without_repetitions(pictures)
    if not kept:
        why = f"; the first of {len(set_aside):,} files: {set_aside[0].reason}" if set_aside else ""
        raise ModelError(
            f"a folder of generations must hold pictures with their prompts, got none in {place}{why}; write "
            "a manifest.csv with the columns prompt,seed,file there."
        )
    by_prompt: dict[str, list[RecordedPicture]] = {}
    for picture in sorted(kept, key=lambda one: (one.seed is None, one.seed or 0, one.path.as_posix())):
        by_prompt.setdefault(prompt_key(picture.prompt), []).append(picture)
    return RecordedPictures(
        location=folder,
        by_prompt={key: tuple(by_prompt[key]) for key in sorted(by_prompt)},
        set_aside=(*set_aside, *repeated),
    )


def _find_manifest(place: Path) -> tuple[Path, Path | None]:
    if place.is_file() and place.suffix.lower() in TABLES:
        return place.parent, place
    if not place.is_dir():
        raise ModelError(
            f"folder:PATH must name a folder of pictures, or its manifest (csv, jsonl, parquet), got "
            f"{place}, which {'is neither' if place.exists() else 'does not exist'}; check the path."
        )
    return place, next((place / name for name in MANIFESTS if (place / name).is_file()), None)


def _by_manifest(folder: Path, manifest: Path) -> Iterator[RecordedPicture | SetAside]:
    for line in _lines(manifest):
        what = f"{manifest.name} line {line.number}"
        try:
            yield _of_line(folder, line)
        except ValueError as error:
            yield SetAside(what=what, reason=str(error))


def _lines(manifest: Path) -> Iterator[Line]:
    try:
        if manifest.suffix.lower() == ".parquet":
            yield from _parquet_lines(manifest)
        else:
            yield from read_lines(manifest, COLUMNS)
    except TrainingSetError as error:
        raise ModelError(str(error)) from error


def _parquet_lines(manifest: Path) -> Iterator[Line]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(manifest)
    except (OSError, pa.ArrowException) as error:
        raise ModelError(
            f"{manifest} must be a Parquet file, got: {' '.join(str(error).split())}; write it again."
        ) from error
    if "prompt" not in table.column_names or not set(FILE_COLUMNS) & set(table.column_names):
        found = ", ".join(table.column_names) or "none"
        raise ModelError(f"{manifest} must have the columns prompt and file, got {found}; rename them.")
    for number, values in enumerate(table.to_pylist(), start=1):
        yield Line(number=number, values=values)


def _of_line(folder: Path, line: Line) -> RecordedPicture:
    if line.fault:
        raise ValueError(line.fault)
    prompt = line.values.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError("no prompt")
    name = next((line.values[column] for column in FILE_COLUMNS if line.values.get(column)), None)
    if not isinstance(name, str):
        raise ValueError("no file")
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError("its file lies outside the folder")
    if not path.is_file():
        raise ValueError("no such file")
    return RecordedPicture(prompt=prompt.strip(), seed=_seed(line.values.get("seed")), path=path)


def _seed(value: object) -> int | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        return int(str(value))
    except ValueError:
        raise ValueError("a seed that is no whole number") from None


def _by_pictures(folder: Path) -> Iterator[RecordedPicture | SetAside]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        what = path.relative_to(folder).as_posix()
        try:
            found = find_prompt(path)
        except ValueError as error:
            yield SetAside(what=what, reason=str(error))
            continue
        if found is None or not found.text:
            yield SetAside(what=what, reason="no prompt in its name or metadata")
        else:
            yield RecordedPicture(prompt=found.text, seed=found.seed, path=path)


def _without_repetitions(
    pictures: Sequence[RecordedPicture],
) -> tuple[list[RecordedPicture], list[SetAside]]:
    """Leave out a file that is listed twice for a prompt, and a seed that is: it would agree with itself."""
    kept: list[RecordedPicture] = []
    repeated: list[SetAside] = []
    seen: set[tuple[str, object]] = set()
    for picture in pictures:
        key = prompt_key(picture.prompt)
        marks: list[tuple[str, object]] = [(key, picture.path.resolve())]
        marks += [(key, picture.seed)] if picture.seed is not None else []
        if seen.intersection(marks):
            reason = "a file or seed listed twice for a prompt"
            repeated.append(SetAside(what=picture.path.name, reason=reason))
        else:
            kept.append(picture)
            seen.update(marks)
    return kept, repeated
