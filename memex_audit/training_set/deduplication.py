"""Near-copies -> advice what to keep and what to leave out, so that each is learned once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from memex_audit.errors import TrainingSetError
from memex_audit.whole_file import whole_file

# Rows that are written at a time.
ROWS_AT_ONCE = 1 << 16
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
    embeddings: NDArray[np.float32],
    example_ids: Sequence[str],
    counts: NDArray[np.int64],
    groups: NDArray[np.int64],
    *,
    similarity: float,
) -> Iterator[Advice]:
    """Say for every image of a group of near-copies whether to keep it; the largest groups first.

    In each group the image with most near-copies is kept and its near-copies are dropped, then the same is
    done with what is left. So each image that is dropped is a near-copy of one that is kept: groups are
    connected components, and in a chain a-b-c the ends may be different pictures. Costs the number of images
    that are kept times the size of the group, and no memory for pairs.

    Args:
        embeddings: float32 (n, d) of unit norm.
        example_ids: n ids.
        counts: int64 (n,), near-copies of each image, itself included (count_duplicates).
        groups: int64 (n,), of near-copies (group_images).
        similarity: cosine from which on two images are near-copies, in (0, 1].

    Yields:
        Advice for each image of a group of two or more, what is kept before what it stands for.

    >>> chain = np.array([[1, 0], [0.8, 0.6], [0.28, 0.96]], np.float32)
    >>> counts, groups = np.array([2, 3, 2]), np.zeros(3, np.int64)
    >>> [(a.example_id, a.kept) for a in advise(chain, "abc", counts, groups, similarity=0.75)]
    [('b', 'b'), ('a', 'b'), ('c', 'b')]
    """
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    members = np.split(order, starts[1:])
    for rows in sorted(members, key=lambda rows: (-len(rows), rows[0])):
        if len(rows) == 1:
            continue
        # Of as many near-copies, the first by id: the order of the set must not matter.
        first = sorted(rows.tolist(), key=lambda row: (-counts[row], example_ids[row]))
        for kept, near in _cover(np.array(first), embeddings, similarity):
            for row, cosine in near:
                yield Advice(
                    group=int(groups[kept]),
                    example_id=example_ids[row],
                    kept=example_ids[kept],
                    similarity=min(cosine, 1.0),
                    near_copies=int(counts[row]),
                )


def _cover(
    rows: NDArray[np.int64], embeddings: NDArray[np.float32], similarity: float
) -> Iterator[tuple[int, list[tuple[int, float]]]]:
    """Yield the first of some rows with all that are near it, its own cosine first, until none is left."""
    left = rows
    while len(left):
        kept, others = left[0], left[1:]
        cosines = embeddings[others] @ embeddings[kept]
        dropped = cosines >= similarity
        near = zip(others[dropped].tolist(), cosines[dropped].tolist(), strict=True)
        yield int(kept), [(int(kept), 1.0), *near]
        left = others[~dropped]


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
