"""Which code made a result: what an older one concluded is not believed."""

import hashlib
import importlib.metadata
import platform
from contextlib import suppress
from functools import cache
from pathlib import Path

LIBRARIES = (
    "numpy", "scipy", "pillow", "pyarrow", "torch", "faiss-cpu", "open_clip_torch", "transformers",
    "diffusers", "peft", "tokenizers",
)  # fmt: skip
ROOT = Path(__file__).parent


@cache
def code_digest() -> str:
    """Return SHA-256 over this package's sources, Python, and the libraries that its results rest on."""
    _state_at_first()
    total = hashlib.sha256(platform.python_version().encode())
    for path in sorted(ROOT.rglob("*.py")):
        total.update(f"\0{path.relative_to(ROOT).as_posix()}\0".encode())
        total.update(path.read_bytes())
    for name in LIBRARIES:
        with suppress(importlib.metadata.PackageNotFoundError):
            total.update(f"\0{name}=={importlib.metadata.version(name)}".encode())
    return total.hexdigest()


def is_unchanged() -> bool:
    """Whether the sources are those that the digest is of: who edits them while they run proves nothing."""
    return _state() == _state_at_first()


@cache
def _state_at_first() -> tuple[tuple[str, int, int], ...]:
    return _state()


def _state() -> tuple[tuple[str, int, int], ...]:
    found = ((path, path.stat()) for path in sorted(ROOT.rglob("*.py")))
    return tuple((str(path), status.st_size, status.st_mtime_ns) for path, status in found)
