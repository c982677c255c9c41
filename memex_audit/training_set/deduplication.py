"""Near-copies -> advice what to keep and what to leave out, so that each is learned once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from memex_audit.errors import TrainingSetError
from memex_audit.training_set.vectors import as_vectors
from memex_audit.whole_file import whole_file

if TYPE_CHECKING:
    from memex_audit.training_set.vectors import Vectors

# Rows that are written at a time, and vectors that are in memory at a time.
ROWS_AT_ONCE, VECTORS_AT_ONCE = 1 << 16, 1 << 14
SCHEMA = pa.schema(
    [
        ("group", pa.int64()),
        ("example_id", pa.string()),
        ("action", pa.string()),
        ("kept_example_id", pa.string()),
        ("similarity", pa.float32()),
        ("near_copies", pa.int64()),
        ("reason", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to do with one image of a group of near-copies.

    `kept`: the image that stands for it, itself where it is to be kept; `similarity`: their cosine;
    `near_copies`: how many images it is a near-copy of, itself included.
    """

    group: int
    example_id: str
    kept: str
    similarity: float
    near_copies: int

    @property
    def keep(self) -> bool:
        """Whether it is to be kept."""
        return self.example_id == self.kept

    @property
    def reason(self) -> str:
        """Say why, for whoever reads the file."""
        if self.keep:
            return "kept: no image that is kept is a near-copy of it"
        return f"a near-copy of {self.kept}, which is kept: cosine {self.similarity:.4f}"


def advise(
    embeddings: "Vectors | NDArray[np.float32]",
    example_ids: Sequence[str],
    counts: NDArray[np.int64],
    groups: NDArray[np.int64],
) -> Iterator[Advice]:
    """Say for every image that has near-copies whether to keep it; the largest groups first.

    The leader of each group is kept: the image with most near-copies. All others of the group are its
    near-copies and are dropped, so that no image that is kept is a near-copy of another. An image whose
    near-copies all follow other leaders is a group by itself, and kept.

    Args:
        embeddings: n unit vectors.
        example_ids: n ids.
        counts: int64 (n,), near-copies of each image, itself included (find_duplicates).
        groups: int64 (n,), of near-copies (find_duplicates).

    Yields:
        Advice for each image of a group of two or more or with near-copies, what is kept before what it
        stands for.

    >>> chain = np.array([[1, 0], [0.8, 0.6], [0.28, 0.96]], np.float32)
    >>> counts, groups = np.array([2, 3, 2]), np.zeros(3, np.int64)
    >>> [(a.example_id, a.kept) for a in advise(chain, "abc", counts, groups)]
    [('b', 'b'), ('a', 'b'), ('c', 'b')]
    """
    vectors = as_vectors(embeddings)
    for rows in _largest_first(counts, groups):
        # Of as many near-copies, the first by id: the order of the set must not matter.
        ordered = sorted(rows.tolist(), key=lambda row: (-counts[row], example_ids[row]))
        kept = vectors.take(np.array(ordered[:1], np.int64))[0]
        for start in range(0, len(ordered), VECTORS_AT_ONCE):
            some = ordered[start : start + VECTORS_AT_ONCE]
            cosines = (vectors.take(np.array(some, np.int64)) @ kept).tolist()
            for row, cosine in zip(some, cosines, strict=True):
                yield Advice(
                    group=int(groups[row]),
                    example_id=example_ids[row],
                    kept=example_ids[ordered[0]],
                    similarity=1.0 if row == ordered[0] else min(cosine, 1.0),
                    near_copies=int(counts[row]),
                )


def _largest_first(counts: NDArray[np.int64], groups: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of each group in which there is a near-copy, the largest group first."""
    rows = np.flatnonzero(counts > 1)
    rows = rows[np.argsort(groups[rows], kind="stable")]
    starts = np.flatnonzero(np.diff(groups[rows], prepend=-1))
    sizes = np.diff(starts, append=len(rows))
    for place in np.lexsort((rows[starts], -sizes)).tolist():
        yield rows[starts[place] : starts[place] + sizes[place]]


def write_advice(path: Path, advice: Iterator[Advice]) -> tuple[int, int]:
    """Write advice as Parquet, a row an image, and count the groups and what is to be dropped.

    Raises:
        TrainingSetError: the file cannot be written; what stood there before still does.
    """
    n_dropped, groups = 0, set()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial, pq.ParquetWriter(partial, SCHEMA) as writer:
            rows: list[Advice] = []
            for one in advice:
                groups.add(one.group)
                n_dropped += not one.keep
                rows.append(one)
                if len(rows) == ROWS_AT_ONCE:
                    writer.write_table(_table(rows))
                    rows = []
            writer.write_table(_table(rows))
    except OSError as error:
        raise TrainingSetError(
            f"the advice {path} must be writable, got {error.strerror or error}; write it elsewhere."
        ) from error
    return len(groups), n_dropped


def _table(rows: Sequence[Advice]) -> pa.Table:
    return pa.table(
        {
            "group": [one.group for one in rows],
            "example_id": [one.example_id for one in rows],
            "action": ["keep" if one.keep else "drop" for one in rows],
            "kept_example_id": [one.kept for one in rows],
            "similarity": np.array([one.similarity for one in rows], np.float32),
            "near_copies": [one.near_copies for one in rows],
            "reason": [one.reason for one in rows],
        },
        schema=SCHEMA,
    )
