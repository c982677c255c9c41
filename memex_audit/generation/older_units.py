"""Units of an older memex-audit, a Parquet file for each prompt and look -> packs.

<prompt hash[:2]>/<prompt hash>/<first>-<last>.parquet
damaged/                                                  those of them that could not be read
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from memex_audit.generation.pack_files import Place
from memex_audit.generation.pack_writer import PackWriter
from memex_audit.generation.packs import Packs
from memex_audit.generation.unit import SCHEMA, check_unit, encode_table, pixels_in

OLDER_VERSION = "1"
DAMAGED = "damaged"
_NAME = re.compile(r"(\d+)-(\d+)")


def older_files(folder: Path) -> list[Path]:
    """Return the files of an older memex-audit in a folder of pictures."""
    return sorted(folder.glob("[0-9a-f][0-9a-f]/*/*.parquet"))


def read_older(path: Path) -> tuple[Place, bytes]:
    """Return a unit of an older memex-audit as one of today, with its place, which is in no pack yet.

    Raises:
        ValueError: it is not as it was written; the message is the reason.
        OSError: it cannot be read.
    """
    name = _NAME.fullmatch(path.stem)
    if not name:
        raise ValueError("its name is not that of a unit")
    first, last = int(name[1]), int(name[2])
    unit = encode_table(_read_table(path.read_bytes()))
    check_unit(unit, first, last)
    return Place(path.parent.name, first, last, "", 0, len(unit), 0), unit


def take_over_older(packs: Packs, pack_bytes: int) -> tuple[int, list[str]]:
    """Write what an older memex-audit left into packs, and remove its files once these are read back.

    A file that is damaged is moved into a folder of its own: audits then draw its pictures anew.

    Returns:
        how many files were taken over, and what could not be, each with the reason.

    Raises:
        OSError: the folder cannot be read or written.
    """
    n_taken, left = 0, []
    files = older_files(packs.folder)
    for portion in _portions(files, pack_bytes):
        taken, damaged = _take_over(packs, portion)
        for path in taken:
            path.unlink(missing_ok=True)
        left += [f"{_set_aside(packs.folder, path)}: {reason}" for path, reason in damaged]
        n_taken += len(taken)
    for prompt in {path.parent for path in files}:
        _remove_folder(prompt)
    for folder in sorted(packs.folder.glob("[0-9a-f][0-9a-f]")):
        for prompt in folder.iterdir():
            _remove_folder(prompt)
        _remove_folder(folder)
    return n_taken, left


def _take_over(packs: Packs, files: Sequence[Path]) -> tuple[list[Path], list[tuple[Path, ValueError]]]:
    """Return which files have their units in packs now, and which are damaged."""
    taken, damaged = [], []
    writer = PackWriter(packs.folder)
    try:
        for path in files:
            try:
                place, unit = read_older(path)
            except ValueError as error:
                damaged.append((path, error))
                continue
            if not _is_there(packs, place, unit):
                writer.add(place, unit, pixels_in(unit))
            taken.append(path)
        if writer.places:
            writer.finish((), written=max(path.stat().st_mtime for path in taken))
    finally:
        writer.abandon()
    packs.refresh()
    for place in writer.places:
        packs.read(place)
    return taken, damaged


def _is_there(packs: Packs, wanted: Place, unit: bytes) -> bool:
    """Whether a compaction that was killed wrote it already."""
    alike = (p for p in packs.places(wanted.prompt) if (p.first, p.last) == (wanted.first, wanted.last))
    return any(place.size == wanted.size and packs.read(place) == unit for place in alike)


def _read_table(data: bytes) -> pa.Table:
    try:
        with pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as file:
            version = (file.schema_arrow.metadata or {}).get(b"memex_unit", b"").decode()
            if version != OLDER_VERSION:
                raise ValueError(f"it must be of version {OLDER_VERSION}, got {version!r}")
            table = file.read(columns=SCHEMA.names)
            return table.select(SCHEMA.names).cast(SCHEMA)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise ValueError(" ".join(str(error).split())) from error


def _portions(files: Sequence[Path], pack_bytes: int) -> Iterator[list[Path]]:
    """Yield files whose units fill a pack."""
    portion: list[Path] = []
    total = 0
    for path in files:
        portion.append(path)
        total += path.stat().st_size
        if total >= pack_bytes:
            yield portion
            portion, total = [], 0
    if portion:
        yield portion


def _set_aside(folder: Path, path: Path) -> Path:
    target = folder / DAMAGED / f"{path.parent.name}-{path.name}"
    target.parent.mkdir(mode=0o700, exist_ok=True)
    return path.replace(target)


def _remove_folder(folder: Path) -> None:
    """Remove a folder of an older store that holds no unit any more, with its lock and partial files."""
    for path in (*folder.glob(".lock"), *folder.glob(".*.partial")):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # another file is there: not ours
        folder.rmdir()
