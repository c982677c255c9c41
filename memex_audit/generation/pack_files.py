"""The files of packs: what they are called, the lines of a manifest, and how both are written at their ends.

<writer>-<number>.pack    units one after another
<writer>-<number>.jsonl   its manifest, a line a unit: prompt, first, last, offset, size, crc, pixels
<writer>-<number>.seal    its units are being written elsewhere (compacting.py): it gets no further one
"""

import json
import os
import re
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memex_audit.errors import UnitDamaged

PACK, MANIFEST, SEAL = ".pack", ".jsonl", ".seal"
# A folder that changes while it is listed is listed again, so often at most.
MOST_LOOKS = 10
_NUMBERS = ("first", "last", "offset", "size", "crc")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a unit lies: pictures number `first` to `last` of a prompt, by the prompt's key.

    `pixels`: how many of them have pixels; None where the manifest does not say.
    """

    prompt: str
    first: int
    last: int
    pack: str
    offset: int
    size: int
    crc: int
    pixels: int | None = None

    @property
    def content(self) -> tuple[object, ...]:
        """Identify its bytes and what they are of, wherever they lie."""
        return self.prompt, self.first, self.last, self.size, self.crc


@dataclass(frozen=True, slots=True)
class Discarded:
    """What a manifest says of a unit that is no good: its pack, and where it begins there."""

    pack: str
    offset: int


class UnitMoved(Exception):  # noqa: N818 - nothing is wrong: look again
    """A unit was dropped since its place was looked up: others hold its pictures, or it was pruned."""


def damaged(path: Path, place: Place, reason: object) -> UnitDamaged:
    """Return the error of a unit that is not as it was written."""
    found = " ".join(str(reason).split())
    return UnitDamaged(
        f"pictures {place.first} to {place.last} in {path} at byte {place.offset:,} must be as they were "
        f"written, got damaged ones ({found}); run again: only these are drawn anew."
    )


def new_pack_name() -> str:
    """Name a pack that nobody else writes: by the machine, the process, and what is drawn by lot."""
    return f"{_host()}-{os.getpid()}-{secrets.token_hex(6)}"


def writer_of(pack: str) -> int | None:
    """Return the id of the process that writes a pack, or wrote it; None if it is of another machine."""
    host, _, process = pack.rpartition("-")[0].rpartition("-")
    return int(process) if host == _host() and process.isdecimal() else None


def line_of(said: Place | Discarded) -> bytes:
    """Return a line of a manifest."""
    if isinstance(said, Discarded):
        line: dict[str, Any] = {"discarded": said.pack, "offset": said.offset}
    else:
        line = {
            "prompt": said.prompt, "first": said.first, "last": said.last,
            "offset": said.offset, "size": said.size, "crc": said.crc,
        }  # fmt: skip
        if said.pixels is not None:
            line["pixels"] = said.pixels
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def read_line(pack: str, line: bytes) -> Place | Discarded:
    """Return what a line of a pack's manifest says.

    Raises:
        ValueError: it is none.
    """
    said = json.loads(line)
    try:
        if "discarded" in said:
            return Discarded(str(said["discarded"]), int(said["offset"]))
        first, last, offset, size, crc = (int(said[name]) for name in _NUMBERS)
        pixels = None if said.get("pixels") is None else int(said["pixels"])
        return Place(str(said["prompt"]), first, last, pack, offset, size, crc, pixels)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(str(error)) from error


def manifest_sizes(folder: Path) -> dict[str, int]:
    """Return the size of every manifest, by the name of its pack.

    A listing may miss both what came and what went while it was made: it holds if the folder stayed as it is.

    Raises:
        OSError: the folder cannot be read.
    """
    sizes: dict[str, int] = {}
    for _ in range(MOST_LOOKS):
        try:
            before = folder.stat().st_mtime_ns
            sizes = _listed(folder)
            if folder.stat().st_mtime_ns == before:
                break
        except FileNotFoundError:
            return {}
    return sizes


def append_to(path: Path, data: bytes, *, make: bool) -> int:
    """Write at the end of a file, and return where it begins; what cannot be written whole is cut off again.

    The file is open no longer than that takes: on a network file system others see what was closed. `make`:
    make it if it is not there.

    Raises:
        OSError: it cannot be written.
    """

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags if make else flags & ~os.O_CREAT, 0o666)

    # Unbuffered: a buffer would be written after the cut. Path.open takes no opener.
    with open(path, "ab", buffering=0, opener=opener) as file:
        offset, left = file.tell(), memoryview(data)
        try:
            while left:
                left = left[file.write(left) :]
        except OSError:
            with suppress(OSError):
                file.truncate(offset)
            raise
    return offset


def _listed(folder: Path) -> dict[str, int]:
    sizes = {}
    with os.scandir(folder) as found:
        for entry in found:
            if entry.name.endswith(MANIFEST):
                with suppress(FileNotFoundError):  # removed just now
                    sizes[entry.name.removesuffix(MANIFEST)] = entry.stat().st_size
    return sizes


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", socket.gethostname())[:24]
