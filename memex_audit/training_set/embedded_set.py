"""Read an embedded training set: shards -> vectors, ids, captions, near-copies; nothing is read whole."""

import json
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from memex_audit.errors import EmbedderError, TrainingSetError
from memex_audit.records import SetAside
from memex_audit.training_set.made_once import reading
from memex_audit.training_set.shard_files import read_shard_column, read_shard_facts, vectors_path
from memex_audit.training_set.texts import Texts
from memex_audit.whole_file import write_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

FACTS, SET_ASIDE = "facts.json", "set-aside.jsonl"
NOTE = b"memex_audit.note"
# Ids compared at a time, 8 bytes each: more are compared in several passes over them.
IDS_AT_A_TIME = 1 << 24
# Shards whose vectors are mapped at a time: of 512 dimensions at most 2 GiB, which count as memory of the
# process and which the system takes back. To map one anew costs as much as to read 100 vectors.
MAPPED = 512


class EmbeddedSet:
    """What `write_facts` finished: `n_examples` in `n_shards` shards below `folder`."""

    def __init__(self, folder: Path) -> None:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        self.folder = folder
        self.lengths: tuple[int, ...] = tuple(facts["shards"])
        self.dimension = int(facts["dimension"])

    @cached_property
    def vectors(self) -> "ShardVectors":
        """The embeddings, in the order of `texts("id")`."""
        return ShardVectors(self.folder, self.lengths, self.dimension)

    def texts(self, column: str) -> Texts:
        """Return the column "id" or "caption" of all examples.

        Raises:
            ValueError: a shard holds another number of them than when the set was finished.
        """
        chunks = [chunk for part in self._columns(column) for chunk in part.chunks]
        return Texts(pa.chunked_array(chunks, pa.string()))

    def _columns(self, column: str) -> Iterator[pa.ChunkedArray]:
        for number, length in enumerate(self.lengths):
            part = read_shard_column(self.folder, number, column)
            if len(part) != length:
                raise ValueError(f"shard {number} holds {len(part):,} examples, not {length:,}")
            yield part


class ShardVectors:
    """Vectors (vectors.py) in float16 shards on disk: float32 of unit norm when they are asked for.

    Rounded to 11 bits, a vector moves by less than 2^-11, and a cosine of two by less than 0.001.
    """

    def __init__(self, folder: Path, lengths: Sequence[int], dimension: int) -> None:
        self.dimension = dimension
        self._starts = np.array([0, *accumulate(lengths)], np.int64)
        self._shard = lru_cache(MAPPED)(lambda number: _map_shard(folder, number, lengths, dimension))

    def __len__(self) -> int:
        return int(self._starts[-1])

    def block(self, start: int, stop: int) -> "NDArray[np.float32]":
        """Return the rows from `start` up to `stop`, float32 (m, d), contiguous, unit norm."""
        return self.take(np.arange(start, min(stop, len(self)), dtype=np.int64))

    def take(self, rows: "NDArray[np.int64]") -> "NDArray[np.float32]":
        """Return these rows, float32 (m, d), contiguous, unit norm."""
        rows = np.asarray(rows, np.int64)
        taken = np.empty((len(rows), self.dimension), np.float16)
        numbers = np.searchsorted(self._starts, rows, side="right") - 1
        order = np.argsort(numbers, kind="stable")
        ends = np.flatnonzero(np.diff(numbers[order], append=-1)) + 1
        start = 0
        for end in ends.tolist():
            places = order[start:end]
            number = int(numbers[places[0]])
            inside = rows[places] - self._starts[number]
            run = inside[-1] - inside[0] == len(inside) - 1 and bool((np.diff(inside) == 1).all())
            shard = self._shard(number)
            taken[places] = shard[inside[0] : inside[-1] + 1] if run else shard[inside]
            start = end
        vectors = taken.astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


def _map_shard(folder: Path, number: int, lengths: Sequence[int], dimension: int) -> "NDArray[np.float16]":
    with reading(folder):
        return _mapped(folder, number, lengths, dimension)


def _mapped(folder: Path, number: int, lengths: Sequence[int], dimension: int) -> "NDArray[np.float16]":
    shard: NDArray[np.float16] = np.load(vectors_path(folder, number), mmap_mode="r")
    if shard.shape != (lengths[number], dimension) or shard.dtype != np.float16:
        expected = (lengths[number], dimension)
        raise ValueError(f"shard {number} holds {shard.dtype} {shard.shape}, not float16 {expected}")
    # Not as np.memmap, whose indexing takes several times as long.
    return shard.view(np.ndarray)


def write_facts(
    folder: Path,
    location: str,
    n_shards: int,
    set_aside: Sequence[SetAside],
    content_fingerprint: str,
) -> None:
    """Make an embedded set of the shards in `folder`; what has facts is finished.

    Raises:
        TrainingSetError: no example can be used, or two have the same id.
        EmbedderError: the shards are of different embedders.
    """
    found = [read_shard_facts(folder, number) for number in range(n_shards)]
    lengths = [n for _, _, n in found]
    aside = [*(item for _, items, _ in found for item in items), *set_aside]
    if not sum(lengths):
        first = f", the first: {aside[0].what}: {aside[0].reason}" if aside else ""
        raise TrainingSetError(
            f"Training set {location} must hold a picture with a caption, got none ({len(aside)} set "
            f"aside{first}); check what it should hold."
        )
    facts = found[0][0]
    other = next((number for number, (its, _, _) in enumerate(found) if its != facts), None)
    if other is not None:
        raise EmbedderError(
            f"Shards of {location} must be of one embedder, got {facts} in shard 0 and {found[other][0]} in "
            f"shard {other}; delete {folder} and embed it again."
        )
    _check_ids(folder, location, n_shards, sum(lengths))
    lines = [json.dumps({"what": item.what, "reason": item.reason}) for item in aside]
    write_whole(folder / SET_ASIDE, "".join(f"{line}\n" for line in lines).encode())
    known = {
        "embedder": facts.embedder,
        "dimension": facts.dimension,
        "duplicate_similarity": facts.duplicate_similarity,
        "content_fingerprint": content_fingerprint,
        "n_examples": sum(lengths),
        "shards": lengths,
    }
    write_whole(folder / FACTS, (json.dumps(known) + "\n").encode())


def _check_ids(folder: Path, location: str, n_shards: int, n: int) -> None:
    """Refuse ids that stand twice, wherever, in memory that does not grow with the set."""
    n_passes = -(-n // IDS_AT_A_TIME)
    for part in range(n_passes):
        # Python's own hash, of 64 bits: another one in every process, the same within this one.
        hashes = np.concatenate([_hashes(folder, k, part, n_passes) for k in range(n_shards)])
        hashes.sort()
        twice = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
        if not twice:
            continue
        seen: set[str] = set()
        for name in (name for k in range(n_shards) for name in _ids(folder, k) if hash(name) in twice):
            if name in seen:
                raise TrainingSetError(
                    f"Example ids of {location} must differ, got {name!r} twice; number them."
                )
            seen.add(name)


def _ids(folder: Path, number: int) -> list[str]:
    return list(read_shard_column(folder, number, "id").to_pylist())


def _hashes(folder: Path, number: int, part: int, n_parts: int) -> "NDArray[np.int64]":
    hashes = np.fromiter(map(hash, _ids(folder, number)), np.int64)
    return hashes if n_parts == 1 else hashes[hashes % n_parts == part]


def write_duplicates(
    path: Path, counts: "NDArray[np.int64]", groups: "NDArray[np.int64]", note: str = ""
) -> None:
    """Write each example's duplication count and group, in the order of the examples.

    `note`: what a report must say of how they were found; empty where there is nothing to say.
    """
    table = pa.table({"count": counts, "group": groups})
    pq.write_table(table.replace_schema_metadata({NOTE: note.encode()}), path)


def read_note(path: Path) -> str:
    """Return the note that `write_duplicates` wrote."""
    noted: bytes = (pq.read_schema(path).metadata or {}).get(NOTE, b"")
    return noted.decode()


def read_numbers(path: Path, column: str) -> "NDArray[np.int64]":
    """Return one column of a file that `write_duplicates` wrote."""
    numbers: NDArray[np.int64] = pq.read_table(path, columns=[column]).column(column).to_numpy()
    return numbers.astype(np.int64, copy=False)
