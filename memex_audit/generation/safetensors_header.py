"""Read what a .safetensors file says of itself, and make sure that it is true, before a tensor is read.

A file is eight bytes of length, a header of JSON of that length, and the tensors one after another without a
gap: https://github.com/huggingface/safetensors, "Format".
"""

import json
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memex_audit.errors import UntrustedModel

# The format's own limit, in bytes.
LONGEST_HEADER = 100_000_000
BITS: Mapping[str, int] = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "U8": 8, "I8": 8,
    "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorEntry:
    """One tensor of a file; `begin` and `end` in bytes behind the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def n_numbers(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


def read_header(path: Path) -> tuple[TensorEntry, ...]:
    """Return the tensors of a file, by their place; nothing but the header is read.

    Raises:
        UntrustedModel: the header does not fit the file or itself.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(len(LFS_POINTER))
            if start == LFS_POINTER:
                raise ValueError("a pointer of Git LFS in place of the weights (git lfs pull)")
            length = _header_length(start[:8], size)
            file.seek(8)
            entries = _parse(file.read(length))
        _check_places(entries, size - 8 - length)
    except (OSError, ValueError, RecursionError) as error:
        raise UntrustedModel(
            f"weights must be whole safetensors, got {path} ({_one_line(error)}); copy or download it again."
        ) from error
    return entries


def _header_length(start: bytes, size: int) -> int:
    if len(start) < 8:
        raise ValueError(f"{size} bytes, too few for a header")
    (length,) = struct.unpack("<Q", start)
    if length > size - 8:
        raise ValueError(f"a header of {length:,} bytes in a file of {size:,}")
    if length > LONGEST_HEADER:
        raise ValueError(f"a header of {length:,} bytes, the format allows {LONGEST_HEADER:,}")
    return int(length)


def _parse(header: bytes) -> tuple[TensorEntry, ...]:
    if not header.startswith(b"{"):
        raise ValueError("a header that is no JSON object")
    found = json.loads(header.decode("utf-8"), object_pairs_hook=_without_doubles)
    entries = [_entry(name, value) for name, value in found.items() if name != "__metadata__"]
    return tuple(sorted(entries, key=lambda entry: (entry.begin, entry.end)))


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a header that names something twice")
    return found


def _entry(name: str, value: object) -> TensorEntry:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"tensor {name!r} without a dtype, a shape and two offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise ValueError(f"tensor {name!r} of the unknown dtype {str(dtype)[:40]!r}")
    if not _counts(shape) or not _counts(offsets) or len(offsets) != 2:
        raise ValueError(f"tensor {name!r} with a shape or offsets that are no counts")
    return TensorEntry(name=name, dtype=dtype, shape=tuple(shape), begin=offsets[0], end=offsets[1])


def _counts(values: object) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _check_places(entries: Iterable[TensorEntry], size: int) -> None:
    """Check that each tensor is as long as its dtype and shape say, and begins where the last one ends."""
    at = 0
    for entry in entries:
        if entry.begin != at or entry.end < entry.begin:
            raise ValueError(
                f"tensor {entry.name!r} at bytes {entry.begin:,} to {entry.end:,}, where byte {at:,} is "
                "next: tensors overlap, or leave a gap"
            )
        needed = -(-entry.n_numbers * BITS[entry.dtype] // 8)
        if entry.end - entry.begin != needed:
            raise ValueError(
                f"tensor {entry.name!r} of {entry.end - entry.begin:,} bytes, its dtype {entry.dtype} and "
                f"shape {list(entry.shape)[:8]} take {needed:,}"
            )
        at = entry.end
    if at != size:
        raise ValueError(f"tensors of {at:,} bytes in a file that holds {size:,}")


def _one_line(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "a header of JSON in JSON without end"
    if isinstance(error, UnicodeDecodeError | json.JSONDecodeError):
        return "a header that is no JSON"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return " ".join(str(error).split())[:300]
