"""Identify the files of a training set: by their stat for a cache, by their contents for provenance."""

import hashlib
from collections.abc import Iterable
from pathlib import Path


def stat_fingerprint(root: Path, files: Iterable[str]) -> str:
    """Return SHA-256 over the sorted (path, size, mtime in ns) of `files`, posix paths below `root`."""
    digest = hashlib.sha256()
    for name in sorted(files):
        stat = (root / name).stat()
        digest.update(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def content_fingerprint(root: Path, files: Iterable[str]) -> str:
    """Return SHA-256 over the sorted (path, SHA-256 of the contents) of `files`."""
    digest = hashlib.sha256()
    for name in sorted(files):
        with (root / name).open("rb") as file:
            contents = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{name}\0{contents}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
