"""A file that is there whole or not at all: a reader sees the old one or the new one, never a part."""

import glob
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a path to write to, which takes the place of `path` when all is written, and else is removed.

    Its name is `.NAME.TOKEN.partial`, in the same folder: what a process that was killed left is known by it.

    Raises:
        OSError: it cannot be put in its place; what stood there before still does.
    """
    partial = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that others may read in one step.

    Args:
        path: its folder is made where it is missing.
        data: all of it.

    Raises:
        OSError: it cannot be written; what stood there before still does.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        partial.write_bytes(data)
        partial.chmod(0o644)


def remove_left_behind(path: Path) -> None:
    """Remove what processes that were killed left half-written of a file.

    To be called by who alone writes it: what another is writing would go too.
    """
    for partial in path.parent.glob(f".{glob.escape(path.name[:100])}.*.partial"):
        partial.unlink(missing_ok=True)
