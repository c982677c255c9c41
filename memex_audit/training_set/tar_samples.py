"""Where in a WebDataset tar each sample lies: headers are read, nothing is unpacked."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from memex_audit.records import SetAside
from memex_audit.training_set.captions import PICTURES
from memex_audit.training_set.set_files import SetFiles
from memex_audit.training_set.tar_headers import Header, read_headers

if TYPE_CHECKING:
    from io import BufferedReader

# In the order in which a sample's caption is looked for.
TEXT, JSON = "txt", "json"
JSON_FIELDS = ("caption", "text")
# Of a caption's file: larger ones are none.
MOST_CAPTION_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive: its bytes lie at `offset`."""

    offset: int
    size: int


@dataclass(slots=True, kw_only=True)
class Sample:
    """The files of one key: `picture` the first that is one, `texts` by suffix."""

    id: str
    file: str
    picture: Member | None = None
    texts: dict[str, Member] = field(default_factory=dict)

    @property
    def caption(self) -> bool:
        """Whether there is a file that may hold one."""
        return bool(self.texts)


def list_samples(files: SetFiles, name: str) -> Iterator[Sample | SetAside]:
    """Yield the samples of a tar in the order of their first files, and what cannot be used.

    Args:
        files: of the training set.
        name: that of the tar.
    """
    samples: dict[str, Sample] = {}
    faults: list[SetAside] = []
    try:
        with files.open(name) as file:
            taken = (_take(header, name, samples) for header in read_headers(file))
            faults.extend(fault for fault in taken if fault)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        kept = f"after {len(samples):,} samples" if samples else "from its beginning"
        faults.append(SetAside(what=name, reason=f"unreadable tar, {kept}: {reason}"))
    yield from samples.values()
    yield from faults


def _take(header: Header, name: str, samples: dict[str, Sample]) -> SetAside | None:
    """Put a file of an archive to its sample; say why it is none where that loses something."""
    if header.is_folder:
        return None
    what = f"{name}: {header.name}"
    # Not pathlib: there are millions of names.
    *folders, last = [part for part in header.name.split("/") if part not in ("", ".")] or [""]
    if header.name.startswith("/") or ".." in (*folders, last):
        return SetAside(what=what, reason="its path leads out of the archive")
    if not header.is_regular:
        return SetAside(what=what, reason="no regular file")
    key, _, suffix = last.partition(".")
    suffix = suffix.lower()
    if not key or (suffix not in (TEXT, JSON) and f".{suffix}" not in PICTURES):
        return None  # img2dataset writes checksums and more beside
    whole_key = "/".join((*folders, key))
    example_id = f"{name.removesuffix('.tar')}:{whole_key}"
    sample = samples.setdefault(whole_key, Sample(id=example_id, file=name))
    found = Member(header.offset, header.size)
    if suffix in (TEXT, JSON):
        sample.texts.setdefault(suffix, found)
    elif sample.picture is None:
        sample.picture = found
    else:
        return SetAside(what=what, reason="a second picture of its key")
    return None


def caption_of(file: BinaryIO, sample: Sample) -> str:
    """Return a sample's caption; empty where it has none.

    Args:
        file: the open tar.
        sample: one of its samples.

    Raises:
        ValueError: its file is no caption; the message is the reason.
    """
    for suffix in (TEXT, JSON):
        member = sample.texts.get(suffix)
        if member is None:
            continue
        if member.size > MOST_CAPTION_BYTES:
            raise ValueError(f"a caption file of {member.size:,} bytes")
        text = _text(read_member(file, member), suffix)
        if text.strip():
            return text.strip()
    return ""


def _text(data: bytes, suffix: str) -> str:
    try:
        text = data.decode("utf-8-sig")
        if suffix == TEXT:
            return text
        fields = json.loads(text)
    except ValueError as error:
        kind = "JSON" if suffix == JSON and not isinstance(error, UnicodeDecodeError) else "UTF-8"
        msg = f"its .{suffix} is no {kind}"
        raise ValueError(msg) from error
    if not isinstance(fields, dict):
        return ""
    return next((value for name in JSON_FIELDS if isinstance(value := fields.get(name), str)), "")


def read_member(file: "BinaryIO | BufferedReader", member: Member) -> bytes:
    """Return the bytes of a file in an open archive.

    Raises:
        ValueError: they cannot be read, or end before they should; the message is the reason.
    """
    try:
        file.seek(member.offset)
        data = file.read(member.size)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from error
    if len(data) < member.size:
        raise ValueError(f"cut short: {len(data):,} of {member.size:,} bytes are there")
    return data
