"""Read one Parquet file of a training set by row group: its columns, ids, rows and pictures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from memex_audit.errors import TrainingSetError
from memex_audit.table_lines import missing_column
from memex_audit.training_set.set_files import SetFiles

# Rows decoded at a time, and bytes of a column chunk read at a time. Unbuffered, Arrow holds a whole row
# group: 1.75 GB of a file of 1.6 GB that was written as one, against 0.18 GB.
BATCH_ROWS = 64
BUFFER_BYTES = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One file: `name` of `files`, and the names of its columns. `groups`: rows of each row group.

    `caption` is None where there is no such column, and none is needed.
    """

    files: SetFiles
    name: str
    image: str
    caption: str | None
    id: str | None
    groups: tuple[int, ...]

    def open(self) -> pq.ParquetFile:
        """Open the file; the caller closes it."""
        return pq.ParquetFile(self.files.source(self.name), buffer_size=BUFFER_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRow:
    """One row as it stands in the file: `image` and `caption` are None where the cell is."""

    image: bytes | None
    caption: str | None


def open_shard(files: SetFiles, name: str, *, needs_captions: bool = True) -> Shard:
    """Read the footer of a file and find its columns.

    Raises:
        TrainingSetError: the file is no Parquet, or a column is missing or of another type.
    """
    try:
        with pq.ParquetFile(files.source(name)) as file:
            schema, metadata = file.schema_arrow, file.metadata
    except (OSError, pa.ArrowException) as error:
        msg = f"{files.shown(name)} must be a Parquet file, got: {one_line(error)}; fetch it again."
        raise TrainingSetError(msg) from error
    image = _image_column(schema)
    missing = "image" if image is None else missing_column([("text", "caption")], schema.names)
    if image is None or (missing and needs_captions):
        msg = (
            f"{files.shown(name)} must have a column {missing}, got columns "
            f"{', '.join(schema.names) or 'none'}; image is "
            "the file's bytes or a struct<bytes, path>, text the caption."
        )
        raise TrainingSetError(msg)
    caption = None if missing else "text" if "text" in schema.names else "caption"
    if caption and not _is_text(kind := schema.field(caption).type):
        raise TrainingSetError(f"{files.shown(name)} column {caption} must be of type string, got {kind}.")
    groups = tuple(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))
    row_id = "id" if "id" in schema.names else None
    return Shard(files=files, name=name, image=image, caption=caption, id=row_id, groups=groups)


def read_ids(shard: Shard) -> list[str]:
    """Return an id for every row: the `id` column's, or "<file stem>:<row>" where it has none."""
    stem = PurePosixPath(shard.name).stem
    ids: list[object] = [None] * sum(shard.groups)
    if shard.id is not None:
        with shard.open() as file:
            start = 0
            for group, n_rows in enumerate(shard.groups):
                ids[start : start + n_rows] = _read_id_group(file, group, shard.id, n_rows)
                start += n_rows
    return [f"{stem}:{row}" if value is None else str(value) for row, value in enumerate(ids)]


def read_rows(file: pq.ParquetFile, shard: Shard, group: int) -> Iterator[RawRow | str]:
    """Yield the rows of a row group, or the reason why one cannot be used.

    Raises:
        OSError, pyarrow.ArrowException: the rest of the row group cannot be read.
    """
    columns = [shard.image, *([shard.caption] if shard.caption else [])]
    for batch in file.iter_batches(batch_size=BATCH_ROWS, row_groups=[group], columns=columns):
        images = batch.column(shard.image)
        captions = batch.column(shard.caption) if shard.caption else pa.nulls(batch.num_rows)
        for i in range(batch.num_rows):
            try:
                caption = captions[i].as_py()
            except UnicodeDecodeError:
                yield "caption is not UTF-8"
                continue
            yield RawRow(image=image_bytes(images[i]), caption=caption)


def read_image_column(shard: Shard, group: int) -> pa.ChunkedArray:
    """Read the pictures of a row group, still encoded."""
    with shard.open() as file:
        return file.read_row_group(group, columns=[shard.image]).column(shard.image)


def pick_images(shard: Shard, group: int, rows: Sequence[int]) -> dict[int, bytes | None]:
    """Read the pictures in these rows of a row group that is too large to be held."""
    wanted, found, start = set(rows), {}, 0
    with shard.open() as file:
        for batch in file.iter_batches(batch_size=BATCH_ROWS, row_groups=[group], columns=[shard.image]):
            images = batch.column(shard.image)
            for row in wanted.intersection(range(start, start + batch.num_rows)):
                found[row] = image_bytes(images[row - start])
            start += batch.num_rows
    return found


def image_column_bytes(shard: Shard, group: int) -> int:
    """Return the size of a row group's pictures in memory, from the footer."""
    with shard.open() as file:
        row_group = file.metadata.row_group(group)
    chunks = (row_group.column(i) for i in range(row_group.num_columns))
    return sum(c.total_uncompressed_size for c in chunks if c.path_in_schema.split(".")[0] == shard.image)


def image_bytes(cell: pa.Scalar) -> bytes | None:
    """Return the bytes of an image cell, or None where there are none."""
    value = cell.as_py()
    if isinstance(value, dict):
        value = value["bytes"]
    return value if isinstance(value, bytes) else None


def _read_id_group(file: pq.ParquetFile, group: int, column: str, n_rows: int) -> list[object]:
    try:
        values = file.read_row_group(group, columns=[column]).column(column).to_pylist()
    except (OSError, pa.ArrowException, UnicodeDecodeError):
        return [None] * n_rows  # read_rows finds the fault again, and says so
    return list(values)


def _image_column(schema: pa.Schema) -> str | None:
    structs = [f.name for f in schema if pa.types.is_struct(f.type) and "bytes" in {c.name for c in f.type}]
    if "image" in structs:
        return "image"
    if "image" in schema.names and _is_binary(schema.field("image").type):
        return "image"
    return structs[0] if structs else None


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):  # pandas' categories
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def one_line(error: Exception) -> str:
    """Return an error's message without its line breaks: Arrow's have some."""
    return " ".join(str(error).split())
