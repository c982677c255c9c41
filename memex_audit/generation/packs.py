"""Packs: many units in few files, and manifests that say which unit lies where. See pack_files.py.

Each process writes packs of its own, and only at their ends: the unit first, then its line. So what a
process that is killed, or a full disk, leaves half-written is behind the last whole line, and nobody looks at
it. What is there is known from the manifests alone; of one that was read before only what came since is read.

Others may take a pack's units over while its writer lives: they seal it, then read its manifest to the end.
The writer looks for the seal after each unit. So a unit that came too late to be seen is written once more,
in a new pack.
"""

import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Set
from pathlib import Path
from typing import TypeVar

from memex_audit.generation.pack_files import (
    MANIFEST,
    PACK,
    SEAL,
    Discarded,
    Place,
    UnitMoved,
    append_to,
    damaged,
    line_of,
    manifest_sizes,
    new_pack_name,
    read_line,
)

# A pack that is larger gets no further unit.
PACK_BYTES = 128 << 20

Said = TypeVar("Said", Place, Discarded)


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
        self._discarded: set[Discarded] = set()
        # By the pack whose manifest says so.
        self._discards: dict[str, set[Discarded]] = {}
        self._written_over: dict[str, int] = {}
        # Of each manifest, how many bytes of whole lines were read.
        self._read: dict[str, int] = {}
        # Of each manifest, how many whole lines are none.
        self.broken: dict[str, int] = {}
        # The packs that this process wrote.
        self.own: set[str] = set()
        self._begin_pack()

    def places(self, prompt: str) -> list[Place]:
        """Return where a prompt's units lie, as was known at the last `refresh`, in the order of `first`."""
        found = (place for place in self._places.get(prompt, ()) if self.stands(place))
        return sorted(found, key=lambda place: (place.first, place.last, place.pack, place.offset))

    def all_places(self) -> Iterator[Place]:
        """Yield where every unit lies, as far as was known at the last `refresh`."""
        for prompt in tuple(self._places):
            yield from self.places(prompt)

    @property
    def prompts(self) -> tuple[str, ...]:
        """The keys of all prompts that have units."""
        return tuple(self._places)

    @property
    def names(self) -> list[str]:
        """The packs that have a manifest, as far as was known at the last `refresh`."""
        return sorted(self._read)

    def places_in(self, packs: Iterable[str]) -> dict[str, list[Place]]:
        """Return the units of each of these packs, in the order in which they lie there."""
        found: dict[str, list[Place]] = {pack: [] for pack in packs}
        for place in self.all_places():
            if place.pack in found:
                found[place.pack].append(place)
        return {pack: sorted(places, key=lambda place: place.offset) for pack, places in found.items()}

    def discards_in(self, packs: Iterable[str]) -> set[Discarded]:
        """Return what the manifests of these packs say of units that are no good."""
        return set().union(*(self._discards.get(pack, ()) for pack in packs))

    def stands(self, place: Place) -> bool:
        """Whether a unit was not discarded."""
        return not self._discarded or Discarded(place.pack, place.offset) not in self._discarded

    def refresh(self) -> None:
        """See what came since, and what is no longer there.

        Raises:
            OSError: the folder cannot be read.
        """
        while True:
            sizes = manifest_sizes(self.folder)
            self._forget(self._read.keys() - sizes.keys())
            grown = [pack for pack, size in sizes.items() if size > self._read.get(pack, 0)]
            # One that is gone by now was written again in another, which may not have been there yet.
            n_gone = sum(not self._read_tail(pack) for pack in grown)
            if not n_gone:
                return

    def written_over(self, pack: str) -> int:
        """Return when a pack was changed that nobody should have touched, in nanoseconds; 0 where none did.

        Its manifest is written after it: a pack that is newer, or gone, is not as its manifest says.
        """
        if pack not in self._written_over:
            try:
                written = self._path(pack, PACK).stat().st_mtime_ns
                noted = self._path(pack, MANIFEST).stat().st_mtime_ns
            except OSError:
                return -1
            self._written_over[pack] = written if written > noted else 0
        return self._written_over[pack]

    def append(self, prompt: str, first: int, last: int, unit: bytes, *, n_pixels: int | None = None) -> None:
        """Write a unit at the end of this process's pack; `n_pixels` of its pictures have pixels.

        Raises:
            OSError: it cannot be written; what is in the packs stays as it is.
        """

        def write() -> Place:
            offset = self._append(PACK, unit)
            return Place(prompt, first, last, self._pack, offset, len(unit), zlib.crc32(unit), n_pixels)

        place = self._write(write)
        self._places.setdefault(prompt, []).append(place)
        if place.offset + place.size >= self._pack_bytes:
            self._begin_pack()

    def read(self, place: Place) -> bytes:
        """Return a unit.

        Raises:
            UnitDamaged: it is not as it was written.
            UnitMoved: it was dropped meanwhile; look again what there is.
            OSError: its pack cannot be read.
        """
        path = self._path(place.pack, PACK)
        try:
            with path.open("rb") as file:
                file.seek(place.offset)
                unit = file.read(place.size)
        except FileNotFoundError as error:
            return self.read(self._copy_of(place, path, error))
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
        discarded = Discarded(place.pack, place.offset)
        self._write(lambda: discarded)
        self._take_discard(self._pack, discarded)

    def seal(self, packs: Iterable[str]) -> None:
        """Let nothing more be written into these packs, and see what was.

        Raises:
            OSError: one cannot be sealed.
        """
        for pack in packs:
            self._path(pack, SEAL).touch()
        self.refresh()

    def remove(self, packs: Iterable[str]) -> None:
        """Delete packs whose units were written again elsewhere: first the manifest, so that nobody looks.

        Raises:
            OSError: one cannot be deleted.
        """
        packs = set(packs)
        for pack in sorted(packs):
            for suffix in (MANIFEST, PACK, SEAL):
                self._path(pack, suffix).unlink(missing_ok=True)
        self._forget(packs)

    def _path(self, pack: str, suffix: str) -> Path:
        return self.folder / f"{pack}{suffix}"

    def _begin_pack(self) -> None:
        self._owner = os.getpid()
        self._pack = new_pack_name()
        self.own.add(self._pack)
        # Which of its files were made: one that is gone since was taken over, and is not made again.
        self._made: set[str] = set()

    def _use_own_pack(self) -> None:
        forked = self._owner != os.getpid()  # the pack is the parent's
        if forked or (MANIFEST in self._made and self._is_taken_over()):
            self._begin_pack()

    def _write(self, write: Callable[[], Said]) -> Said:
        """Write what `write` writes into this process's pack, then what it gives into the manifest.

        Where the pack was taken over, at any moment, all of it is written once more, into a new one.
        """
        while True:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._use_own_pack()
            try:
                said = write()
                line = line_of(said)
                end = self._append(MANIFEST, line) + len(line)
            except OSError as error:
                taken_over = isinstance(error, FileNotFoundError) and bool(self._made)
                self._begin_pack()
                if not taken_over:
                    raise
                continue
            if not self._is_taken_over():
                self._read[self._pack] = end
                return said
            self._begin_pack()

    def _append(self, suffix: str, data: bytes) -> int:
        offset = append_to(self._path(self._pack, suffix), data, make=suffix not in self._made)
        self._made.add(suffix)
        return offset

    def _is_taken_over(self) -> bool:
        """Whether others take this process's pack over, or have; in the order in which they go about it."""
        return self._path(self._pack, SEAL).exists() or not self._path(self._pack, MANIFEST).exists()

    def _copy_of(self, place: Place, path: Path, error: FileNotFoundError) -> Place:
        """Return where a unit is, whose pack is gone."""
        self.refresh()
        if place.pack in self._read:
            raise damaged(path, place, "the file is gone") from error
        for other in self.places(place.prompt):
            if other.content == place.content:
                return other
        raise UnitMoved from error

    def _read_tail(self, pack: str) -> bool:
        """Read what came to a manifest; False if it is gone."""
        read = self._read.get(pack, 0)
        try:
            with self._path(pack, MANIFEST).open("rb") as file:
                file.seek(read)
                tail = file.read()
        except FileNotFoundError:
            return False
        whole = tail[: tail.rfind(b"\n") + 1]
        self._read[pack] = read + len(whole)
        for line in whole.splitlines():
            self._take(pack, line)
        return True

    def _take(self, pack: str, line: bytes) -> None:
        """Take in a line of a manifest; one that is none, altered by hand, loses its unit only."""
        try:
            said = read_line(pack, line)
        except ValueError:
            self.broken[pack] = self.broken.get(pack, 0) + 1
            return
        if isinstance(said, Discarded):
            self._take_discard(pack, said)
        else:
            self._places.setdefault(said.prompt, []).append(said)

    def _take_discard(self, pack: str, said: Discarded) -> None:
        self._discarded.add(said)
        self._discards.setdefault(pack, set()).add(said)

    def _forget(self, packs: Set[str]) -> None:
        if not packs:
            return
        for pack in packs:
            for known in (self._read, self._discards, self.broken):
                known.pop(pack, None)
        for prompt, places in list(self._places.items()):
            if any(place.pack in packs for place in places):
                self._places[prompt] = [place for place in places if place.pack not in packs]
                if not self._places[prompt]:
                    del self._places[prompt]
