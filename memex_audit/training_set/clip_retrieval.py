"""Take embeddings that clip-retrieval made: for those of a training set, or for a set without pictures."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from memex_audit.errors import EmbedderError, TrainingSetError
from memex_audit.protocols import Embedder, TrainingSet
from memex_audit.records import SetAside, TrainingExample
from memex_audit.training_set.clip_retrieval_files import ClipRetrievalFiles, Rows
from memex_audit.training_set.embedded_set import FACTS, write_facts
from memex_audit.training_set.embedding import DEFAULT_DUPLICATE_SIMILARITY
from memex_audit.training_set.file_set import FileSet
from memex_audit.training_set.fingerprints import content_fingerprint, stat_fingerprint
from memex_audit.training_set.id_table import IdTable
from memex_audit.training_set.made_once import claims_of, replace_whole, writing
from memex_audit.training_set.mining import folder_of
from memex_audit.training_set.shard_files import ShardFacts, write_shard

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Pictures that are embedded anew to see that imported embeddings are this embedder's, and the smallest median
# cosine to theirs: float16 and another version of Pillow change its third digit, another model its first.
CHECKED, SAME_EMBEDDER = 16, 0.98


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What was imported: `n` examples; `n_without` others of the set have no embedding, `n_unknown` rows are
    of none."""

    n: int
    n_without: int
    n_unknown: int


def import_clip_retrieval(
    folder: Path,
    training_set: TrainingSet,
    load_embedder: Callable[[], Embedder],
    *,
    embedder_name: str,
    cache: Path,
) -> Imported:
    """Take the embeddings in a folder of clip-retrieval for those of a training set.

    A row is of the example whose path, or whose key in its tar, is the end of the row's image_path. Captions
    are those of the rows. A few pictures are read and embedded anew: embeddings of another model are refused.

    Args:
        folder: what `clip-retrieval inference` wrote.
        training_set: the set, as `open_training_set` opens it.
        load_embedder: loads the embedder that made them.
        embedder_name: its name.
        cache: where `mine` looks for embeddings.

    Raises:
        TrainingSetError: a file is missing or broken, no row is of the training set, or it has embeddings.
        EmbedderError: the vectors are not the embedder's.
        StoreError: the cache cannot be written.
    """
    if not isinstance(training_set, FileSet):
        raise TrainingSetError(f"{training_set.location} must be a set of pictures to import embeddings for.")
    source, embedder = ClipRetrievalFiles(folder), load_embedder()
    if source.dimension != embedder.dimension:
        raise EmbedderError(
            f"Embeddings of {folder} must be of {embedder.dimension} dimensions, as those of "
            f"{embedder_name}, got {source.dimension}; name the model that made them with --memex-embedder."
        )
    target = folder_of(training_set, embedder_name, cache)
    ties = _Ties(training_set)
    facts = ShardFacts(
        embedder=embedder.name,
        dimension=embedder.dimension,
        duplicate_similarity=float(embedder.duplicate_similarity),
    )

    def write(partial: Path) -> None:
        n_shards = _write_shards(partial, ties.known(source.rows()), facts)
        if not ties.n_known:
            raise TrainingSetError(ties.why_none(source))
        aside = SetAside(
            what=f"{ties.n_without:,} examples",
            reason="no embedding was imported: near-copies and matches of them are not looked for",
        )
        contents = training_set.content_fingerprint()
        write_facts(partial, training_set.location, n_shards, (aside,) if ties.n_without else (), contents)

    with writing(cache), claims_of(cache).hold([target.name]):
        if (target / FACTS).exists():
            raise TrainingSetError(
                f"{training_set.location} must not be embedded by {embedder_name} yet, got its embeddings in "
                f"{target}: they are used. Delete that folder to import others."
            )
        _check_embedder(source, ties, training_set, embedder)
        replace_whole(target, write)
    return Imported(n=ties.n_known, n_without=ties.n_without, n_unknown=ties.n_unknown)


class ClipRetrievalSet:
    """A TrainingSet of embeddings and captions alone: prompts are mined from it, and nothing is matched.

    An example's id is its image_path, "x#2" where that stands twice.

    Args:
        folder: what `clip-retrieval inference` wrote.

    Raises:
        as ClipRetrievalFiles.
    """

    def __init__(self, folder: Path) -> None:
        self.location = str(folder)
        self.set_aside: tuple[SetAside, ...] = ()
        self._files = ClipRetrievalFiles(folder)
        self._names = [path.relative_to(folder).as_posix() for path in self._files.files]

    def __length_hint__(self) -> int:
        """Return the number of rows."""
        return self._files.n_rows

    def examples(self) -> Iterator[TrainingExample]:
        """Refuse: there are no pictures."""
        raise self.without_pictures()

    def load(self, example_ids: Sequence[str]) -> "list[NDArray[np.uint8]]":
        """Refuse: there are no pictures."""
        del example_ids
        raise self.without_pictures()

    def stat_fingerprint(self) -> str:
        """Return SHA-256 over path, size and time of every file."""
        return stat_fingerprint(self._files.folder, self._names)

    def content_fingerprint(self) -> str:
        """Return SHA-256 over path and contents of every file."""
        return content_fingerprint(self._files.folder, self._names)

    def write_embedded(self, target: Path, embedder_name: str) -> None:
        """Write what `mine` would have made of the pictures, under the name of an embedder.

        Raises:
            TrainingSetError: a file is not as clip-retrieval writes it.
            EmbedderError: a vector is none.
        """
        ids = IdTable([*rows.images] for rows in self._files.rows()).ids
        similarity = DEFAULT_DUPLICATE_SIMILARITY
        facts = ShardFacts(
            embedder=embedder_name, dimension=self._files.dimension, duplicate_similarity=similarity
        )

        def write(partial: Path) -> None:
            n_shards = _write_shards(partial, _renamed(self._files.rows(), ids), facts)
            write_facts(partial, self.location, n_shards, (), self.content_fingerprint())

        replace_whole(target, write)

    def without_pictures(self) -> TrainingSetError:
        """Return the error of whoever asks for a picture."""
        return TrainingSetError(
            f"{self.location} must hold pictures to compare generations with, got embeddings and captions "
            f"alone; mine its prompts with `memex mine {self.location} --out prompts.parquet` and audit them "
            "with --memex-prompts, or give the training set itself."
        )


class _Ties:
    """Which example of a training set each row is of."""

    def __init__(self, training_set: FileSet) -> None:
        self._set = training_set
        self._ids = [name for part in training_set.example_ids() for name in part]
        self._keys = IdTable([[training_set.key_of(name) for name in self._ids]])
        self._taken = np.zeros(len(self._ids), bool)
        self.n_unknown = 0

    @property
    def n_known(self) -> int:
        return int(self._taken.sum())

    @property
    def n_without(self) -> int:
        return len(self._ids) - self.n_known

    def known(self, parts: Iterator[Rows]) -> Iterator[Rows]:
        """Yield the rows that are of an example, under its id; of two rows of one example the first."""
        self._taken[:] = False
        self.n_unknown = 0
        for rows in parts:
            found = [self._take(image) for image in rows.images]
            kept = [place for place, name in enumerate(found) if name is not None]
            self.n_unknown += len(found) - len(kept)
            yield Rows(
                vectors=rows.vectors[kept],
                images=tuple(str(found[place]) for place in kept),
                captions=tuple(rows.captions[place] for place in kept),
            )

    def why_none(self, source: ClipRetrievalFiles) -> str:
        first = next(source.rows()).images
        key = self._set.key_of(self._ids[0]) if self._ids else "none"
        return (
            f"A row of {source.folder} must be of an example of {self._set.location}, got none of "
            f"{source.n_rows:,}: its first image_path is {first[0] if first else 'none'!r}, the set's first "
            f"{key!r}. Give the set that was embedded."
        )

    def _take(self, image: str) -> str | None:
        path = image
        while (row := self._keys.row(path)) is None and "/" in path:
            path = path.partition("/")[2]
        # A key that stands in several tars says not which example is meant.
        if row is None or self._taken[row] or self._keys.row(f"{path}#2") is not None:
            return None
        self._taken[row] = True
        return self._ids[row]


def _check_embedder(
    source: ClipRetrievalFiles, ties: _Ties, training_set: FileSet, embedder: Embedder
) -> None:
    """Refuse embeddings of another model, by those of some pictures."""
    rows = next(ties.known(source.rows()))
    vectors, ids = rows.vectors[:CHECKED], list(islice(rows.images, CHECKED))
    if not ids:
        return
    anew = embedder.embed(training_set.load(ids))
    cosine = float(np.median(np.einsum("nd,nd->n", vectors, anew)))
    if not cosine >= SAME_EMBEDDER:
        raise EmbedderError(
            f"Embeddings of {source.folder} must be those of {embedder.name}, got a median cosine of "
            f"{cosine:.3f} to it on {len(ids)} pictures; name the model that made them with --memex-embedder."
        )


def _renamed(parts: Iterator[Rows], ids: Sequence[str]) -> Iterator[Rows]:
    start = 0
    for rows in parts:
        names = tuple(ids[start : start + len(rows.images)])
        start += len(names)
        yield Rows(vectors=rows.vectors, images=names, captions=rows.captions)


def _write_shards(folder: Path, parts: Iterator[Rows], facts: ShardFacts) -> int:
    n = 0
    for n, rows in enumerate(parts, start=1):
        write_shard(
            folder,
            n - 1,
            vectors=rows.vectors.astype(np.float16),
            ids=rows.images,
            captions=rows.captions,
            set_aside=(),
            facts=facts,
        )
    return n
