"""One shard of an embedded training set as it is kept: float16 vectors, ids, captions, what was set aside."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from memex_audit.records import SetAside
from memex_audit.whole_file import whole_file

SHARDS = "shards"
KEY = b"memex_audit.shard"
SCHEMA = pa.schema([("id", pa.string()), ("caption", pa.string())])


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFacts:
    """Of which embedder a shard's vectors are, of how many dimensions, and near-copies from which cosine."""

    embedder: str
    dimension: int
    duplicate_similarity: float


def vectors_path(folder: Path, number: int) -> Path:
    """Return where a shard's vectors lie. It is written last: what has it is whole."""
    return folder / SHARDS / f"{number:06}.npy"


def examples_path(folder: Path, number: int) -> Path:
    """Return where a shard's ids and captions lie."""
    return folder / SHARDS / f"{number:06}.parquet"


def write_shard(
    folder: Path,
    number: int,
    *,
    vectors: NDArray[np.float16],
    ids: Sequence[str],
    captions: Sequence[str],
    set_aside: Sequence[SetAside],
    facts: ShardFacts,
) -> None:
    """Write a shard, the vectors last.

    Raises:
        OSError: it cannot be written; then it is not there.
    """
    (folder / SHARDS).mkdir(mode=0o700, parents=True, exist_ok=True)
    known = {**asdict(facts), "set_aside": [[item.what, item.reason] for item in set_aside]}
    schema = SCHEMA.with_metadata({KEY: json.dumps(known).encode()})
    table = pa.table({"id": ids, "caption": captions}, schema=schema)
    # Left from the inside out: the vectors take their place when all else has.
    with (
        whole_file(vectors_path(folder, number)) as partial_vectors,
        whole_file(examples_path(folder, number)) as partial_examples,
    ):
        pq.write_table(table, partial_examples, compression="zstd")
        with partial_vectors.open("wb") as file:
            np.save(file, vectors)
        for partial in (partial_examples, partial_vectors):
            _flush(partial)


def read_shard_facts(folder: Path, number: int) -> tuple[ShardFacts, tuple[SetAside, ...], int]:
    """Return a shard's facts, what was set aside, and its number of examples."""
    with pq.ParquetFile(examples_path(folder, number)) as file:
        known, n = json.loads(file.schema_arrow.metadata[KEY]), file.metadata.num_rows
    set_aside = tuple(SetAside(what=what, reason=reason) for what, reason in known.pop("set_aside"))
    return ShardFacts(**known), set_aside, n


def read_shard_column(folder: Path, number: int, name: str) -> pa.ChunkedArray:
    """Return the ids or the captions of a shard."""
    with pq.ParquetFile(examples_path(folder, number)) as file:
        return file.read(columns=[name]).column(name)


def _flush(path: Path) -> None:
    # Renamed before its bytes are on the disk, a file could be there and empty after a power failure.
    with path.open("rb") as file:
        os.fsync(file.fileno())
