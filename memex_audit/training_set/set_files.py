"""Where the files of a training set lie, and how they are opened: on a disk, or behind a URL."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from memex_audit.training_set.fingerprints import UNREADABLE, contents_of, open_regular, stat_of

if TYPE_CHECKING:
    from io import BufferedReader

# What a server or a store says of a file that becomes another when its contents do. Not all say the same.
MARKS = ("ETag", "etag", "md5Hash", "Content-MD5", "sha256", "blob_id", "Last-Modified", "LastModified",
         "last_modified", "mtime", "updated", "created")  # fmt: skip
# Of these, what stands for the contents themselves: no two of another kind have the same.
DIGESTS = MARKS[:6]


class SetFiles(Protocol):
    """Files by their names: sorted posix paths below one root. `location` is what the user named."""

    @property
    def location(self) -> str:
        """What the user named, without a password or a signature."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """The files, sorted."""
        ...

    def only(self, names: tuple[str, ...]) -> "SetFiles":
        """Return these files of them."""
        ...

    def open(self, name: str) -> "BufferedReader":
        """Open a file for reading; raises OSError."""
        ...

    def source(self, name: str) -> Any:
        """Return what Arrow opens: a path, or an open file; raises OSError."""
        ...

    def shown(self, name: str) -> str:
        """Name a file in a message."""
        ...

    def stat(self, name: str) -> str:
        """Return size and time of a file, or what else changes when it does."""
        ...

    def contents(self, name: str) -> str:
        """Return a digest of a file's contents."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFiles:
    """Files below a folder."""

    root: Path
    names: tuple[str, ...]
    location: str

    def only(self, names: tuple[str, ...]) -> "LocalFiles":
        """Return these files of them."""
        return replace(self, names=names)

    def open(self, name: str) -> "BufferedReader":
        """Open a regular file; anything else is refused."""
        return open_regular(self.root / name)

    def source(self, name: str) -> str:
        """Return the file's path."""
        return str(self.root / name)

    def shown(self, name: str) -> str:
        """Return the file's path."""
        return str(self.root / name)

    def stat(self, name: str) -> str:
        """Return size and mtime in ns."""
        return stat_of(self.root / name)

    def contents(self, name: str) -> str:
        """Return SHA-256 of the contents."""
        return contents_of(self.root / name)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFiles:
    """Files of a file system of fsspec, below `root` there."""

    system: Any
    root: str
    names: tuple[str, ...]
    location: str

    def only(self, names: tuple[str, ...]) -> "RemoteFiles":
        """Return these files of them."""
        return replace(self, names=names)

    def open(self, name: str) -> "BufferedReader":
        """Open a file; what the file system raises of any kind is an OSError here."""
        from memex_audit.training_set.remote_reader import open_remote

        return open_remote(self.system, self._path(name))

    def source(self, name: str) -> Any:
        """Return the open file: Arrow reads it by ranges."""
        return self.open(name)

    def shown(self, name: str) -> str:
        """Return where the file is, as far as it can be shown."""
        return name if name == self.location else f"{name} of {self.location}"

    def stat(self, name: str) -> str:
        """Return size and all marks of the file, asked anew."""
        found = self._info(name)
        marks = "\0".join(f"{key}={found[key]}" for key in MARKS if found.get(key) is not None)
        return f"{found.get('size')}\0{marks}" if found else UNREADABLE

    def contents(self, name: str) -> str:
        """Return the digest that the server keeps of the file, else SHA-256 of what it sends."""
        found = self._info(name)
        kept = next((f"{key}={found[key]}" for key in DIGESTS if found.get(key)), None)
        if kept:
            return f"{found.get('size')} {kept}"
        try:
            with self.open(name) as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return UNREADABLE

    def _info(self, name: str) -> dict[str, Any]:
        from memex_audit.training_set.remote_reader import read_info

        return read_info(self.system, self._path(name))

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}" if self.root else name
