"""A whole store at a look: whose pictures it holds and how many, from the manifests alone; and whether every
unit is as it was written, from its bytes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from memex_audit.errors import StoreError
from memex_audit.generation.compacting import Usage, usage
from memex_audit.generation.identity import read_identity
from memex_audit.generation.older_units import older_files, read_older
from memex_audit.generation.pack_files import MANIFEST, PACK, Place, UnitMoved
from memex_audit.generation.packs import Packs
from memex_audit.generation.unit import check_unit

UNITS = "units"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """The pictures of one model under one set of settings.

    `with_pixels`: how many have their pixels, None where manifests do not say; `written`: when the last came,
    by the file system's clock, None without any; `n_older`: files of an older memex-audit, which are not
    counted otherwise.
    """

    folder: Path
    model: str
    n_prompts: int
    n_pictures: int
    with_pixels: int | None
    n_packs: int
    n_older: int
    bytes: int
    written: float | None

    @property
    def model_key(self) -> str:
        """What the model's folders and files are named by."""
        return self.folder.parent.name

    @property
    def settings_digest(self) -> str:
        """What the settings are named by."""
        return self.folder.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """What is not as it was written: `where` it lies, whose pictures it holds (None: unknown), and why."""

    where: str
    reason: str
    prompt: str | None = None
    first: int | None = None
    last: int | None = None


def picture_folders(root: Path) -> list[Path]:
    """Return the folders of a store that hold pictures of a model under one set of settings."""
    return sorted(path for path in (root / UNITS).glob("*/*") if path.is_dir())


def look_at(folder: Path) -> Pictures:
    """Return what a folder of pictures holds, without reading a picture.

    Raises:
        OSError: it cannot be read.
    """
    packs = Packs(folder)
    packs.refresh()
    n_pictures, with_pixels, known = 0, 0, True
    for prompt in packs.prompts:
        places = packs.places(prompt)
        n = _n_numbers(places)
        n_pictures += n
        known = known and all(place.pixels is not None for place in places)
        with_pixels += min(n, sum(place.pixels or 0 for place in places))
    identity = read_identity(folder)
    written = [path.stat().st_mtime for path in folder.glob(f"*{MANIFEST}")]
    older = older_files(folder)
    return Pictures(
        folder=folder,
        model=identity.model if identity else "",
        n_prompts=sum(bool(packs.places(prompt)) for prompt in packs.prompts),
        n_pictures=n_pictures,
        with_pixels=with_pixels if known else None,
        n_packs=len(packs.names),
        n_older=len(older),
        bytes=usage(folder).bytes,
        written=max([*written, *(path.stat().st_mtime for path in older)], default=None),
    )


def other_parts(root: Path) -> dict[str, Usage]:
    """Return what the rest of a store takes: embeddings, screens, ledger, and whatever else, by name."""
    found = {}
    for path in sorted(root.iterdir()):
        if path.is_dir() and path.name != UNITS:
            found[path.name] = usage(path)
        elif path.is_file() and path.name != ".gitignore":
            found[path.name] = Usage(files=1, bytes=path.stat().st_size)
    return found


def check(folder: Path, progress: Callable[[int], None] = lambda _: None) -> Iterator[Damage]:
    """Read and decode every unit of a folder, and yield what is damaged; nothing is changed.

    Args:
        folder: of pictures.
        progress: hears of each unit how many pictures were read.

    Raises:
        OSError: a file cannot be read.
    """
    packs = Packs(folder)
    packs.refresh()
    for pack, n in packs.broken.items():
        yield Damage(where=f"{folder / pack}{MANIFEST}", reason=f"{n:,} of its lines are none")
    for places in packs.places_in(packs.names).values():
        for place in places:
            with suppress(UnitMoved):
                if reason := _fault(packs, place):
                    yield Damage(
                        where=f"{folder / place.pack}{PACK} at byte {place.offset:,}",
                        reason=reason, prompt=place.prompt, first=place.first, last=place.last,
                    )  # fmt: skip
            progress(place.last - place.first + 1)
    yield from _check_older(folder, progress)


def _check_older(folder: Path, progress: Callable[[int], None]) -> Iterator[Damage]:
    for path in older_files(folder):
        try:
            place, _ = read_older(path)
        except FileNotFoundError:  # taken over meanwhile
            continue
        except ValueError as error:
            yield Damage(where=str(path), reason=str(error), prompt=path.parent.name)
        else:
            progress(place.last - place.first + 1)


def _fault(packs: Packs, place: Place) -> str | None:
    try:
        check_unit(packs.read(place), place.first, place.last)
    except (StoreError, ValueError) as error:
        return _short(error)
    return None


def _short(error: Exception) -> str:
    """Return the reason alone, of the messages that give an audit's user the place too."""
    text = str(error)
    _, parted, reason = text.partition("got damaged ones (")
    return reason.rpartition("); run again")[0] if parted else text


def _n_numbers(places: Sequence[Place]) -> int:
    """Count the numbers that units hold; they are in the order of their first numbers."""
    n, last = 0, -1
    for place in places:
        n += max(0, place.last - max(place.first - 1, last))
        last = max(last, place.last)
    return n
