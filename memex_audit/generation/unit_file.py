"""One unit file: pictures of one prompt with consecutive numbers, in Parquet.

A unit is written under a temporary name and renamed, so a file with its name was whole. What became of it
since (a full disk under another program, a power cut, a hand) is seen when it is read: pages carry checksums,
and numbers and seeds must be those that the name and the prompt ask for.
"""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from memex_audit.errors import StoreError, UnitDamaged
from memex_audit.records import Generation, GenerationRequest
from memex_audit.whole_file import whole_file

UNIT_VERSION = "1"
SCHEMA = pa.schema(
    [
        ("number", pa.int32()),
        ("seed", pa.int64()),
        ("reason", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("block_sums", pa.list_(pa.uint16())),
        ("pixels", pa.binary()),
    ],
    metadata={"memex_unit": UNIT_VERSION},
)

Summary = Callable[[NDArray[np.uint8]], NDArray[np.uint16]]


def write_unit(
    path: Path, numbers: Sequence[int], generations: Sequence[Generation], summarize: Summary
) -> None:
    """Write pictures with these numbers, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    rows = [_row(number, g, summarize) for number, g in zip(numbers, generations, strict=True)]
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    with whole_file(path) as partial:
        pq.write_table(table, partial, compression="zstd", write_page_checksum=True)


def remove_partial_files(folder: Path) -> None:
    """Remove what a process that was killed left half-written; only under the lock of the folder's prompt."""
    for partial in folder.glob(".*.partial"):
        partial.unlink(missing_ok=True)


def read_unit(path: Path, requests: Sequence[tuple[int, GenerationRequest]], n: int) -> dict[int, Generation]:
    """Return the pictures of a unit by their number, of those below `n`.

    Args:
        path: of the unit.
        requests: each number that its name says it holds, with the request that it answers.
        n: decode only pictures with smaller numbers.

    Raises:
        UnitDamaged: it is not as it was written.
        StoreError: it cannot be read, or is of another version.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise _damaged(path, "another process discarded it") from error
    except OSError as error:
        raise StoreError(
            f"the unit file {path} must be readable, got {error.strerror or error}; check its permissions "
            "and its disk."
        ) from error
    rows = _read_rows(path, data)
    if [(row["number"], row["seed"]) for row in rows] != [(i, request.seed) for i, request in requests]:
        raise _damaged(path, "its pictures are not those that its name says")
    return {
        number: _generation(path, request, row)
        for (number, request), row in zip(requests, rows, strict=True)
        if number < n
    }


def _read_rows(path: Path, data: bytes) -> list[dict[str, Any]]:
    try:
        with pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as file:
            version = (file.schema_arrow.metadata or {}).get(b"memex_unit", b"").decode()
            if version == UNIT_VERSION:
                rows: list[dict[str, Any]] = file.read(columns=SCHEMA.names).to_pylist()
                missing = set(SCHEMA.names) - set(file.schema_arrow.names)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _damaged(path, error) from error
    if version != UNIT_VERSION:
        raise StoreError(
            f"the unit file {path} must be of version {UNIT_VERSION}, got {version!r}: another memex-audit "
            "wrote it; name another store with --memex-store, or delete the folder units in this one."
        )
    if missing:
        raise _damaged(path, f"no column {', '.join(sorted(missing))}")
    return rows


def _row(number: int, generation: Generation, summarize: Summary) -> dict[str, object]:
    row: dict[str, object] = {
        "number": number,
        "seed": generation.request.seed,
        "reason": generation.reason,
    }
    if generation.pixels is not None:
        row["height"], row["width"] = generation.pixels.shape[:2]
        sums = summarize(generation.pixels) if generation.sums is None else generation.sums
        row["block_sums"] = sums.ravel()
        row["pixels"] = _png(generation.pixels)
    elif generation.sums is not None and generation.size is not None:
        row["height"], row["width"] = generation.size
        row["block_sums"] = generation.sums.ravel()
    return row


def _generation(path: Path, request: GenerationRequest, row: dict[str, Any]) -> Generation:
    if row["block_sums"] is None:
        return Generation(request=request, pixels=None, reason=row["reason"])
    if len(row["block_sums"]) % 3:
        raise _damaged(path, f"picture {row['number']} has {len(row['block_sums'])} block sums")
    sums, size = np.array(row["block_sums"], np.uint16).reshape(-1, 3), (row["height"], row["width"])
    pixels = None if row["pixels"] is None else _pixels(path, row)
    return Generation(request=request, pixels=pixels, reason=row["reason"], sums=sums, size=size)


def _pixels(path: Path, row: dict[str, Any]) -> NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(row["pixels"])) as image:
            pixels = np.asarray(image)
    except Exception as error:  # fed with broken bytes a decoder raises what it likes
        raise _damaged(path, f"picture {row['number']}: {error}") from error
    if pixels.shape != (row["height"], row["width"], 3):
        raise _damaged(path, f"picture {row['number']} is of another size")
    return pixels


def _damaged(path: Path, reason: object) -> UnitDamaged:
    found = " ".join(str(reason).split())
    return UnitDamaged(
        f"the unit file {path} must be as it was written, got a damaged one ({found}); delete it and run "
        "again: only its pictures are drawn anew."
    )


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    # Level 1: a third of the time of the default for a tenth more bytes.
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
