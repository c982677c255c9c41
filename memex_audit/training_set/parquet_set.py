"""A training set kept as one or more Parquet files with a Hugging Face image column."""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, islice, pairwise

import pyarrow as pa

from memex_audit.config import MAX_PIXELS
from memex_audit.errors import TrainingSetError
from memex_audit.picture_bytes import decode_picture
from memex_audit.records import SetAside, TrainingExample
from memex_audit.training_set.entries import Entry
from memex_audit.training_set.file_set import FileSet
from memex_audit.training_set.id_table import IdTable
from memex_audit.training_set.parquet_shard import (
    RawRow,
    Shard,
    image_bytes,
    image_column_bytes,
    one_line,
    open_shard,
    pick_images,
    read_ids,
    read_image_column,
    read_rows,
)
from memex_audit.training_set.set_files import SetFiles

# Encoded pictures kept between calls of `load`; a row group larger than this is never held.
CACHE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    shard: Shard
    number: int
    n_rows: int


class ParquetSet(FileSet):
    """A TrainingSet of Parquet files.

    Columns: an image, as struct<bytes, path> or, if its name is image, plain bytes; `text` or `caption`;
    optionally `id`, otherwise an example's id is "<file stem>:<row>". An id that stands on several rows
    is "x", "x#2", "x#3".

    Args:
        files: the Parquet files.
        unreadable: what could not even be listed; counted with what is set aside.
        needs_captions: False where prompts come from elsewhere; files may lack the column then. A row
            without a caption is an example in any case, with an empty one.
        max_pixels: a larger picture is set aside.

    Raises:
        TrainingSetError: no file can be used; the message gives the first one's fault.
    """

    def __init__(
        self,
        files: SetFiles,
        unreadable: Sequence[SetAside] = (),
        *,
        needs_captions: bool = True,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        super().__init__(files, files.names, max_pixels=max_pixels)
        shards, faults = [], []
        for name in files.names:
            try:
                shards.append(open_shard(files, name, needs_captions=needs_captions))
            except TrainingSetError as error:
                faults.append((name, error))
        if not shards:
            raise faults[0][1]
        self._faults = (
            *unreadable,
            *(SetAside(what=name, reason=f"unusable Parquet file: {error}") for name, error in faults),
        )
        self._shards = tuple(shards)
        self._groups = tuple(
            _Group(shard=shard, number=number, n_rows=n_rows)
            for shard in shards
            for number, n_rows in enumerate(shard.groups)
        )
        self._starts = (0, *accumulate(group.n_rows for group in self._groups))
        self._cache: OrderedDict[int, pa.ChunkedArray] = OrderedDict()

    @property
    def n_entries(self) -> int:
        """How many rows there are."""
        return self._starts[-1]

    @property
    def faults(self) -> tuple[SetAside, ...]:
        """Files that cannot be listed or opened."""
        return self._faults

    def entries(self, first: int, last: int) -> Iterator[Entry]:
        """Yield the rows by file and place in it; one batch of rows is in memory.

        A row group is read from its first row on, whatever of it is wanted.
        """
        for number in range(bisect_right(self._starts, first) - 1, len(self._groups)):
            start, stop = self._starts[number], self._starts[number + 1]
            if start >= last:
                return
            rows = range(max(first, start) - start, min(last, stop) - start)
            ids = self._ids.ids[start + rows.start : start + rows.stop]
            yield from _read_group(self._groups[number], rows, ids, self.max_pixels)

    def example_ids(self) -> Iterator[Sequence[str]]:
        """Yield the ids of all rows, a row group at a time."""
        yield from (self._ids.ids[start:stop] for start, stop in pairwise(self._starts))

    @cached_property
    def _ids(self) -> IdTable:
        return IdTable(map(read_ids, self._shards))

    def _encoded(self, example_ids: Sequence[str]) -> list[bytes]:
        """Return the files of these pictures; only their row groups are read."""
        places = {example_id: self._position(example_id) for example_id in example_ids}
        wanted: dict[int, list[int]] = {}
        for position in places.values():
            wanted.setdefault(bisect_right(self._starts, position) - 1, []).append(position)
        pictures: dict[int, bytes | None] = {}
        for number, positions in wanted.items():
            pictures |= self._read_pictures(number, positions)
        return [pictures[places[name]] or b"" for name in example_ids]

    def _files_of(self, first: int, last: int) -> Iterator[int]:
        names = {
            self._groups[number].shard.name
            for number in range(bisect_right(self._starts, first) - 1, len(self._groups))
            if self._starts[number] < last
        }
        return (place for place, name in enumerate(self._names) if name in names)

    def _position(self, example_id: str) -> int:
        position = self._ids.row(example_id)
        if position is None:
            raise self._unknown(example_id)
        return position

    def _read_pictures(self, number: int, positions: list[int]) -> dict[int, bytes | None]:
        group, start = self._groups[number], self._starts[number]
        try:
            if image_column_bytes(group.shard, group.number) > CACHE_BYTES:
                rows = [position - start for position in positions]
                found = pick_images(group.shard, group.number, rows)
                return {start + row: data for row, data in found.items()}
            column = self._cached_column(number)
            return {position: image_bytes(column[position - start]) for position in positions}
        except (OSError, pa.ArrowException) as error:
            path = group.shard.files.shown(group.shard.name)
            msg = f"{path} row group {group.number} cannot be read: {one_line(error)}; mine the set again."
            raise TrainingSetError(msg) from error

    def _cached_column(self, number: int) -> pa.ChunkedArray:
        if number not in self._cache:
            group = self._groups[number]
            self._cache[number] = read_image_column(group.shard, group.number)
        self._cache.move_to_end(number)
        while len(self._cache) > 1 and sum(column.nbytes for column in self._cache.values()) > CACHE_BYTES:
            self._cache.popitem(last=False)
        return self._cache[number]


def _read_group(group: _Group, rows: range, ids: Sequence[str], max_pixels: int) -> Iterator[Entry]:
    """Yield these rows of a row group; what cannot be read of it is one reason, and no entry is missing."""
    done = 0
    try:
        with group.shard.open() as file:
            for raw in islice(read_rows(file, group.shard, group.number), rows.start, rows.stop):
                yield _to_entry(ids[done], raw, max_pixels)
                done += 1
    except (OSError, pa.ArrowException) as error:
        what, lost = f"{group.shard.name} row group {group.number}", len(rows) - done
        reason = f"unreadable row group: {lost} of its {group.n_rows} rows are lost, {one_line(error)}"
        yield Entry(None, SetAside(what=what, reason=reason))
        yield from [Entry(None)] * (lost - 1)


def _to_entry(example_id: str, raw: RawRow | str, max_pixels: int) -> Entry:
    if isinstance(raw, str):
        return Entry(None, SetAside(what=example_id, reason=raw))
    if raw.image is None:
        reason = "caption without a picture: the image cell has no bytes"
        return Entry(None, SetAside(what=example_id, reason=reason))
    try:
        pixels = decode_picture(raw.image, max_pixels=max_pixels)
    except ValueError as error:
        return Entry(None, SetAside(what=example_id, reason=str(error)))
    caption = raw.caption or ""
    without = None
    if not caption.strip():
        reason = "empty caption" if caption else "picture without a caption"
        without = SetAside(what=example_id, reason=reason)
    return Entry(TrainingExample(id=example_id, caption=caption, pixels=pixels), without)
