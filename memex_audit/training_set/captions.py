"""Find the caption of every picture in an image folder: metadata files, or a text file beside each."""

import posixpath
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from memex_audit.records import SetAside
from memex_audit.table_lines import Line, read_lines
from memex_audit.training_set.fingerprints import open_regular

METADATA = ("metadata.csv", "metadata.jsonl")
PICTURES = (".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
KINDS = ", ".join(suffix[1:] for suffix in PICTURES)
COLUMNS = (("file_name",), ("text", "caption"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """A picture and its caption, empty where it has none; `fault` says why, where that is worth a line.

    `picture` is a posix path below the root, `example_id` the same with "#2", "#3" where one picture has
    several captions.
    """

    example_id: str
    picture: str
    text: str
    fault: SetAside | None = None


class Captions(Protocol):
    """The captions of an image folder: one for each entry of the set."""

    @property
    def n_entries(self) -> int:
        """How many captions there are, those included that pictures lack."""
        ...

    @property
    def faults(self) -> tuple[SetAside, ...]:
        """Captions that belong to no picture."""
        ...

    def id(self, place: int) -> str:
        """Return the id of an entry."""
        ...

    def read(self, first: int, last: int) -> Iterator[Caption]:
        """Yield the captions of these entries."""
        ...

    def files_of(self, first: int, last: int) -> Iterator[str]:
        """Yield the names of the files that these entries are read from."""
        ...


def is_picture(name: str) -> bool:
    """Whether a file is a picture, by its suffix."""
    return posixpath.splitext(name)[1].lower() in PICTURES


def is_metadata(name: str) -> bool:
    """Whether a file is a metadata file, by its name."""
    return name.endswith(METADATA) and posixpath.basename(name) in METADATA


def is_sidecar(name: str) -> bool:
    """Whether a file may hold the caption of the picture beside it, by its suffix."""
    return posixpath.splitext(name)[1] == ".txt"


class MetadataCaptions:
    """Captions of metadata files, in any folder, which name pictures relative to it.

    Where there is one, text files are not captions: a README is none.

    Args:
        root: the folder.
        names: sorted posix paths of the metadata files below it, and of others.
        pictures: those of all pictures.

    Raises:
        TrainingSetError: a metadata file cannot be read.
    """

    def __init__(self, root: Path, names: Sequence[str], pictures: Sequence[str]) -> None:
        self._metadata = [name for name in names if is_metadata(name)]
        texts: dict[str, list[str]] = defaultdict(list)
        faults: list[SetAside] = []
        known = set(pictures)
        for name in self._metadata:
            for line in read_lines(root / name, COLUMNS):
                picture, text, fault = _parse(line, posixpath.dirname(name), known)
                if fault:
                    faults.append(SetAside(what=f"{name} line {line.number}", reason=fault))
                else:
                    texts[picture].append(text)
        self.faults = tuple(faults)
        self._texts = texts
        named = [picture for picture in pictures for _ in texts.get(picture, ())]
        self._entries = [*named, *(picture for picture in pictures if picture not in texts)]

    @property
    def n_entries(self) -> int:
        """How many captions there are, those included that pictures lack."""
        return len(self._entries)

    def read(self, first: int, last: int) -> Iterator[Caption]:
        """Yield the captions of these entries."""
        for place in range(first, min(last, self.n_entries)):
            picture = self._entries[place]
            if picture not in self._texts:
                fault = SetAside(what=picture, reason="picture without a caption: no metadata file names it")
                yield Caption(example_id=picture, picture=picture, text="", fault=fault)
                continue
            text = self._texts[picture][self._number(place) - 1]
            yield Caption(example_id=self.id(place), picture=picture, text=text)

    def id(self, place: int) -> str:
        """Return the id of an entry."""
        number = self._number(place)
        return self._entries[place] if number == 1 else f"{self._entries[place]}#{number}"

    def _number(self, place: int) -> int:
        """Return the how manieth caption of its picture this is."""
        number = 1
        while number <= place and self._entries[place - number] == self._entries[place]:
            number += 1
        return number

    def files_of(self, first: int, last: int) -> Iterator[str]:
        """Yield the metadata files and these entries' pictures."""
        yield from self._metadata
        yield from self._entries[first:last]


class SidecarCaptions:
    """Captions in text files, each beside the picture of the same name; read when they are asked for.

    Args:
        root: the folder.
        names: sorted posix paths of the text files below it, and of others.
        pictures: those of all pictures.
    """

    def __init__(self, root: Path, names: Sequence[str], pictures: Sequence[str]) -> None:
        self._root = root
        sidecars = {name for name in names if is_sidecar(name)}
        has = [_sidecar_of(picture) in sidecars for picture in pictures]
        self._n_with = sum(has)
        with_one = [picture for picture, one in zip(pictures, has, strict=True) if one]
        self._entries = [*with_one, *(picture for picture, one in zip(pictures, has, strict=True) if not one)]
        used = {_sidecar_of(picture) for picture in with_one}
        alone = sorted(sidecars - used)
        self.faults = tuple(SetAside(what=name, reason="caption without a picture") for name in alone)

    @property
    def n_entries(self) -> int:
        """How many pictures there are."""
        return len(self._entries)

    def read(self, first: int, last: int) -> Iterator[Caption]:
        """Yield the captions of these entries."""
        for place in range(first, min(last, self.n_entries)):
            picture = self._entries[place]
            text, fault = self._read(picture) if place < self._n_with else ("", _no_sidecar(picture))
            yield Caption(example_id=picture, picture=picture, text=text, fault=fault)

    def id(self, place: int) -> str:
        """Return the id of an entry."""
        return self._entries[place]

    def files_of(self, first: int, last: int) -> Iterator[str]:
        """Yield these entries' pictures and text files."""
        for place in range(first, min(last, self.n_entries)):
            yield self._entries[place]
            if place < self._n_with:
                yield _sidecar_of(self._entries[place])

    def _read(self, picture: str) -> tuple[str, SetAside | None]:
        sidecar = _sidecar_of(picture)
        try:
            with open_regular(self._root / sidecar) as file:
                text = file.read().decode("utf-8-sig").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            return "", SetAside(what=sidecar, reason=f"caption cannot be read: {reason}")
        return text, None if text else SetAside(what=sidecar, reason="empty caption")


def _parse(line: Line, folder: str, known: set[str]) -> tuple[str, str, str | None]:
    if line.fault:
        return "", "", line.fault
    name, text = line.values["file_name"], line.values.get("text", line.values.get("caption"))
    if not isinstance(name, str) or not isinstance(text, str):
        return "", "", f"file_name and text must be strings, got {name!r} and {text!r}"
    picture = posixpath.normpath(posixpath.join(folder, name))
    if picture not in known:
        return "", "", f"caption without a picture: {name} is no {KINDS} here"
    return picture, text, None if text.strip() else f"empty caption of {name}"


def _no_sidecar(picture: str) -> SetAside:
    return SetAside(what=picture, reason=f"picture without a caption: no {_sidecar_of(picture)}")


def _sidecar_of(picture: str) -> str:
    return posixpath.splitext(picture)[0] + ".txt"
