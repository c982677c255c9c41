"""Embed a training set shard by shard: examples -> float16 shards, by one process or by many."""

import operator
import time
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from memex_audit.claims import Claims
from memex_audit.errors import EmbedderError, TrainingSetError
from memex_audit.protocols import Embedder, TrainingSet
from memex_audit.records import SetAside, TrainingExample
from memex_audit.training_set.embedded_set import FACTS, write_facts
from memex_audit.training_set.entries import Entry, HasEntries, HoldsEmbeddings
from memex_audit.training_set.shard_files import ShardFacts, examples_path, vectors_path, write_shard
from memex_audit.training_set.vectors import NORM_TOLERANCE, norm_deviation
from memex_audit.whole_file import remove_left_behind

if TYPE_CHECKING:
    from numpy.typing import NDArray

Progress = Callable[[int, int | None], None]

# Entries of a shard: what a process that is killed loses at most. 4 MiB of vectors of 512 dimensions.
SHARD = 4096
# Between looks whether a shard that another process embeds is there.
WAIT_S = 1.0
# A batch ends at whichever comes first: 64 photographs of 12 megapixels would be 2 GB.
BATCH_EXAMPLES, BATCH_BYTES = 64, 128 << 20


class EmbeddedShards:
    """The embeddings of a training set, in shards of SHARD entries each, in the set's own order.

    Shard k is the entries from k * SHARD on, usable or not, so that it does not hang on what is unusable. It
    is there whole or not at all, and any process may write it: of two that write the same one, either will
    do. A set without numbered entries is streamed, by one process; its shards are of SHARD usable examples.

    Args:
        folder: where they are kept, one for each state of a set and embedder (`open_shards` in mining.py).
        training_set: the set.
        content_fingerprint: of the set, kept with what is finished; None takes it from the set.
    """

    def __init__(
        self, folder: Path, training_set: TrainingSet, *, content_fingerprint: str | None = None
    ) -> None:
        self.folder = folder
        self._set = training_set
        self._contents = content_fingerprint
        self._streamed: int | None = None
        self._stat = None if isinstance(training_set, HasEntries) else training_set.stat_fingerprint()

    def numbers(self) -> range:
        """Return the numbers of all shards.

        Raises:
            TrainingSetError: the set has no numbered entries, and cannot be divided.
        """
        return range(-(-self._entries().n_entries // SHARD))

    def missing(self) -> list[int]:
        """Return the numbers of the shards that are not there yet.

        Raises:
            TrainingSetError: as `numbers`.
        """
        # What is finished may be in other shards than these: imported.
        if (self.folder / FACTS).exists():
            return []
        return [number for number in self.numbers() if not self.has(number)]

    def has(self, number: int) -> bool:
        """Whether a shard is there."""
        return vectors_path(self.folder, number).exists()

    def embed(self, number: int, embedder: Embedder, progress: Progress | None = None) -> int:
        """Read, embed and write one shard; return its number of examples. One batch is in memory.

        Args:
            number: of `numbers()`.
            embedder: the embedder.
            progress: called with the number of examples embedded of this shard, and None.

        Raises:
            TrainingSetError: a file of the shard is not as it was when the set was first looked at.
            EmbedderError: the embedder does not keep its contract. Other shards stay.
            OSError: the shard cannot be written.
        """
        entries, first = self._entries(), number * SHARD
        last = min(first + SHARD, entries.n_entries)
        self._check_unchanged(first, last)
        shard = _Shard(number, embedder)
        try:
            n = shard.fill(entries.entries(first, last), progress)
        except TrainingSetError:
            # What no longer fits together was changed meanwhile, or was never right.
            self._check_unchanged(first, last)
            raise
        self._check_unchanged(first, last)
        # Who embeds a numbered shard has claimed it.
        for path in (vectors_path(self.folder, number), examples_path(self.folder, number)):
            remove_left_behind(path)
        shard.write(self.folder)
        return n

    def _embed_stream(self, load_embedder: Callable[[], Embedder], progress: Progress | None = None) -> None:
        """Embed a set without numbered entries in one pass, but for the shards that are there."""
        total = operator.length_hint(self._set, 0) or None
        examples = self._set.examples()
        number = n = 0
        while part := list(islice(examples, 1)):
            entries = (Entry(example) for example in _after(part[0], islice(examples, SHARD - 1)))
            if self.has(number):
                n += sum(1 for _ in entries)
            else:
                shard = _Shard(number, load_embedder())
                n += shard.fill(entries, _further(progress, n, total))
                self._check_unchanged()
                shard.write(self.folder)
            number += 1
        self._streamed = number

    def embed_missing(
        self, load_embedder: Callable[[], Embedder], claims: Claims, progress: Progress | None = None
    ) -> None:
        """Embed what nobody has embedded yet; what another process has begun is waited for.

        Args:
            load_embedder: called once, where something is missing.
            claims: those of every process that embeds this set.
            progress: called with the number of entries that are embedded, and of all.

        Raises:
            as `embed`.
        """
        if not isinstance(self._set, HasEntries):
            self._embed_stream(load_embedder, progress)
            return
        loaded = cache(load_embedder)
        while missing := self.missing():
            # Those before it in the row are there by now, or another process is at them.
            n_there = len(self.numbers()) - len(missing)
            n = sum(
                self._embed_one(number, loaded, claims, self._from(progress, n_there + i))
                for i, number in enumerate(missing)
            )
            if n == 0:
                time.sleep(WAIT_S)

    def _from(self, progress: Progress | None, n_shards: int) -> Progress | None:
        """Return the progress of the next shard, where so many are done."""
        total = self._entries().n_entries
        return _further(progress, min(total, SHARD * n_shards), total)

    def _embed_one(
        self, number: int, load: Callable[[], Embedder], claims: Claims, progress: Progress | None
    ) -> bool:
        """Embed a shard, unless another process does, or has."""
        with claims.attempt(claim_of(self.folder, number)) as had:
            if not had or self.has(number):
                return False
            self.embed(number, load(), progress)
            return True

    def finish(self) -> None:
        """Check the shards together, and write what makes them an embedded set.

        Raises:
            TrainingSetError: a shard is missing, the set changed, no example can be used, or two have the
                same id.
            EmbedderError: the shards are of different embedders.
            OSError: it cannot be written.
        """
        if (self.folder / FACTS).exists():
            return
        if self._streamed is not None:
            self._finish(self._streamed, self._set.set_aside)
            return
        if missing := self.missing():
            raise TrainingSetError(
                f"Every shard of {self._set.location} must be embedded, got none for {len(missing):,} of "
                f"{len(self.numbers()):,}, the first {missing[0]}; embed them."
            )
        self._check_unchanged()
        self._finish(len(self.numbers()), self._entries().faults)

    def _finish(self, n_shards: int, set_aside: tuple[SetAside, ...]) -> None:
        contents = self._contents or self._set.content_fingerprint()
        self._check_unchanged()
        write_facts(self.folder, self._set.location, n_shards, set_aside, contents)

    def _entries(self) -> HasEntries:
        if isinstance(self._set, HasEntries):
            return self._set
        if isinstance(self._set, HoldsEmbeddings):
            raise TrainingSetError(
                f"A training set to embed must hold pictures, got embeddings in {self._set.location}; "
                "`memex mine` and `memex dedupe` read them as they are."
            )
        raise TrainingSetError(
            f"A training set that is embedded in parts must offer n_entries, entries, faults and changed, "
            f"got {type(self._set).__name__} ({self._set.location}); mine it in one process."
        )

    def _check_unchanged(self, first: int = 0, last: int | None = None) -> None:
        if isinstance(self._set, HasEntries):
            what = self._set.changed(first, last)
        else:
            what = None if self._set.stat_fingerprint() == self._stat else "one of its files"
        if what:
            raise TrainingSetError(
                f"The training set {self._set.location} must not change while it is read, got a change of "
                f"{what}; let what writes there end, then run again. What was read of two states is not used."
            )


def claim_of(folder: Path, number: int) -> str:
    """Return the name under which a shard is claimed by who embeds it."""
    return f"{folder.name}-{number:06}"


class _Shard:
    """One shard while it is embedded: float16 vectors and texts, no pictures."""

    def __init__(self, number: int, embedder: Embedder) -> None:
        self._number, self._embedder = number, embedder
        self._vectors: list[NDArray[np.float16]] = []
        self._ids: list[str] = []
        self._captions: list[str] = []
        self._set_aside: list[SetAside] = []

    def fill(self, entries: Iterator[Entry], progress: Progress | None) -> int:
        for batch in _batches(self._examples(entries)):
            self._vectors.append(self._embed(batch).astype(np.float16))
            self._ids += [example.id for example in batch]
            self._captions += [example.caption for example in batch]
            if progress:
                progress(len(self._ids), None)
        return len(self._ids)

    def write(self, folder: Path) -> None:
        empty = np.empty((0, self._embedder.dimension), np.float16)
        write_shard(
            folder,
            self._number,
            vectors=np.concatenate([empty, *self._vectors]),
            ids=self._ids,
            captions=self._captions,
            set_aside=self._set_aside,
            facts=ShardFacts(
                embedder=self._embedder.name,
                dimension=self._embedder.dimension,
                duplicate_similarity=float(self._embedder.duplicate_similarity),
            ),
        )

    def _examples(self, entries: Iterator[Entry]) -> Iterator[TrainingExample]:
        for entry in entries:
            if entry.set_aside:
                self._set_aside.append(entry.set_aside)
            if entry.example:
                yield entry.example

    def _embed(self, batch: list[TrainingExample]) -> "NDArray[np.float32]":
        vectors = self._embedder.embed([example.pixels for example in batch])
        expected, got = (len(batch), self._embedder.dimension), None
        if vectors.shape != expected or vectors.dtype != np.float32:
            got = f"{vectors.dtype} {vectors.shape}"
        # Negated, so that NaN is caught too.
        elif not norm_deviation(vectors) <= NORM_TOLERANCE:
            got = f"norms off by up to {norm_deviation(vectors):.3g}"
        if got:
            raise EmbedderError(
                f"Embedder {self._embedder.name} must give float32 {expected} of unit norm, got {got} in "
                f"shard {self._number} from {batch[0].id!r} on; correct it and run again: other shards stay."
            )
        return vectors


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


def _further(progress: Progress | None, before: int, total: int | None) -> Progress | None:
    return (lambda done, _: progress(before + done, total)) if progress else None


def _after(first: TrainingExample, others: Iterator[TrainingExample]) -> Iterator[TrainingExample]:
    yield first
    yield from others
