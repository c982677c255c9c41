"""A pack that is there with all of its units at once, or not at all: written, then its manifest."""

import os
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from memex_audit.generation.pack_files import (
    MANIFEST,
    PACK,
    Discarded,
    Place,
    line_of,
    new_pack_name,
)
from memex_audit.whole_file import whole_file


class PackWriter:
    """Writes one pack; nobody sees it before `finish`.

    Raises:
        OSError: the folder cannot be written; so do all methods.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.name = new_pack_name()
        self._folder = folder
        self._path = folder / f"{self.name}{PACK}"
        self._file = self._path.open("xb")
        self.places: list[Place] = []

    @property
    def size(self) -> int:
        """Bytes so far."""
        return sum(place.size for place in self.places[-1:]) + (self.places[-1].offset if self.places else 0)

    def add(self, of: Place, unit: bytes, n_pixels: int | None) -> Place:
        """Write a unit, of the same pictures as one elsewhere, and return where it lies."""
        place = Place(
            of.prompt, of.first, of.last, self.name, self.size, len(unit), zlib.crc32(unit), n_pixels
        )  # fmt: skip
        self._file.write(unit)
        self.places.append(place)
        return place

    def take_back(self, n_left: int) -> None:
        """Keep only the first units."""
        del self.places[n_left:]
        self._file.seek(self.size)
        self._file.truncate()

    def finish(self, discards: Iterable[Discarded], *, written: float) -> None:
        """Let others see it, even after a power cut now; `written`: when its last picture came."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.utime(self._path, (written, written))
        lines: list[Place | Discarded] = [
            *self.places,
            *sorted(discards, key=lambda said: (said.pack, said.offset)),
        ]
        with whole_file(self._folder / f"{self.name}{MANIFEST}") as partial, partial.open("wb") as file:
            file.writelines(map(line_of, lines))
            file.flush()
            os.fsync(file.fileno())
            file.close()
            os.utime(partial, (written, written))
        _sync_folder(self._folder)

    def abandon(self) -> None:
        """Remove what was written, unless it is finished."""
        self._file.close()
        if not self._path.with_suffix(MANIFEST).exists():
            with suppress(OSError):
                self._path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    # Where a folder cannot be opened (Windows), its names are kept by the file system itself.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
