"""What was drawn, kept in units: a prompt's pictures number `first` to `last`, many units in a pack.

    units/<model key>/<settings digest>/<writer>.pack and .jsonl    see packs.py
    units/<model key>/<settings digest>/model.json                  whose pictures these are, see identity.py
    units/<model key>/<settings digest>/claims/                     who draws for which prompt

How many pictures an audit wants is not part of the identity: a longer look adds a unit and replaces none.
Who draws pictures of a prompt holds the claim on it. No lock of the operating system is used: any number of
processes may share a store, on one machine or over a network file system.
"""

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from memex_audit.claims import LEASE_S, Claims
from memex_audit.errors import StoreError, StoreUnwritable, UnitDamaged
from memex_audit.generation.fingerprints import model_key
from memex_audit.generation.identity import Identity, recorded_prompt, recorded_since
from memex_audit.generation.pack_files import PACK, Place, UnitMoved, damaged
from memex_audit.generation.packs import Packs
from memex_audit.generation.seeds import image_seed
from memex_audit.generation.unit import Summary, decode_unit, encode_unit
from memex_audit.records import Generation, GenerationRequest

if TYPE_CHECKING:
    from memex_audit.generation.same_model import SameModel

CLAIMS = "claims"
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
    know of the store, and `tell` at once when other processes are waited for. `keeps_pixels`: whether the
    pixels of a picture are written where nobody decides about it; `identity`: what is written down, and must
    stand there, beside the pictures. Nothing here knows how many pictures a prompt needs.
    """

    # Set where a generator's word is all that says which model it is: compares before anything is added.
    same_model: "SameModel | None" = None

    def __init__(
        self,
        root: Path,
        *,
        fingerprint: str,
        digest: str,
        root_seed: int,
        summarize: Summary,
        note: Callable[[str], None] = lambda _: None,
        tell: Callable[[str], None] = lambda _: None,
        keeps_pixels: bool = True,
        identity: Identity | None = None,
    ) -> None:
        self._root = open_store_folder(root)
        self._units = root / "units" / model_key(fingerprint) / digest
        self._root_seed = root_seed
        self._summarize = summarize
        self._note = note
        self._tell = tell
        self.keeps_pixels = keeps_pixels
        self._identity = identity or Identity(fingerprint=fingerprint)
        self._recorded = False

    def missing(self, prompt: str, n: int) -> list[int]:
        """Return which of the pictures 0 ... n - 1 are not there yet, as far as is known.

        Under the prompt's lock that is sure; else another process may have drawn them meanwhile.
        """
        covered = {number for place in self._places(prompt) for number in range(place.first, place.last + 1)}
        return [number for number in range(n) if number not in covered]

    def count_missing(self, prompts: Iterable[str], n: int) -> int:
        """Count the pictures that are not there yet of the first `n` of each prompt, by what is there now."""
        self._packs.refresh()
        return sum(len(self.missing(prompt, n)) for prompt in prompts)

    def state_of(self, prompt: str) -> list[list[object]]:
        """Identify the prompt's units as they are, without reading them; it changes when one of them does.

        What was concluded from the pictures is concluded anew where this has changed (judged.py).
        """
        return [
            [place.first, place.last, place.size, place.crc, self._packs.written_over(place.pack)]
            for place in self._places(prompt)
        ]

    def request(self, prompt: str, number: int) -> GenerationRequest:
        """Return the request whose answer is the prompt's picture of that number."""
        return GenerationRequest(prompt=prompt, seed=image_seed(self._root_seed, prompt, number))

    def read(self, prompt: str, n: int, *, first: int = 0) -> list[Generation]:
        """Return the pictures number `first` to n - 1 that are there, by number.

        Raises:
            UnitDamaged: a unit is not as it was written.
            StoreError: a unit cannot be read, or is of another version.
        """
        while True:
            try:
                found = self._pictures(prompt, n, first)
            except UnitMoved:  # the store was compacted meanwhile: look again
                continue
            return [found[number] for number in sorted(found) if number >= first]

    def write(self, prompt: str, numbers: Sequence[int], generations: Sequence[Generation]) -> None:
        """Keep pictures with consecutive numbers as one unit.

        Raises:
            StoreUnwritable: the disk is full or the store cannot be written; nothing half-written remains.
        """
        unit = encode_unit(numbers, generations, self._summarize)
        try:
            self._record_identity(prompt if any(g.reason is None for g in generations) else None)
            n_pixels = sum(picture.pixels is not None for picture in generations)
            self._packs.append(key_of(prompt), numbers[0], numbers[-1], unit, n_pixels=n_pixels)
        except OSError as error:
            raise self._cannot_write(error) from error

    def reduce(self, picture: Generation) -> Generation:
        """Return a picture without its pixels: with its block sums and its size."""
        if picture.pixels is None:
            return picture
        height, width = picture.pixels.shape[:2]
        return replace(picture, pixels=None, sums=self._summarize(picture.pixels), size=(height, width))

    @property
    def recorded_prompt(self) -> str | None:
        """A prompt that has pictures here, as far as one is written down."""
        return recorded_prompt(self._units)

    @property
    def recorded_since(self) -> float | None:
        """When the first of these pictures came, by the file system's clock; None without any."""
        return recorded_since(self._units)

    def picture_of_others(self, prompt: str) -> Generation | None:
        """Return a picture of the prompt that another process put here, if there is one.

        Raises:
            UnitDamaged: the first unit with pictures is not as it was written.
        """
        for place in self._places(prompt):
            if place.pack not in self._packs.own:
                with suppress(UnitMoved):
                    for picture in self._read(prompt, place, place.last + 1).values():
                        if picture.sums is not None:
                            return picture
        return None

    def distance(self, recorded: Generation, drawn: Generation) -> float | None:
        """Return how far a picture drawn again is from what is kept of it: see SAME_PICTURE.

        None where that is not comparable: one of them is no picture, or they differ in size.
        """
        if drawn.pixels is None or drawn.pixels.shape[:2] != recorded.size or recorded.sums is None:
            return None
        blocks = recorded.sums.astype(np.float64) - self._summarize(drawn.pixels)
        return float(np.sqrt(np.mean(np.square(blocks)))) * blocks.size / drawn.pixels.size

    def note_difference(self, recorded: Generation, drawn: Generation) -> None:
        """Note when a picture drawn again is not the one whose block sums are kept."""
        distance = self.distance(recorded, drawn)
        if distance is not None and distance <= SAME_PICTURE:
            return
        self._note(
            f"a picture that was drawn again differs from what was kept of it by more than {SAME_PICTURE:g} "
            "levels of 255: this model does not draw the same picture from a seed every time; keep pixels "
            "with --memex-keep all."
        )

    def discard_damaged(self, prompt: str) -> None:
        """Discard the prompt's damaged units: their pictures are then missing, and can be drawn anew.

        Raises:
            StoreUnwritable: the store cannot be written.
        """
        with self.lock([prompt]):
            for place in self._places(prompt):
                try:
                    self._read(prompt, place, place.last + 1)
                except UnitMoved:
                    continue
                except UnitDamaged:
                    self._discard(place)

    @contextmanager
    def lock(self, prompts: Sequence[str]) -> Iterator[None]:
        """Hold the claims on prompts, and see what others drew: who comes second waits, then finds it done.

        Runs that share some of their prompts (another selection, another batch size) wait for each other
        only there.

        Raises:
            StoreUnwritable: the store cannot be written.
        """
        with ExitStack() as held:
            try:
                held.enter_context(self._claims.hold([key_of(prompt) for prompt in prompts]))
            except OSError as error:
                raise self._cannot_write(error) from error
            self._packs.refresh()
            yield

    @cached_property
    def _packs(self) -> Packs:
        """The packs of this model and these settings, with what is in them so far."""
        refuse_older_store(self._units)
        self._identity.check(self._units)
        packs = Packs(self._units)
        packs.refresh()
        return packs

    @cached_property
    def _claims(self) -> Claims:
        def tell(n: int, machine: str) -> None:
            self._tell(
                f"waiting for {n} prompt{'s' if n > 1 else ''}: a process on {machine} draws for them; if it "
                f"is gone, its claim ends {LEASE_S:g} s after it was last renewed"
            )

        return Claims(self._units / CLAIMS, waiting=tell)

    def _record_identity(self, prompt: str | None) -> None:
        if not self._recorded:
            self._identity.record(self._units, prompt)
            self._recorded = True

    def _places(self, prompt: str) -> list[Place]:
        return self._packs.places(key_of(prompt))

    def _pictures(self, prompt: str, n: int, first: int) -> dict[int, Generation]:
        found: dict[int, Generation] = {}
        for place in self._places(prompt):
            if place.first < n and place.last >= first:
                for number, picture in self._read(prompt, place, n).items():
                    # It may be there twice: reduced, and with its pixels, which were drawn again.
                    if number not in found or found[number].reduced:
                        found[number] = picture
        return found

    def _read(self, prompt: str, place: Place, n: int) -> dict[int, Generation]:
        path = self._units / f"{place.pack}{PACK}"
        try:
            unit = self._packs.read(place)
        except OSError as error:
            raise StoreError(
                f"the pack {path} must be readable, got {_reason(error)}; check its permissions and its disk."
            ) from error
        try:
            return decode_unit(unit, self._requests(prompt, place.first, place.last), n)
        except ValueError as error:
            raise damaged(path, place, error) from error

    def _discard(self, place: Place) -> None:
        try:
            self._packs.discard(place)
        except OSError as error:
            raise self._cannot_write(error) from error
        pack = (self._units / f"{place.pack}{PACK}").relative_to(self._root)
        self._note(
            f"pictures {place.first} to {place.last} of a prompt were damaged and drawn anew: in {pack}, at "
            f"byte {place.offset:,}"
        )

    def _cannot_write(self, error: OSError) -> StoreUnwritable:
        return StoreUnwritable(
            f"the store {self._units} cannot be written ({_reason(error)}); free space or name "
            "another with --memex-store. What was generated before is kept."
        )

    def _requests(self, prompt: str, first: int, last: int) -> list[tuple[int, GenerationRequest]]:
        return [(number, self.request(prompt, number)) for number in range(first, last + 1)]


def key_of(prompt: str) -> str:
    """Return what a prompt is called in manifests and claims: SHA-256 of its text in NFC."""
    text = unicodedata.normalize("NFC", prompt).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()


def refuse_older_store(units: Path) -> None:
    """Refuse a folder that holds a file for each prompt and look, as memex-audit wrote them before.

    Raises:
        StoreError: it does.
    """
    if any(path.is_dir() for path in units.glob("[0-9a-f][0-9a-f]")):
        raise StoreError(
            f"the store {units} must be of packs, got one of an older memex-audit, with a file for each "
            "prompt; `memex store compact` packs what it holds and loses nothing, or name another store with "
            "--memex-store."
        )


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
