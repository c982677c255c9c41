"""A training set kept as one or more Parquet files with a Hugging Face image column."""

from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from memex_audit.config import MAX_PIXELS
from memex_audit.errors import TrainingSetError
from memex_audit.picture_bytes import decode_picture
from memex_audit.records import SetAside, TrainingExample
from memex_audit.training_set import fingerprints
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

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Encoded pictures kept between calls of `load`; a row group larger than this is never held.
CACHE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    shard: Shard
    number: int
    n_rows: int


class ParquetSet:
    """A TrainingSet of Parquet files.

    Columns: an image, as struct<bytes, path> or, if its name is image, plain bytes; `text` or `caption`;
    optionally `id`, otherwise an example's id is "<file stem>:<row>". An id that stands on several rows
    is "x", "x#2", "x#3".

    Args:
        root: the folder that holds the files.
        files: their posix paths below it.
        unreadable: what could not even be listed; counted with what is set aside.
        needs_captions: False where prompts come from elsewhere; files may lack the column then. A row
            without a caption is an example in any case, with an empty one.
        max_pixels: a larger picture is set aside.

    Raises:
        TrainingSetError: no file can be used; the message gives the first one's fault.
    """

    def __init__(
        self,
        root: Path,
        files: Sequence[str],
        unreadable: Sequence[SetAside] = (),
        *,
        needs_captions: bool = True,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.location = str(root / files[0] if len(files) == 1 else root)
        self.max_pixels = max_pixels
        self._root, self._files = root, tuple(files)
        shards, faults = [], []
        for name in files:
            try:
                shards.append(open_shard(root, name, needs_captions=needs_captions))
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
        self._set_aside: tuple[SetAside, ...] = self._faults

    def __length_hint__(self) -> int:
        """Return the number of rows, for a progress bar; unusable ones count too."""
        return self._starts[-1]

    @property
    def set_aside(self) -> tuple[SetAside, ...]:
        """What the last full pass of `examples` could not use, and why."""
        return self._set_aside

    def examples(self) -> Iterator[TrainingExample]:
        """Yield every usable example, by file and row; one batch of rows is in memory."""
        set_aside = list(self._faults)
        ids = list(self._positions)
        for group, start in zip(self._groups, self._starts, strict=False):
            for example in _read_group(group, ids[start : start + group.n_rows], self.max_pixels):
                if isinstance(example, SetAside):
                    set_aside.append(example)
                    continue
                if not example.caption.strip():
                    reason = "empty caption" if example.caption else "picture without a caption"
                    set_aside.append(SetAside(what=example.id, reason=reason))
                yield example
        self._set_aside = tuple(set_aside)

    def load(self, example_ids: Sequence[str]) -> "list[NDArray[np.uint8]]":
        """Return the pixels of these examples, in order; only their row groups are read.

        Raises:
            TrainingSetError: an id is not of this set, or its picture can no longer be read.
        """
        wanted: dict[int, list[int]] = {}
        for example_id in example_ids:
            position = self._position(example_id)
            wanted.setdefault(bisect_right(self._starts, position) - 1, []).append(position)
        pictures: dict[int, bytes | None] = {}
        for number, positions in wanted.items():
            pictures |= self._read_pictures(number, positions)
        return [self._decode(i, pictures[self._position(i)]) for i in example_ids]

    def stat_fingerprint(self) -> str:
        """Return SHA-256 over path, size and time of every file."""
        return fingerprints.stat_fingerprint(self._root, self._files)

    def content_fingerprint(self) -> str:
        """Return SHA-256 over path and contents of every file."""
        return fingerprints.content_fingerprint(self._root, self._files)

    @cached_property
    def _positions(self) -> dict[str, int]:
        """Row number of each id, counted over all files; in the order of the rows."""
        positions: dict[str, int] = {}
        seen: Counter[str] = Counter()
        position = 0
        for shard in self._shards:
            for name in read_ids(shard):
                unique = name
                while unique in positions:
                    seen[name] += 1
                    unique = f"{name}#{seen[name] + 1}"
                positions[unique] = position
                position += 1
        return positions

    def _position(self, example_id: str) -> int:
        try:
            return self._positions[example_id]
        except KeyError as error:
            msg = f"Example id must be one of {self.location}, got {example_id!r}; mine the set again."
            raise TrainingSetError(msg) from error

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
            path = group.shard.root / group.shard.name
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

    def _decode(self, example_id: str, data: bytes | None) -> "NDArray[np.uint8]":
        try:
            return decode_picture(data or b"", max_pixels=self.max_pixels)
        except ValueError as error:
            msg = (
                f"{self.location} example {example_id!r} must be a picture, got: {error}; mine the set again."
            )
            raise TrainingSetError(msg) from error


def _read_group(group: _Group, ids: Sequence[str], max_pixels: int) -> Iterator[TrainingExample | SetAside]:
    row = 0
    try:
        with group.shard.open() as file:
            for raw in read_rows(file, group.shard, group.number):
                yield _to_example(ids[row], raw, max_pixels)
                row += 1
    except (OSError, pa.ArrowException) as error:
        what = f"{group.shard.name} row group {group.number}"
        reason = f"unreadable row group: {len(ids) - row} of its {len(ids)} rows are lost, {one_line(error)}"
        yield SetAside(what=what, reason=reason)


def _to_example(example_id: str, raw: RawRow | str, max_pixels: int) -> TrainingExample | SetAside:
    if isinstance(raw, str):
        return SetAside(what=example_id, reason=raw)
    if raw.image is None:
        return SetAside(what=example_id, reason="caption without a picture: the image cell has no bytes")
    try:
        pixels = decode_picture(raw.image, max_pixels=max_pixels)
    except ValueError as error:
        return SetAside(what=example_id, reason=str(error))
    return TrainingExample(id=example_id, caption=raw.caption or "", pixels=pixels)
