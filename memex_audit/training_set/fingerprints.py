"""Identify the files of a training set: by their stat for a cache, by their contents for provenance.

A file that cannot be read (a broken link, no permission) is identified by its name and that it cannot: it
is set aside where the set is read, and must not stop the rest.
"""

import errno
import hashlib
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from io import BufferedReader

UNREADABLE = "unreadable"


def open_regular(path: Path) -> "BufferedReader":
    """Open a file for reading; what is no regular file (a pipe would be waited for without end) is refused.

    Raises:
        OSError: it is none, or cannot be read.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "no regular file")
    return path.open("rb")


def stat_of(path: Path) -> str:
    """Return a file's size and mtime in ns as one text."""
    try:
        found = path.stat()
    except OSError:
        return UNREADABLE
    return f"{found.st_size}\0{found.st_mtime_ns}"


def contents_of(path: Path) -> str:
    """Return SHA-256 of a file's contents."""
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return UNREADABLE


def fingerprint(identities: Iterable[tuple[str, str]]) -> str:
    """Return SHA-256 over names, sorted, each with what identifies it."""
    digest = hashlib.sha256()
    for name, identity in identities:
        digest.update(f"{name}\0{identity}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def stat_fingerprint(root: Path, files: Iterable[str]) -> str:
    """Return SHA-256 over the sorted (path, size, mtime in ns) of `files`, posix paths below `root`."""
    return fingerprint((name, stat_of(root / name)) for name in sorted(files))


def content_fingerprint(root: Path, files: Iterable[str]) -> str:
    """Return SHA-256 over the sorted (path, SHA-256 of the contents) of `files`."""
    return fingerprint((name, contents_of(root / name)) for name in sorted(files))
