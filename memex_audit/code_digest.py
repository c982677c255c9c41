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


@cache
def code_digest() -> str:
    """Return SHA-256 over this package's sources, Python, and the libraries that its results rest on."""
    total = hashlib.sha256(platform.python_version().encode())
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        total.update(f"\0{path.relative_to(root).as_posix()}\0".encode())
        total.update(path.read_bytes())
    for name in LIBRARIES:
        with suppress(importlib.metadata.PackageNotFoundError):
            total.update(f"\0{name}=={importlib.metadata.version(name)}".encode())
    return total.hexdigest()
