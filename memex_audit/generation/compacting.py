"""Packs -> fewer packs: small ones are written together, and what nobody reads any more is left out.

At every moment each unit is in a pack that has a manifest: a new pack is written, synchronized to the disk
and read back before those that it takes the place of are removed. Processes that read or write the same
folder meanwhile see the one or the other; see packs.py for a writer whose pack is taken over.
"""

import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from memex_audit.claims import Claims, process_is_gone
from memex_audit.errors import StoreError
from memex_audit.generation.older_units import take_over_older
from memex_audit.generation.pack_files import MANIFEST, PACK, SEAL, Place, UnitMoved, writer_of
from memex_audit.generation.pack_writer import PackWriter
from memex_audit.generation.packs import PACK_BYTES, Packs
from memex_audit.generation.store import CLAIMS
from memex_audit.generation.unit import pixels_in, reduced_in

# Who compacts a folder, or removes from it, holds the claim of this name.
COMPACT = "compact"
# A pack whose writer may live is left alone until nothing was written to it for so long: a network file
# system may show a seal that late.
QUIET_S = 120.0
# What has no manifest by then is of a process that is gone.
LEFT_BEHIND_S = 3600.0

# What becomes of a unit: its bytes, and how many of its pictures have pixels.
Change = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a folder takes, claims aside."""

    files: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Compaction:
    """What a compaction did; `left`: what it could not take, each with the reason."""

    before: Usage
    after: Usage
    n_older: int
    n_dropped: int
    left: tuple[str, ...]


def compact(
    folder: Path, *, pack_bytes: int = PACK_BYTES, quiet: float = QUIET_S, change: Change | None = None
) -> Compaction | None:
    """Compact the pictures of one model under one set of settings; None where another process is at it.

    Args:
        folder: of the packs.
        pack_bytes: size up to which packs are written together.
        quiet: seconds without a write after which a pack is taken although its writer may live.
        change: makes other bytes of each unit; every pack is then written anew.

    Raises:
        OSError: the folder cannot be read or written; what is in it stays as it is.
    """
    claims = Claims(folder / CLAIMS)
    with claims.attempt(COMPACT) as had:
        if not had:
            return None
        before = usage(folder)
        _remove_left_behind(folder, claims.now())
        packs = Packs(folder)
        packs.refresh()
        n_older, left = take_over_older(packs, pack_bytes)
        rewriting = _Rewriting(packs, change)
        for group in _groups(packs, resting(packs, claims, quiet), pack_bytes, everything=change is not None):
            rewriting.write_together(group)
        claims.remove_stale()
        return Compaction(
            before=before,
            after=usage(folder),
            n_older=n_older,
            n_dropped=rewriting.n_dropped,
            left=(*left, *rewriting.left),
        )


def usage(folder: Path) -> Usage:
    """Return how many files a folder of pictures has, and their bytes."""
    sizes = []
    for place, _, names in os.walk(folder):
        if Path(place) != folder / CLAIMS:
            for name in names:
                with suppress(FileNotFoundError):
                    sizes.append((Path(place) / name).stat().st_size)
    return Usage(files=len(sizes), bytes=sum(sizes))


def resting(packs: Packs, claims: Claims, quiet: float = QUIET_S) -> list[str]:
    """Return the packs that nobody writes to: their writer is gone, or was quiet for long."""
    now = claims.now()
    return [pack for pack in packs.names if _is_over(pack) or now - _written(packs, pack) >= quiet]


def needless(packs: Packs, prompts: Iterable[str]) -> set[Place]:
    """Return the units of these prompts that UnitStore.read takes no picture from: others hold them all."""
    return {place for prompt in prompts for place in _needless_of(packs, packs.places(prompt))}


class _Rewriting:
    """Writes packs together, group by group."""

    def __init__(self, packs: Packs, change: Change | None) -> None:
        self._packs = packs
        self._change = change
        self.left: list[str] = []
        self.n_dropped = 0

    def write_together(self, sources: Sequence[str]) -> None:
        """Write the units of some packs into a new one, and remove those whose units are all there."""
        self._packs.seal(sources)
        units = self._packs.places_in(sources)
        dropped = needless(self._packs, {place.prompt for found in units.values() for place in found})
        writer = PackWriter(self._packs.folder)
        try:
            copies: dict[Place, Place] = {}
            done = [pack for pack in sources if self._copy(units[pack], dropped, writer, copies)]
            said = self._packs.discards_in(done)
            discards = {one for one in said if one.pack in self._packs.names and one.pack not in done}
            if writer.places or discards:
                writer.finish(discards, written=self._last_written(done))
        finally:
            writer.abandon()
        self._put_in_place(done, dropped, copies)

    def _last_written(self, packs: Sequence[str]) -> float:
        found = [_written(self._packs, pack) for pack in packs]
        return max((when for when in found if when < math.inf), default=time.time())

    def _copy(
        self, units: Sequence[Place], dropped: set[Place], writer: PackWriter, copies: dict[Place, Place]
    ) -> bool:
        """Write the units of one pack; False, and none of them, where one is damaged."""
        before, copied = len(writer.places), {}
        for place in units:
            if place in dropped:
                continue
            try:
                copied[place] = self._copy_unit(place, writer)
            except (StoreError, ValueError, UnitMoved) as error:
                writer.take_back(before)
                self.left.append(f"{self._packs.folder / place.pack}{PACK}: {error or 'it is being removed'}")
                return False
        copies.update(copied)
        self.n_dropped += sum(place in dropped for place in units)
        return True

    def _copy_unit(self, place: Place, writer: PackWriter) -> Place:
        unit = self._packs.read(place)
        if self._change:
            unit = self._change(unit)
        known = place.pixels if self._change is None else None
        return writer.add(place, unit, pixels_in(unit) if known is None else known)

    def _put_in_place(self, done: Sequence[str], dropped: set[Place], copies: dict[Place, Place]) -> None:
        self._packs.refresh()
        for place, copy in copies.items():
            self._packs.read(copy)
            if not self._packs.stands(place):  # discarded meanwhile
                self._packs.discard(copy)
        units = self._packs.places_in(done)
        self._packs.remove(pack for pack in done if dropped.union(copies).issuperset(units[pack]))


def _groups(packs: Packs, names: Sequence[str], pack_bytes: int, *, everything: bool) -> list[list[str]]:
    """Return which packs are written together: small ones, and any that holds what nobody reads."""
    units, dropped = packs.places_in(names), needless(packs, packs.prompts)
    groups: list[list[str]] = []
    total = pack_bytes
    wasteful = set()
    for pack, places in units.items():
        kept = [place for place in places if place not in dropped]
        n_bytes = sum(place.size for place in kept)
        if everything or n_bytes < _size(packs, pack) or any(place.pixels is None for place in kept):
            wasteful.add(pack)
        elif n_bytes >= pack_bytes:
            continue
        if total >= pack_bytes:
            groups.append([])
            total = 0
        groups[-1].append(pack)
        total += n_bytes
    return [group for group in groups if len(group) > 1 or wasteful.issuperset(group)]


def _needless_of(packs: Packs, places: Sequence[Place]) -> set[Place]:
    """Go through a prompt's units as UnitStore.read does; one that is damaged stays for the audit to find."""
    if not _overlap(places):
        return set()
    supplied: dict[int, tuple[Place, bool]] = {}
    whole = set()
    for place in places:
        with suppress(StoreError, ValueError, UnitMoved):
            for number, reduced in zip(_numbers(place), reduced_in(packs.read(place)), strict=True):
                if number not in supplied or supplied[number][1]:
                    supplied[number] = place, reduced
            whole.add(place)
    return whole - {place for place, _ in supplied.values()}


def _overlap(places: Sequence[Place]) -> bool:
    """Whether a number is there twice; they are in the order of their first numbers."""
    last = -1
    for place in places:
        if place.first <= last:
            return True
        last = place.last
    return False


def _numbers(place: Place) -> range:
    return range(place.first, place.last + 1)


def _is_over(pack: str) -> bool:
    pid = writer_of(pack)
    return pid is not None and process_is_gone(pid)


def _written(packs: Packs, pack: str) -> float:
    return _status(packs.folder / f"{pack}{MANIFEST}")[1]


def _size(packs: Packs, pack: str) -> int:
    return _status(packs.folder / f"{pack}{PACK}")[0]


def _status(path: Path) -> tuple[int, float]:
    """Return the size of a file and when it was last written; of one that is gone, nothing just now."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, math.inf
    return found.st_size, found.st_mtime


def _remove_left_behind(folder: Path, now: float) -> None:
    """Remove what processes left that were killed: packs that no manifest names, seals, partial files."""
    for path in sorted(folder.iterdir()):
        if path.suffix == ".partial":
            over = now - _status(path)[1] > LEFT_BEHIND_S
        elif path.suffix in (PACK, SEAL) and not path.with_suffix(MANIFEST).exists():
            sealed = path.with_suffix(SEAL).exists()
            over = sealed or _is_over(path.stem) or now - _status(path)[1] > LEFT_BEHIND_S
        else:
            over = False
        if over:
            path.unlink(missing_ok=True)
