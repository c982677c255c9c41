"""Find the caption of every picture in an image folder: metadata files, or a text file beside each."""

import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from memex_audit.records import SetAside
from memex_audit.table_lines import Line, read_lines
from memex_audit.training_set.fingerprints import open_regular

METADATA = ("metadata.csv", "metadata.jsonl")
PICTURES = (".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
KINDS = ", ".join(suffix[1:] for suffix in PICTURES)
COLUMNS = (("file_name",), ("text", "caption"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """A picture and its caption. `picture` is a posix path below the root, `example_id` the same with
    "#2", "#3" where one picture has several captions."""

    example_id: str
    picture: str
    text: str


def is_picture(name: str) -> bool:
    """Whether a file is a picture, by its suffix."""
    return PurePosixPath(name).suffix.lower() in PICTURES


def is_metadata(name: str) -> bool:
    """Whether a file is a metadata file, by its name."""
    return PurePosixPath(name).name in METADATA


def is_sidecar(name: str) -> bool:
    """Whether a file may hold the caption of the picture beside it, by its suffix."""
    return PurePosixPath(name).suffix == ".txt"


def read_captions(root: Path, files: Sequence[str]) -> Iterator[Caption | SetAside]:
    """Yield a caption for every picture, sorted by path, and what has only one of the two.

    Metadata files may stand in any folder and name pictures relative to it. Where there is one, text
    files are not captions: a README is none.

    Args:
        root: the folder.
        files: posix paths of all files below it.

    Raises:
        TrainingSetError: a metadata file cannot be read.
    """
    pictures = sorted(name for name in files if is_picture(name))
    metadata = sorted(name for name in files if is_metadata(name))
    if metadata:
        yield from _from_metadata(root, metadata, pictures)
    else:
        sidecars = {name for name in files if is_sidecar(name)}
        yield from _from_sidecars(root, sidecars, pictures)


def _from_metadata(root: Path, metadata: list[str], pictures: list[str]) -> Iterator[Caption | SetAside]:
    captions: dict[str, list[str]] = defaultdict(list)
    known = set(pictures)
    for name in metadata:
        for line in read_lines(root / name, COLUMNS):
            picture, text, fault = _parse(line, posixpath.dirname(name), known)
            if fault:
                yield SetAside(what=f"{name} line {line.number}", reason=fault)
            else:
                captions[picture].append(text)
    for picture in pictures:
        texts = captions.get(picture)
        if not texts:
            yield SetAside(what=picture, reason="picture without a caption: no metadata file names it")
        for number, text in enumerate(texts or (), start=1):
            example_id = picture if number == 1 else f"{picture}#{number}"
            yield Caption(example_id=example_id, picture=picture, text=text)


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


def _from_sidecars(root: Path, sidecars: set[str], pictures: list[str]) -> Iterator[Caption | SetAside]:
    stems = Counter(_stem(picture) for picture in pictures)
    for picture in pictures:
        sidecar = _stem(picture) + ".txt"
        if sidecar not in sidecars:
            yield SetAside(what=picture, reason=f"picture without a caption: no {sidecar}")
            continue
        try:
            with open_regular(root / sidecar) as file:
                text = file.read().decode("utf-8-sig").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            yield SetAside(what=sidecar, reason=f"caption cannot be read: {reason}")
            continue
        if text:
            yield Caption(example_id=picture, picture=picture, text=text)
        else:
            yield SetAside(what=sidecar, reason="empty caption")
    for sidecar in sorted(sidecars):
        if _stem(sidecar) not in stems:
            yield SetAside(what=sidecar, reason="caption without a picture")


def _stem(name: str) -> str:
    return posixpath.splitext(name)[0]
