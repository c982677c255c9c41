"""Packs: many units in few files, and manifests that say which unit lies where.

    <writer>-<number>.pack    units one after another
    <writer>-<number>.jsonl   its manifest, a line a unit: prompt, first, last, offset, size, crc

Each process writes packs of its own, and only at their ends: the unit first, then its line. So what a
process that is killed, or a full disk, leaves half-written is behind the last whole line, and nobody looks at
it. What is there is known from the manifests alone; of one that was read before only what came since is read.
"""

import json
import os
import re
import secrets
import socket
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memex_audit.errors import UnitDamaged

# A pack that is larger gets no further unit.
PACK_BYTES = 128 << 20
PACK, MANIFEST = ".pack", ".jsonl"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a unit lies: pictures number `first` to `last` of a prompt, by the prompt's key."""

    prompt: str
    first: int
    last: int
    pack: str
    offset: int
    size: int
    crc: int


class Packs:
    """The packs of one folder, of all processes that write there.

    Args:
        folder: made when something is written.
        pack_bytes: size from which on a pack gets no further unit.
    """

    def __init__(self, folder: Path, *, pack_bytes: int = PACK_BYTES) -> None:
        self.folder = folder
        self._pack_bytes = pack_bytes
        self._places: dict[str, list[Place]] = {}
        self._discarded: set[tuple[str, int]] = set()
        # Of each manifest, how many bytes of whole lines were read.
        self._read: dict[str, int] = {}
        self._begin_pack()

    def places(self, prompt: str) -> list[Place]:
        """Return where a prompt's units lie, as was known at the last `refresh`, in the order of `first`."""
        found = (place for place in self._places.get(prompt, ()) if self._stands(place))
        return sorted(found, key=lambda place: (place.first, place.last, place.pack, place.offset))

    def all_places(self) -> Iterator[Place]:
        """Yield where every unit lies, as far as was known at the last `refresh`."""
        for prompt in self._places:
            yield from self.places(prompt)

    def refresh(self) -> None:
        """See what came since, and what is no longer there.

        Raises:
            OSError: the folder cannot be read.
        """
        sizes = _manifests(self.folder)
        for gone in self._read.keys() - sizes.keys():
            self._forget(gone)
        for pack, size in sizes.items():
            if size > self._read.get(pack, 0):
                self._read_tail(pack)

    def append(self, prompt: str, first: int, last: int, unit: bytes) -> None:
        """Write a unit at the end of this process's pack.

        Raises:
            OSError: it cannot be written; what is in the packs stays as it is.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._use_own_pack()
        try:
            offset = _append(self._path(self._pack, PACK), unit)
            place = Place(prompt, first, last, self._pack, offset, len(unit), zlib.crc32(unit))
            self._note(_line_of(place))
        except OSError:
            self._begin_pack()
            raise
        self._places.setdefault(prompt, []).append(place)
        if offset + len(unit) >= self._pack_bytes:
            self._begin_pack()

    def read(self, place: Place) -> bytes:
        """Return a unit.

        Raises:
            UnitDamaged: it is not as it was written.
            OSError: its pack cannot be read.
        """
        path = self._path(place.pack, PACK)
        try:
            with path.open("rb") as file:
                file.seek(place.offset)
                unit = file.read(place.size)
        except FileNotFoundError as error:
            raise damaged(path, place, "the file is gone") from error
        if len(unit) < place.size:
            raise damaged(path, place, f"{len(unit):,} of {place.size:,} bytes are left")
        if zlib.crc32(unit) != place.crc:
            raise damaged(path, place, "its checksum is another")
        return unit

    def discard(self, place: Place) -> None:
        """Note that a unit is no good: nobody reads it any more.

        Raises:
            OSError: that cannot be written.
        """
        self._use_own_pack()
        line = {"discarded": place.pack, "offset": place.offset}
        try:
            self._note(line)
        except OSError:
            self._begin_pack()
            raise
        self._discarded.add((place.pack, place.offset))

    def remove(self, packs: Iterable[str]) -> None:
        """Delete packs whose units were written again elsewhere: first the manifest, so that nobody looks.

        Raises:
            OSError: one cannot be deleted.
        """
        for pack in packs:
            self._path(pack, MANIFEST).unlink(missing_ok=True)
            self._path(pack, PACK).unlink(missing_ok=True)
            self._forget(pack)

    def _stands(self, place: Place) -> bool:
        return (place.pack, place.offset) not in self._discarded

    def _path(self, pack: str, suffix: str) -> Path:
        return self.folder / f"{pack}{suffix}"

    def _begin_pack(self) -> None:
        """Name a pack that nobody else writes."""
        host = re.sub(r"[^A-Za-z0-9]+", "-", socket.gethostname())[:24]
        self._owner = os.getpid()
        self._pack = f"{host}-{self._owner}-{secrets.token_hex(6)}"

    def _use_own_pack(self) -> None:
        if self._owner != os.getpid():  # forked: the pack is the parent's
            self._begin_pack()

    def _note(self, line: dict[str, Any]) -> None:
        text = json.dumps(line, separators=(",", ":")) + "\n"
        offset = _append(self._path(self._pack, MANIFEST), text.encode())
        self._read[self._pack] = offset + len(text)

    def _read_tail(self, pack: str) -> None:
        read = self._read.get(pack, 0)
        try:
            with self._path(pack, MANIFEST).open("rb") as file:
                file.seek(read)
                tail = file.read()
        except FileNotFoundError:
            return
        whole = tail[: tail.rfind(b"\n") + 1]
        self._read[pack] = read + len(whole)
        for line in whole.splitlines():
            self._take(pack, line)

    def _take(self, pack: str, line: bytes) -> None:
        """Take in a line of a manifest; one that is none, altered by hand, loses its unit only."""
        with suppress(ValueError, KeyError, TypeError):
            said = json.loads(line)
            if "discarded" in said:
                self._discarded.add((str(said["discarded"]), int(said["offset"])))
                return
            numbers = (int(said[name]) for name in ("offset", "size", "crc"))
            place = Place(str(said["prompt"]), int(said["first"]), int(said["last"]), pack, *numbers)
            self._places.setdefault(place.prompt, []).append(place)

    def _forget(self, pack: str) -> None:
        self._read.pop(pack, None)
        for prompt, places in list(self._places.items()):
            self._places[prompt] = [place for place in places if place.pack != pack]


def damaged(path: Path, place: Place, reason: object) -> UnitDamaged:
    """Return the error of a unit that is not as it was written."""
    found = " ".join(str(reason).split())
    return UnitDamaged(
        f"pictures {place.first} to {place.last} in {path} at byte {place.offset:,} must be as they were "
        f"written, got damaged ones ({found}); run again: only these are drawn anew."
    )


def _manifests(folder: Path) -> dict[str, int]:
    """Return the size of every manifest, by the name of its pack."""
    try:
        with os.scandir(folder) as found:
            return {
                entry.name.removesuffix(MANIFEST): entry.stat().st_size
                for entry in found
                if entry.name.endswith(MANIFEST)
            }
    except FileNotFoundError:
        return {}


def _line_of(place: Place) -> dict[str, Any]:
    return {
        "prompt": place.prompt, "first": place.first, "last": place.last,
        "offset": place.offset, "size": place.size, "crc": place.crc,
    }  # fmt: skip


def _append(path: Path, data: bytes) -> int:
    """Write at the end of a file, and return where it begins; what cannot be written whole is cut off again.

    The file is open no longer than that takes: on a network file system others see what was closed.
    """
    with path.open("ab", buffering=0) as file:  # a buffer would be written after the cut
        offset, left = file.tell(), memoryview(data)
        try:
            while left:
                left = left[file.write(left) :]
        except OSError:
            with suppress(OSError):
                file.truncate(offset)
            raise
    return offset
