"""Find the files that a user named: a path, a glob, a range of shards, several of these, or URLs."""

import glob
import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from itertools import chain, takewhile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from memex_audit.errors import TrainingSetError, first_line
from memex_audit.records import SetAside
from memex_audit.training_set.set_files import LocalFiles, RemoteFiles, SetFiles

# Between several locations, as WebDataset writes them.
SEPARATOR = "::"
RANGE = re.compile(r"(\d+)\.\.(\d+)")
MOST_FILES = 1_000_000
# What pip installs for a file system that fsspec knows and has not.
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "http": "aiohttp", "https": "aiohttp",
            "az": "adlfs", "abfs": "adlfs", "hf": "huggingface_hub", "sftp": "paramiko"}  # fmt: skip


def find_files(location: str | Path) -> tuple[SetFiles, tuple[SetAside, ...]]:
    """Return the files that a location names, and the folders below it that cannot be listed.

    Args:
        location: a file, or a folder, of which all files are taken but hidden ones; a glob of either
            (`data/*.tar`, `**` for any depth); with ranges and choices in braces
            (`shards/{00000..00099}.tar`, `{train,test}.parquet`); several of these between `::`; each a path,
            or a URL of a file system that fsspec has (`s3://`, `gs://`, `hf://`, `https://`).

    Raises:
        TrainingSetError: nothing is there, or a file system cannot be reached; the message says what to do.
    """
    text = os.fspath(location).removeprefix("file://")
    if Path(text).exists():
        return _local([Path(text)], text)
    patterns = list(chain.from_iterable(expand_braces(part) for part in text.split(SEPARATOR)))
    remote = ["://" in pattern for pattern in patterns]
    if all(remote):
        return _remote(patterns, _shown(text))
    if any(remote):
        raise TrainingSetError(f"Training set must lie on disks or behind URLs, got both: {_shown(text)}.")
    found = [path for pattern in patterns for path in _matches(pattern)]
    absent = [path for path in found if not path.exists()]
    if absent or not found:
        _refuse_absent(text, len(found), absent)
    return _local(found, text)


def expand_braces(pattern: str) -> Iterator[str]:
    """Yield what a pattern with braces stands for, in order.

    >>> list(expand_braces("{08..10}.tar"))
    ['08.tar', '09.tar', '10.tar']
    >>> list(expand_braces("{a,b}/{0..1}"))
    ['a/0', 'a/1', 'b/0', 'b/1']

    Raises:
        TrainingSetError: these are more than MOST_FILES.
    """
    opened = pattern.find("{")
    closed = _closing_brace(pattern, opened)
    if closed < 0:
        yield pattern
        return
    choices = _choices(pattern[opened + 1 : closed])
    for choice in choices:
        for rest in expand_braces(pattern[closed + 1 :]):
            yield pattern[:opened] + choice + rest


def _closing_brace(pattern: str, opened: int) -> int:
    depth = 0
    for place in range(opened, len(pattern)) if opened >= 0 else ():
        depth += (pattern[place] == "{") - (pattern[place] == "}")
        if depth == 0:
            return place
    return -1


def _choices(inside: str) -> Iterable[str]:
    """Return what stands for a pair of braces and what is in it; the pair itself where it is no choice."""
    depth, parts = 0, [""]
    for letter in inside:
        depth += (letter == "{") - (letter == "}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    if len(parts) > 1:
        return chain.from_iterable(map(expand_braces, parts))
    bounds = RANGE.fullmatch(inside)
    return _numbers(*bounds.groups()) if bounds else (f"{{{one}}}" for one in expand_braces(inside))


def _numbers(first: str, last: str) -> Iterator[str]:
    step = 1 if int(first) <= int(last) else -1
    numbers = range(int(first), int(last) + step, step)
    if len(numbers) > MOST_FILES:
        raise TrainingSetError(
            f"A range must name up to {MOST_FILES:,} files, got {{{first}..{last}}}; divide it."
        )
    padded = any(len(bound) > 1 and bound.startswith("0") for bound in (first, last))
    width = max(len(first), len(last)) if padded else 0
    return (f"{number:0{width}}" for number in numbers)


def _matches(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    if path.exists() or not glob.has_magic(pattern):
        return [path]
    # Path.glob takes no absolute pattern.
    return [Path(found) for found in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207


def _refuse_absent(text: str, n: int, absent: list[Path]) -> None:
    if n > 1:
        raise TrainingSetError(
            f"Every file of a training set must exist, got {len(absent):,} of {n:,} in {text} that do not, "
            f"the first {absent[0]}; fetch them, or name those that there are."
        )
    which = "which no file matches" if glob.has_magic(text) else "which does not exist"
    raise TrainingSetError(f"Training set must be a file or folder, got {text}, {which}; check the path.")


def _local(paths: list[Path], text: str) -> tuple[LocalFiles, tuple[SetAside, ...]]:
    folders = [path if path.is_dir() else path.parent for path in paths]
    if len(paths) > 1:
        folders = [folder.absolute() for folder in folders]
    root = Path(os.path.commonpath(folders)) if len(paths) > 1 else folders[0]
    files: set[str] = set()
    unreadable: list[SetAside] = []
    for path, folder in zip(paths, folders, strict=True):
        prefix = folder.relative_to(root).as_posix()
        names = list(_walk(folder, unreadable)) if path.is_dir() else [path.name]
        files.update(posixpath.normpath(posixpath.join(prefix, name)) for name in names)
    named = [name for name in files if _is_text(name)]
    # Ids are made of names, and are kept and shown as text.
    for name in sorted(files - set(named)):
        shown = os.fsencode(name).decode("utf-8", "backslashreplace")
        unreadable.append(SetAside(what=shown, reason="file name is not UTF-8"))
    return LocalFiles(root=root, names=tuple(sorted(named)), location=text), tuple(unreadable)


def _walk(root: Path, unreadable: list[SetAside]) -> Iterator[str]:
    """Yield the posix paths of the files below a folder; note the folders that cannot be listed."""
    seen = set()

    def note(error: OSError) -> None:
        reason = f"folder cannot be read: {error.strerror}"
        unreadable.append(SetAside(what=os.path.relpath(error.filename, root), reason=reason))

    for folder, folders, names in os.walk(root, followlinks=True, onerror=note):
        real = os.path.realpath(folder)
        # A link to a folder above would be walked without end.
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        if real not in seen:
            below = Path(folder).relative_to(root)
            yield from ((below / name).as_posix() for name in names if not name.startswith("."))
        seen.add(real)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _remote(urls: list[str], shown: str) -> tuple[RemoteFiles, tuple[SetAside, ...]]:
    system, paths = _open_system(urls, shown)
    files: set[str] = set()
    for path in paths:
        try:
            files.update(_remote_matches(system, path))
        except Exception as error:
            # FileNotFoundError, PermissionError, and what else a client calls it.
            raise TrainingSetError(
                f"Training set {shown} must be there and readable, got {type(error).__name__}: "
                f"{first_line(error)}; check the address and who may read it."
            ) from error
    if not files:
        raise TrainingSetError(f"Training set must be files, got {shown}, where there are none; check it.")
    # Not commonpath, which writes "https://host" as "https:/host".
    levels = zip(*(path.split("/")[:-1] for path in files), strict=False)
    root = "/".join(names[0] for names in takewhile(lambda names: len(set(names)) == 1, levels))
    prefix = f"{root}/" if root else ""
    names = tuple(sorted(path.removeprefix(prefix) for path in files))
    return RemoteFiles(system=system, root=root, names=names, location=shown), ()


def _open_system(urls: list[str], shown: str) -> tuple[Any, list[str]]:
    from fsspec.core import url_to_fs

    schemes = sorted({urlsplit(url).scheme for url in urls})
    if len(schemes) > 1:
        raise TrainingSetError(f"Training set must lie in one place, got {' and '.join(schemes)}: {shown}.")
    try:
        opened = [url_to_fs(url) for url in urls]
    except ImportError as error:
        package = PACKAGES.get(schemes[0])
        install = f"pip install {package}" if package else first_line(error)
        raise TrainingSetError(
            f"A training set at {schemes[0]}:// must have its file system installed, got none: {install}."
        ) from error
    except ValueError as error:
        raise TrainingSetError(
            f"Training set must be a path or a URL that fsspec reads, got {shown} ({first_line(error)})."
        ) from error
    return opened[0][0], [path for _, path in opened]


def _remote_matches(system: Any, path: str) -> list[str]:
    if glob.has_magic(path):
        return [found for found in system.glob(path) if not _is_hidden(found)]
    if system.info(path)["type"] == "directory":
        return [found for found in system.find(path) if not _is_hidden(found.removeprefix(path))]
    return [path]


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))


def _shown(text: str) -> str:
    """Return locations without what may be a password (user:password@host) or a signature (?sig=)."""
    parts = []
    for part in text.split(SEPARATOR):
        scheme, separator, rest = part.partition("://")
        rest = rest.partition("?")[0] if scheme in ("http", "https") else rest
        host, slash, path = rest.partition("/")
        host = host.rpartition("@")[2] if scheme != "hf" else host
        parts.append(f"{scheme}{separator}{host}{slash}{path}" if separator else part)
    return SEPARATOR.join(parts)
