"""Keep an embedded training set in a folder: examples -> embeddings, ids, captions, near-copies."""

import json
import operator
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from memex_audit.errors import EmbedderError, TrainingSetError
from memex_audit.protocols import Embedder, TrainingSet
from memex_audit.records import SetAside, TrainingExample
from memex_audit.training_set.vectors import NORM_TOLERANCE, norm_deviation

if TYPE_CHECKING:
    from numpy.typing import NDArray

Progress = Callable[[int, int | None], None]

EMBEDDINGS, EXAMPLES, SET_ASIDE, FACTS = "embeddings.npy", "examples.parquet", "set-aside.jsonl", "facts.json"
# A batch ends at whichever comes first: 64 photographs of 12 megapixels would be 2 GB.
BATCH_EXAMPLES, BATCH_BYTES = 64, 128 << 20


def write_embedded_set(
    folder: Path,
    training_set: TrainingSet,
    embedder: Embedder,
    content_fingerprint: str,
    progress: Progress | None,
) -> None:
    """Stream a training set through an embedder into `folder`; one batch is in memory.

    Raises:
        TrainingSetError: no example can be used, or two have the same id.
        EmbedderError: the embedder does not keep its contract.
    """
    ids: list[str] = []
    captions: list[str] = []
    total = operator.length_hint(training_set, 0) or None
    raw = folder / "embeddings.f32"
    with raw.open("wb") as file:
        for batch in _batches(training_set.examples()):
            vectors = _embed(embedder, batch)
            file.write(np.ascontiguousarray(vectors).data)
            ids += [example.id for example in batch]
            captions += [example.caption for example in batch]
            if progress:
                progress(len(ids), total)
    _check_ids(training_set, ids)
    # The .npy header holds the length, which is known only now.
    np.save(folder / EMBEDDINGS, np.memmap(raw, np.float32, "r", shape=(len(ids), embedder.dimension)))
    raw.unlink()
    pq.write_table(pa.table({"id": ids, "caption": captions}), folder / EXAMPLES)
    lines = [json.dumps({"what": item.what, "reason": item.reason}) for item in training_set.set_aside]
    (folder / SET_ASIDE).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    facts = {
        "embedder": embedder.name,
        "duplicate_similarity": embedder.duplicate_similarity,
        "content_fingerprint": content_fingerprint,
        "n_examples": len(ids),
    }
    (folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def read_embeddings(folder: Path) -> "NDArray[np.float32]":
    """Return float32 (n, d), mapped from the file."""
    embeddings: NDArray[np.float32] = np.load(folder / EMBEDDINGS, mmap_mode="r")
    return embeddings


def write_duplicates(path: Path, counts: "NDArray[np.int64]", groups: "NDArray[np.int64]") -> None:
    """Write each example's duplication count and group, in the order of the examples."""
    pq.write_table(pa.table({"count": counts, "group": groups}), path)


def read_column(path: Path, column: str) -> list[object]:
    """Return one column of a file written here."""
    return list(pq.read_table(path, columns=[column]).column(column).to_pylist())


def _batches(examples: Iterator[TrainingExample]) -> Iterator[list[TrainingExample]]:
    batch: list[TrainingExample] = []
    size = 0
    for example in examples:
        batch.append(example)
        size += example.pixels.nbytes
        if len(batch) == BATCH_EXAMPLES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _embed(embedder: Embedder, batch: list[TrainingExample]) -> "NDArray[np.float32]":
    vectors = embedder.embed([example.pixels for example in batch])
    expected, got = (len(batch), embedder.dimension), None
    if vectors.shape != expected or vectors.dtype != np.float32:
        got = f"{vectors.dtype} {vectors.shape}"
    # Negated, so that NaN is caught too.
    elif not norm_deviation(vectors) <= NORM_TOLERANCE:
        got = f"norms off by up to {norm_deviation(vectors):.3g}"
    if got:
        msg = f"Embedder {embedder.name} must give float32 {expected} of unit norm, got {got}; correct it."
        raise EmbedderError(msg)
    return vectors


def _check_ids(training_set: TrainingSet, ids: list[str]) -> None:
    if not ids:
        set_aside: tuple[SetAside, ...] = training_set.set_aside
        first = f", the first: {set_aside[0].what}: {set_aside[0].reason}" if set_aside else ""
        msg = (
            f"Training set {training_set.location} must hold a picture with a caption, got none "
            f"({len(set_aside)} set aside{first}); check what it should hold."
        )
        raise TrainingSetError(msg)
    if len(set(ids)) < len(ids):
        twice = next(name for name, other in zip(sorted(ids), sorted(ids)[1:], strict=False) if name == other)
        msg = f"Example ids of {training_set.location} must differ, got {twice!r} twice; number them."
        raise TrainingSetError(msg)
