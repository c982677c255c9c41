"""Read what `clip-retrieval inference` wrote: embeddings (npy) with image paths and captions (Parquet).

Source: rom1504/clip-retrieval, clip_inference/writer.py: img_emb/img_emb_<k>.npy, of the same rows as
metadata/metadata_<k>.parquet, k from 0, padded with zeros.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from memex_audit.errors import EmbedderError, TrainingSetError
from memex_audit.training_set.parquet_shard import one_line

VECTORS, METADATA = "img_emb", "metadata"
IMAGE, CAPTION = "image_path", "caption"
# Rows read at a time: a shard of the embeddings that are made of them.
ROWS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Some rows: `vectors` float32 (n, d) of unit norm, their image paths, and captions, "" where unknown."""

    vectors: NDArray[np.float32]
    images: tuple[str, ...]
    captions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The files of one number."""

    vectors: Path
    metadata: Path


def is_clip_retrieval(folder: Path) -> bool:
    """Whether a folder holds embeddings of clip-retrieval."""
    return any((folder / VECTORS).glob("*.npy"))


class ClipRetrievalFiles:
    """A folder that `clip-retrieval inference` wrote.

    Args:
        folder: it holds img_emb and metadata.

    Raises:
        TrainingSetError: a file is missing, or is not as clip-retrieval writes it.
        EmbedderError: the embeddings are of several dimensions.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parts = _find_parts(folder)
        arrays = [_open_vectors(part) for part in self.parts]
        self.dimension: int = arrays[0].shape[1]
        self.n_rows = sum(map(len, arrays))
        for (_, one), (part, other) in pairwise(zip(self.parts, arrays, strict=True)):
            if one.shape[1] != other.shape[1]:
                raise EmbedderError(
                    f"Embeddings of {folder} must be of one dimension, got {one.shape[1]} and then "
                    f"{other.shape[1]} in {part.vectors.name}; run clip-retrieval inference with one model."
                )

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """Every file that is read."""
        return tuple(path for part in self.parts for path in (part.vectors, part.metadata))

    def rows(self) -> Iterator[Rows]:
        """Yield all rows, up to ROWS at a time; no more are in memory but the paths of one file.

        Raises:
            TrainingSetError: a metadata file is not as clip-retrieval writes it, or of another length.
            EmbedderError: a vector is none.
        """
        for part in self.parts:
            vectors, table = _open_vectors(part), _read_metadata(part)
            if len(vectors) != table.num_rows:
                raise TrainingSetError(
                    f"{part.metadata} must have a row for each of the {len(vectors):,} embeddings of "
                    f"{part.vectors.name}, got {table.num_rows:,}; run clip-retrieval inference again."
                )
            for start in range(0, len(vectors), ROWS):
                columns = table.slice(start, ROWS)
                yield Rows(
                    vectors=_unit(part, vectors[start : start + ROWS], start),
                    images=tuple(columns.column(IMAGE).to_pylist()),
                    captions=tuple(caption or "" for caption in columns.column(CAPTION).to_pylist()),
                )


def _find_parts(folder: Path) -> tuple[Part, ...]:
    vectors = {_number(path): path for path in (folder / VECTORS).glob("*.npy")}
    metadata = {_number(path): path for path in (folder / METADATA).glob("*.parquet")}
    if not vectors:
        raise TrainingSetError(
            f"{folder} must be what `clip-retrieval inference` wrote, with {VECTORS}/{VECTORS}_0.npy and "
            f"{METADATA}/{METADATA}_0.parquet, got no {VECTORS}/*.npy; give its output folder."
        )
    alone = sorted(vectors.keys() - metadata.keys())
    if alone:
        raise TrainingSetError(
            f"{vectors[alone[0]]} must have the metadata of its rows beside it, got no "
            f"{METADATA}/{METADATA}_{alone[0]}.parquet in {folder}; copy the whole output folder."
        )
    return tuple(Part(vectors=vectors[k], metadata=metadata[k]) for k in sorted(vectors, key=_as_counted))


def _number(path: Path) -> str:
    return path.stem.rpartition("_")[2]


def _as_counted(number: str) -> tuple[int, str]:
    return (int(number) if number.isdigit() else 0, number)


def _open_vectors(part: Part) -> NDArray[np.generic]:
    try:
        vectors: NDArray[np.generic] = np.load(part.vectors, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise TrainingSetError(
            f"{part.vectors} must be an array as NumPy saves it, got: {one_line(error)}; copy it again."
        ) from error
    if vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise EmbedderError(
            f"{part.vectors} must hold floats (n, d), got {vectors.dtype} {vectors.shape}; run "
            "clip-retrieval inference again."
        )
    return vectors


def _read_metadata(part: Part) -> pa.Table:
    try:
        with pq.ParquetFile(part.metadata) as file:
            names = file.schema_arrow.names
            table = file.read(columns=[name for name in (IMAGE, CAPTION) if name in names])
    except (OSError, pa.ArrowException) as error:
        raise TrainingSetError(
            f"{part.metadata} must be a Parquet file, got: {one_line(error)}; copy it again."
        ) from error
    if IMAGE not in names:
        raise TrainingSetError(
            f"{part.metadata} must have a column {IMAGE}, got columns {', '.join(names) or 'none'}; run "
            "clip-retrieval inference with --enable_image True."
        )
    if CAPTION not in names:
        return table.append_column(CAPTION, pa.nulls(table.num_rows, pa.string()))
    return table


def _unit(part: Part, vectors: NDArray[np.generic], start: int) -> NDArray[np.float32]:
    found = vectors.astype(np.float32)
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
    if len(bad):
        row, norm = start + int(bad[0]), float(norms[bad[0], 0])
        raise EmbedderError(
            f"{part.vectors} must hold a vector in every row, got norm {norm} in row {row:,}; run "
            "clip-retrieval inference again."
        )
    found /= norms
    return found
