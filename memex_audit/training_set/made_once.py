"""Things that one process makes in a cache, and others find there: whole, or not at all."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from memex_audit.claims import Claims
from memex_audit.errors import StoreError, StoreUnwritable, TrainingSetError
from memex_audit.whole_file import remove_left_behind


def claims_of(cache: Path) -> Claims:
    """Return the claims of all processes that use this cache."""
    return Claims(cache / "claims")


def make_once(path: Path, make: Callable[[Path], object]) -> None:
    """Let one process make `path` under another name and rename it; others wait until it is there.

    Raises:
        StoreUnwritable: it cannot be written; what was half made is gone.
    """
    if path.exists():
        return
    with writing(path.parent), claims_of(path.parent).hold([path.name]):
        if not path.exists():
            replace_whole(path, make)


def replace_whole(path: Path, make: Callable[[Path], object]) -> None:
    """Make a file or folder under another name, and put it in the place of what is there.

    Args:
        path: the caller holds the claim on it.
        make: makes it where it is told.

    Raises:
        OSError: it cannot be written; what stood there before still does.
    """
    partial = path.with_name(f".partial-{path.name}")
    # Left by a process that was killed: nobody else writes it, the claim is ours.
    _remove(partial)
    remove_left_behind(partial)
    try:
        make(partial)
        if path.is_dir():
            _remove(path)
        partial.replace(path)
    finally:
        _remove(partial)


@contextmanager
def writing(cache: Path) -> Iterator[None]:
    """Name the cache where it cannot be written."""
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise StoreUnwritable(
            f"the cache of the training set {cache} must be writable, got {error.strerror or error}; free "
            "space or name another store with --memex-store."
        ) from error


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Name the cache where it is not as it was written."""
    try:
        yield
    except (OSError, EOFError, ValueError, KeyError, TypeError, TrainingSetError) as error:
        reason = " ".join(str(error).split())
        raise StoreError(
            f"the cache of the training set {folder} must be as it was written, got a damaged one "
            f"({reason}); delete it and run again: the set is mined anew."
        ) from error


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
