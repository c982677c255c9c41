"""Identity of a model: what its files hold, not where they lie."""

import hashlib
import json
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from memex_audit.errors import ModelError
from memex_audit.generation.model_folder import read_stages
from memex_audit.whole_file import whole_file

# A calibration or settings file written beside the weights does not make another model of them.
OWN_FILES = ("memex.toml", "memex-calibration.json")
MODEL_SUFFIXES = (".safetensors", ".json", ".txt", ".model")
# Two changes within one tick of a file system's clock look like one; FAT's ticks are the longest in use.
LONGEST_TICK_S = 2.0


def model_fingerprint(folder: Path, cache: Path | None = None) -> str:
    """Return SHA-256 (64 hex digits) over the names and contents of a model folder's files.

    Where the folder's memex.toml names other stages of the model, theirs are part of it.

    `cache` is a JSON file that remembers the digest of a file as long as its size, its times of change and
    its inode stand, so that gigabytes of weights are read once.

    Raises:
        ModelError: the folder holds no model files.
    """
    total = _folder_digest(folder, cache)
    for name, stage in read_stages(folder).items():
        total.update(f"[{name}]\0{_folder_digest(stage, cache).hexdigest()}\n".encode())
    return total.hexdigest()


def _folder_digest(folder: Path, cache: Path | None) -> "hashlib._Hash":
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.suffix in MODEL_SUFFIXES and path.name not in OWN_FILES
    )
    if not files:
        raise ModelError(f"a model folder must hold safetensors and JSON files, {folder} has none.")
    remembered = _read_cache(cache)
    total = hashlib.sha256()
    for path in files:
        total.update(f"{path.relative_to(folder).as_posix()}\0{_digest(path, remembered)}\n".encode())
    _write_cache(cache, remembered)
    return total


def file_digests(paths: Iterable[Path], cache: Path | None = None) -> dict[Path, str]:
    """Return SHA-256 (64 hex digits) of the contents of each file; `cache` as in `model_fingerprint`.

    Raises:
        ModelError: a file cannot be read.
    """
    remembered = _read_cache(cache)
    try:
        digests = {path: _digest(path, remembered) for path in paths}
    except OSError as error:
        raise ModelError(
            f"{error.filename} must be readable, got {error.strerror or error}; check its permissions."
        ) from error
    _write_cache(cache, remembered)
    return digests


def model_key(fingerprint: str) -> str:
    """Return what files and folders of a model are named by: 32 hex digits.

    The first half of a SHA-256. A user's generator may identify its weights by any other text, two of which
    may begin alike or be no name for a file: of those the digest is taken.

    >>> model_key("0123456789abcdef" * 4)
    '0123456789abcdef0123456789abcdef'
    """
    if re.fullmatch(r"[0-9a-f]{64}", fingerprint):
        return fingerprint[:32]
    return hashlib.sha256(fingerprint.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def fine_tune_fingerprint(base: str, weights: Path, weight: float, cache: Path | None = None) -> str:
    """Return SHA-256 (64 hex digits) of a model with a LoRA on top: of both contents, and the weight.

    Args:
        base: fingerprint of the model.
        weights: the LoRA's file; its name changes nothing.
        weight: that the LoRA is given.
        cache: as in `model_fingerprint`.
    """
    remembered = _read_cache(cache)
    parts = (base, _digest(weights, remembered), repr(float(weight)))
    _write_cache(cache, remembered)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def settings_digest(settings: object) -> str:
    """Return the first 16 hex digits of SHA-256 over the settings as canonical JSON."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(slots=True, kw_only=True)
class _Remembered:
    """Digests of files by path, each with what the file was when it was read; and those that are new."""

    known: dict[str, list[object]]
    new: dict[str, list[object]] = field(default_factory=dict)


def _digest(path: Path, remembered: _Remembered) -> str:
    """Return a file's digest: the one that is remembered, unless the file may be another since.

    A checkpoint that is written over an older one of the same size, with its times set back, has another
    time of change (ctime) or another inode. What was changed just now may change again unseen: it is not
    remembered.
    """
    name, began, status = str(path.resolve()), time.time(), path.stat()
    state = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    known = remembered.new.get(name) or remembered.known.get(name)
    if known and known[:-1] == state:
        return str(known[-1])
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if began - max(status.st_mtime_ns, status.st_ctime_ns) / 1e9 > LONGEST_TICK_S:
        remembered.new[name] = [*state, digest]
    return digest


def _read_cache(cache: Path | None) -> _Remembered:
    return _Remembered(known=_known(cache) if cache else {})


def _known(cache: Path) -> dict[str, list[object]]:
    try:
        said = dict(json.loads(cache.read_text()))
    except (OSError, ValueError, TypeError):  # none, altered, or not to be read: read the weights again
        return {}
    return {name: entry for name, entry in said.items() if isinstance(entry, list) and len(entry) == 5}


def _write_cache(cache: Path | None, remembered: _Remembered) -> None:
    if cache is None or not remembered.new:
        return
    # Where it fails the weights are read again. A store that cannot be written is named where one must be.
    with suppress(OSError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(cache) as partial:
            # Read once more: others may have written meanwhile. What one of two at once loses is read again.
            partial.write_text(json.dumps(_known(cache) | remembered.new))
