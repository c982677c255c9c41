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


def stat_fingerprint(root: Path, files: Iterable[str]) -> str:
    """Return SHA-256 over the sorted (path, size, mtime in ns) of `files`, posix paths below `root`."""
    digest = hashlib.sha256()
    for name in sorted(files):
        try:
            found = (root / name).stat()
            identity = f"{found.st_size}\0{found.st_mtime_ns}"
        except OSError:
            identity = UNREADABLE
        digest.update(f"{name}\0{identity}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def content_fingerprint(root: Path, files: Iterable[str]) -> str:
    """Return SHA-256 over the sorted (path, SHA-256 of the contents) of `files`."""
    digest = hashlib.sha256()
    for name in sorted(files):
        try:
            with open_regular(root / name) as file:
                contents = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            contents = UNREADABLE
        digest.update(f"{name}\0{contents}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
