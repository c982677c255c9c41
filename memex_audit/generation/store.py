"""What was drawn, kept in unit files: a prompt's pictures number `first` to `last` in one Parquet file.

    units/<model key>/<settings digest>/<prompt hash[:2]>/<prompt hash>/<first>-<last>.parquet

How many pictures an audit wants is not part of the identity: a longer look adds a unit and replaces none.
Who draws pictures of a prompt holds the prompt's lock, a file beside its units.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from filelock import FileLock

from memex_audit.errors import StoreUnwritable, UnitDamaged
from memex_audit.generation.fingerprints import model_key
from memex_audit.generation.seeds import image_seed
from memex_audit.generation.unit_file import Summary, read_unit, remove_partial_files, write_unit
from memex_audit.records import Generation, GenerationRequest

UNIT_NAME = re.compile(r"(\d+)-(\d+)")
LOCK = ".lock"
# Root mean square of the differences of two pictures' blocks, in levels of 255, up to which they are taken
# for one picture: another batch or another machine rounds otherwise.
SAME_PICTURE = 4.0


def open_store_folder(root: Path) -> Path:
    """Create the store's folder, private to its owner and invisible to git, and return it.

    Raises:
        StoreUnwritable: the folder cannot be made or written.
    """
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        ignore = root / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
    except OSError as error:
        raise StoreUnwritable(
            f"the store must be a folder that can be written, got {root} ({_reason(error)}); "
            "name another with --memex-store."
        ) from error
    return root


class UnitStore:
    """The pictures of one model under one set of settings.

    `summarize` gives the block sums that are kept beside each picture; `note` hears what the user should
    know of the store. `keeps_pixels`: whether the pixels of a picture are written where nobody decides about
    it. Nothing here knows how many pictures a prompt needs.
    """

    def __init__(
        self,
        root: Path,
        *,
        fingerprint: str,
        digest: str,
        root_seed: int,
        summarize: Summary,
        note: Callable[[str], None] = lambda _: None,
        keeps_pixels: bool = True,
    ) -> None:
        self._root = open_store_folder(root)
        self._units = root / "units" / model_key(fingerprint) / digest
        self._root_seed = root_seed
        self._summarize = summarize
        self._note = note
        self.keeps_pixels = keeps_pixels

    def missing(self, prompt: str, n: int) -> list[int]:
        """Return which of the pictures 0 ... n - 1 are not there yet."""
        covered = {number for first, last, _ in self._unit_files(prompt) for number in range(first, last + 1)}
        return [number for number in range(n) if number not in covered]

    def request(self, prompt: str, number: int) -> GenerationRequest:
        """Return the request whose answer is the prompt's picture of that number."""
        return GenerationRequest(prompt=prompt, seed=image_seed(self._root_seed, prompt, number))

    def read(self, prompt: str, n: int, *, first: int = 0) -> list[Generation]:
        """Return the pictures number `first` to n - 1 that are there, by number.

        Raises:
            UnitDamaged: a unit is not as it was written.
            StoreError: a unit cannot be read, or is of another version.
        """
        found: dict[int, Generation] = {}
        for begin, last, path in self._unit_files(prompt):
            if begin < n and last >= first:
                for number, picture in read_unit(path, self._requests(prompt, begin, last), n).items():
                    # It may be there twice: reduced, and with its pixels, which were drawn again.
                    if number not in found or found[number].reduced:
                        found[number] = picture
        return [found[number] for number in sorted(found) if number >= first]

    def write(self, prompt: str, numbers: Sequence[int], generations: Sequence[Generation]) -> None:
        """Keep pictures with consecutive numbers as one unit.

        Raises:
            StoreUnwritable: the disk is full or the store cannot be written; nothing half-written remains.
        """
        folder = self._folder(prompt)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            target = folder / f"{numbers[0]:06d}-{numbers[-1]:06d}.parquet"
            write_unit(target, numbers, generations, self._summarize)
        except OSError as error:
            raise self._cannot_write(error) from error

    def reduce(self, picture: Generation) -> Generation:
        """Return a picture without its pixels: with its block sums and its size."""
        if picture.pixels is None:
            return picture
        height, width = picture.pixels.shape[:2]
        return replace(picture, pixels=None, sums=self._summarize(picture.pixels), size=(height, width))

    def note_difference(self, recorded: Generation, drawn: Generation) -> None:
        """Note when a picture drawn again is not the one whose block sums are kept."""
        if drawn.pixels is not None and drawn.pixels.shape[:2] == recorded.size and recorded.sums is not None:
            blocks = recorded.sums.astype(np.float64) - self._summarize(drawn.pixels)
            area = drawn.pixels.size / blocks.size
            if float(np.sqrt(np.mean(np.square(blocks)))) / area <= SAME_PICTURE:
                return
        self._note(
            f"a picture that was drawn again differs from what was kept of it by more than {SAME_PICTURE:g} "
            "levels of 255: this model does not draw the same picture from a seed every time; keep pixels "
            "with --memex-keep all."
        )

    def discard_damaged(self, prompt: str) -> None:
        """Delete the prompt's damaged units: their pictures are then missing, and can be drawn anew.

        Raises:
            StoreUnwritable: the store cannot be written.
        """
        with self.lock([prompt]):
            for first, last, path in self._unit_files(prompt):
                try:
                    read_unit(path, self._requests(prompt, first, last), last + 1)
                except UnitDamaged:
                    self._discard(path)

    @contextmanager
    def lock(self, prompts: Sequence[str]) -> Iterator[None]:
        """Hold the locks of prompts: who comes second waits, then finds the work done.

        Runs that share some of their prompts (another selection, another batch size) wait for each other
        only there. The locks are taken in one order by all, so that none waits for one who waits for it.

        Raises:
            StoreUnwritable: the store cannot be written.
        """
        with ExitStack() as held:
            try:
                for folder in sorted(set(map(self._folder, prompts))):
                    folder.mkdir(parents=True, exist_ok=True)
                    held.enter_context(FileLock(folder / LOCK))
                    remove_partial_files(folder)
            except OSError as error:
                raise self._cannot_write(error) from error
            yield

    def _discard(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise self._cannot_write(error) from error
        self._note(f"a unit file was damaged and its pictures drawn anew: {path.relative_to(self._root)}")

    def _cannot_write(self, error: OSError) -> StoreUnwritable:
        return StoreUnwritable(
            f"the store {self._units} cannot be written ({_reason(error)}); free space or name "
            "another with --memex-store. What was generated before is kept."
        )

    def _folder(self, prompt: str) -> Path:
        text = unicodedata.normalize("NFC", prompt).encode("utf-8", "surrogatepass")
        digest = hashlib.sha256(text).hexdigest()
        return self._units / digest[:2] / digest

    def _requests(self, prompt: str, first: int, last: int) -> list[tuple[int, GenerationRequest]]:
        return [(number, self.request(prompt, number)) for number in range(first, last + 1)]

    def _unit_files(self, prompt: str) -> list[tuple[int, int, Path]]:
        folder = self._folder(prompt)
        if not folder.is_dir():
            return []
        named = ((UNIT_NAME.fullmatch(path.stem), path) for path in sorted(folder.glob("*.parquet")))
        return [(int(name[1]), int(name[2]), path) for name, path in named if name]  # no stray copies


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
