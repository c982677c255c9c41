"""One unit: pictures of one prompt with consecutive numbers, as an Arrow stream of one batch.

Arrow's own bytes, so that reading a unit without pixels takes no more than finding its columns: as Parquet it
took ten times as long. What became of a unit since it was written is seen when it is read: its pack has a
checksum, and its numbers and seeds must be those that the manifest and the prompt ask for.
"""

import io
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from memex_audit.errors import StoreError
from memex_audit.records import Generation, GenerationRequest

UNIT_VERSION = "2"
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


def encode_unit(numbers: Sequence[int], generations: Sequence[Generation], summarize: Summary) -> bytes:
    """Return the bytes of a unit of pictures with these numbers."""
    rows = [_row(number, g, summarize) for number, g in zip(numbers, generations, strict=True)]
    return encode_table(pa.Table.from_pylist(rows, schema=SCHEMA))


def encode_table(table: pa.Table) -> bytes:
    """Return the bytes of a unit, of its table in the columns of SCHEMA."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_stream(sink, SCHEMA, options=options) as writer:
        writer.write_table(table.combine_chunks())
    return bytes(sink.getvalue())


def decode_unit(
    unit: bytes, requests: Sequence[tuple[int, GenerationRequest]], n: int
) -> dict[int, Generation]:
    """Return the pictures of a unit by their number, of those below `n`.

    Args:
        unit: its bytes.
        requests: each number that it must hold, with the request that it answers.
        n: decode only pictures with smaller numbers.

    Raises:
        ValueError: it holds something else; the message is the reason.
        StoreError: it is of another version.
    """
    batch = _batch(unit)
    columns = {name: batch.column(name) for name in ("number", "seed", "height", "width")}
    held = zip(columns["number"].to_pylist(), columns["seed"].to_pylist(), strict=True)
    if list(held) != [(number, request.seed) for number, request in requests]:
        raise ValueError("its pictures are not those that its manifest says")
    sizes = list(zip(columns["height"].to_pylist(), columns["width"].to_pylist(), strict=True))
    return {
        number: _generation(batch, row, request, sizes[row])
        for row, (number, request) in enumerate(requests)
        if number < n
    }


def check_unit(unit: bytes, first: int, last: int) -> None:
    """Decode a whole unit without knowing its prompt: all is checked but what its seeds should be.

    Raises:
        ValueError: it does not hold pictures number `first` to `last`; the message is the reason.
        StoreError: it is of another version.
    """
    seeds = _batch(unit).column("seed").to_pylist()
    if None in seeds:
        raise ValueError("a picture has no seed")
    numbers = range(first, last + 1)
    if len(seeds) != len(numbers):
        raise ValueError("its pictures are not those that its manifest says")
    requests = [GenerationRequest(prompt="", seed=seed) for seed in seeds]
    decode_unit(unit, list(zip(numbers, requests, strict=True)), last + 1)


def pixels_in(unit: bytes) -> int:
    """Return how many pictures of a unit have pixels.

    Raises:
        ValueError, StoreError: as `decode_unit`.
    """
    column = _batch(unit).column("pixels")
    return int(len(column) - column.null_count)


def reduced_in(unit: bytes) -> list[bool]:
    """Return of each picture of a unit whether it is reduced: its block sums are there, not its pixels.

    Raises:
        ValueError, StoreError: as `decode_unit`.
    """
    batch = _batch(unit)
    pixels, sums = (batch.column(name).is_valid().to_pylist() for name in ("pixels", "block_sums"))
    return [has_sums and not has_pixels for has_pixels, has_sums in zip(pixels, sums, strict=True)]


def without_pixels(unit: bytes) -> bytes:
    """Return a unit whose pictures are reduced to their block sums.

    Raises:
        ValueError, StoreError: as `decode_unit`.
    """
    batch = _batch(unit)
    none = pa.nulls(len(batch), SCHEMA.field("pixels").type)
    columns = [none if name == "pixels" else batch.column(name) for name in SCHEMA.names]
    return encode_table(pa.Table.from_arrays(columns, schema=SCHEMA))


def _batch(unit: bytes) -> pa.RecordBatch:
    try:
        with pa.ipc.open_stream(pa.py_buffer(unit)) as stream:
            version = (stream.schema.metadata or {}).get(b"memex_unit", b"").decode()
            missing = set(SCHEMA.names) - set(stream.schema.names)
            batch = None if version != UNIT_VERSION or missing else stream.read_next_batch()
    except (OSError, StopIteration, pa.ArrowException) as error:
        raise ValueError(str(error)) from error
    if version != UNIT_VERSION:
        raise StoreError(
            f"a unit of the store must be of version {UNIT_VERSION}, got {version!r}: another memex-audit "
            "wrote it; name another store with --memex-store."
        )
    if missing:
        raise ValueError(f"no column {', '.join(sorted(missing))}")
    return batch


def _row(number: int, generation: Generation, summarize: Summary) -> dict[str, object]:
    row: dict[str, object] = {
        "number": number,
        "seed": generation.request.seed,
        "reason": generation.reason,
    }
    if generation.pixels is not None:
        row["height"], row["width"] = generation.pixels.shape[:2]
        # Made here, whatever a generator says of its picture: they are the record.
        row["block_sums"] = summarize(generation.pixels).ravel()
        row["pixels"] = _png(generation.pixels)
    elif generation.sums is not None and generation.size is not None:
        row["height"], row["width"] = generation.size
        row["block_sums"] = generation.sums.ravel()
    return row


def _generation(
    batch: pa.RecordBatch, row: int, request: GenerationRequest, size: tuple[int, int]
) -> Generation:
    reason = batch.column("reason")[row].as_py()
    values = batch.column("block_sums")[row].values
    if values is None:
        return Generation(request=request, pixels=None, reason=reason)
    if len(values) % 3:
        raise ValueError(f"a picture has {len(values)} block sums")
    data = batch.column("pixels")[row].as_buffer()
    pixels = None if data is None else _pixels(data, size)
    sums = values.to_numpy().reshape(-1, 3)
    return Generation(request=request, pixels=pixels, reason=reason, sums=sums, size=size)


def _pixels(data: pa.Buffer, size: tuple[int, int]) -> NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(data)) as image:
            pixels = np.asarray(image)
    except Exception as error:  # fed with broken bytes a decoder raises what it likes
        raise ValueError(f"a picture: {error}") from error
    if pixels.shape != (*size, 3):
        raise ValueError("a picture is of another size")
    return pixels


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    # Level 1: a third of the time of the default for a tenth more bytes.
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
