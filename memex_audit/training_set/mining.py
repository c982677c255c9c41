"""Mine a training set once: examples -> embeddings -> near-copies -> audit prompts, cached."""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from memex_audit.config import MAX_PIXELS
from memex_audit.errors import ConfigurationError, TrainingSetError
from memex_audit.protocols import Embedder, Index, TrainingSet
from memex_audit.records import AuditPrompt, PromptSet, SetAside
from memex_audit.training_set.entries import HoldsEmbeddings
from memex_audit.training_set.index import IndexKind, JoinKind, build_index, choose_join
from memex_audit.training_set.made_once import claims_of, make_once, reading, writing
from memex_audit.training_set.prompt_files import read_prompt_file
from memex_audit.training_set.prompts import normalize, select_from

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from memex_audit.training_set.caption_table import CaptionTable
    from memex_audit.training_set.embedded_set import EmbeddedSet, ShardVectors
    from memex_audit.training_set.embedding_shards import EmbeddedShards, Progress

# Part of every key: a new layout of the cache, or new rules for what is in it, must not read an old one.
FORMAT = 4
# Of a folder of embeddings: what has it is finished. Spelled here for a warm cache, which loads no more.
FACTS = "facts.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class MinedSet:
    """A mined training set; everything but `prompts` stays on disk until asked for.

    `similarity`: cosine from which on two images counted as near-copies; `join`: how they were found;
    `content_fingerprint`: SHA-256 over the set's contents, computed once; `folder`: where the cache keeps it.
    """

    prompts: PromptSet
    similarity: float
    embedder_name: str
    content_fingerprint: str
    folder: Path
    join: JoinKind

    def load_vectors(self) -> "ShardVectors":
        """Return the embeddings in the order of `load_example_ids`; they stay on disk until asked for."""
        with reading(self.folder):
            return _embedded(self.folder).vectors

    def load_embeddings(self) -> "NDArray[np.float32]":
        """Return all embeddings in memory, float32 (n, d): 2 GB a million of them. See `load_vectors`."""
        with reading(self.folder):
            vectors = _embedded(self.folder).vectors
            return vectors.block(0, len(vectors))

    def load_example_ids(self) -> Sequence[str]:
        """Return the id of every example of the set."""
        with reading(self.folder):
            return _embedded(self.folder).texts("id")

    def load_uncaptioned_ids(self) -> tuple[str, ...]:
        """Return the id of every example that has no caption."""
        with reading(self.folder):
            embedded = _embedded(self.folder)
            ids, captions = embedded.texts("id"), embedded.texts("caption")
            rows = [row for row, caption in enumerate(captions) if not normalize(caption)]
            return tuple(ids[row] for row in rows)

    def load_groups(self) -> dict[str, int]:
        """Return the number of each example's group of near-copies, by its id."""
        _, groups = self.load_duplicates()
        return dict(zip(self.load_example_ids(), groups.tolist(), strict=True))

    def load_duplicates(self) -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
        """Return each example's number of near-copies and its group, each int64 (n,)."""
        from memex_audit.training_set.embedded_set import read_numbers

        with reading(self.folder):
            path = _duplicates(self.folder, self.similarity, self.join)
            return read_numbers(path, "count"), read_numbers(path, "group")

    def load_note(self) -> str:
        """Return what a report must say of how near-copies were found; empty where all were compared."""
        from memex_audit.training_set.embedded_set import read_note

        with reading(self.folder):
            return read_note(_duplicates(self.folder, self.similarity, self.join))

    def load_prompts(self, prompt_ids: Collection[str]) -> tuple[AuditPrompt, ...]:
        """Return the prompts of these ids that are captions of the set, with all images under each."""
        digest = _key(*sorted(prompt_ids))
        listed = self.folder / f"listed-{_searched(self.similarity, self.join)}-{digest}.parquet"

        def select(partial: Path) -> None:
            from memex_audit.training_set.prompt_table import write_table

            with reading(self.folder):
                duplicates = _duplicates(self.folder, self.similarity, self.join)
                table = _caption_table(self.folder, duplicates)
                found = tuple(table.record(prompt) for prompt in table.find(prompt_ids).tolist())
            write_table(partial, replace(self.prompts, prompts=found, strata=(), set_aside=()))

        make_once(listed, select)
        with reading(self.folder):
            return read_prompt_file(listed).prompts

    def load_index(self, *, kind: IndexKind | None = None) -> Index:
        """Build an exact index over all examples; `kind` as in `build_index`."""
        return build_index(self.load_vectors(), self.load_example_ids(), kind=kind)


def mine(
    training_set: TrainingSet,
    embedder: Callable[[], Embedder],
    *,
    embedder_name: str,
    cache: Path,
    max_prompts: int,
    seed: int,
    similarity: float | None = None,
    join: JoinKind | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> MinedSet:
    """Find the near-copies of a training set and select the prompts to audit.

    What was computed once for the contents of this set and this embedder is read from `cache`; a warm one
    loads no embedder, and reads the files of the set only where their paths, sizes or times are others. One
    process computes, and others wait; one that is killed loses at most a shard of embeddings.

    Args:
        training_set: the set.
        embedder: loads the embedder; called only where embeddings are missing.
        embedder_name: its name, part of the cache's key.
        cache: a folder, made if need be.
        max_prompts: at least 1.
        seed: of the random sample where nothing is duplicated.
        similarity: cosine in (0, 1] from which on two images are near-copies; None is the embedder's own.
        join: how near-copies are found, as in `find_duplicates`; None chooses by size.
        progress: called with the number of embedded examples, and of all where that is known.

    Raises:
        ConfigurationError: `max_prompts` or `similarity` cannot be used.
        TrainingSetError: no example can be used, or `join` misses too many near-copies.
        EmbedderError: the embedder cannot be loaded, or breaks its contract.
        StoreError: the cache cannot be written, or is damaged.
    """
    _check_options(max_prompts, similarity)
    folder = folder_of(training_set, embedder_name, cache)
    if not (folder / FACTS).exists():
        with writing(cache), claims_of(cache).hold([folder.name]):
            if (folder / FACTS).exists():
                pass  # by another process, while this one waited
            elif isinstance(training_set, HoldsEmbeddings):
                training_set.write_embedded(folder, embedder_name)
            else:
                _embed(
                    open_shards(training_set, embedder_name=embedder_name, cache=cache), embedder, progress
                )
    with reading(folder):
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        threshold = float(facts["duplicate_similarity"] if similarity is None else similarity)
        content_fingerprint = str(facts["content_fingerprint"])
        join = choose_join(int(facts["n_examples"]), join)
    duplicates = _duplicates(folder, threshold, join)
    selected = folder / f"audit-set-{_searched(threshold, join)}-{max_prompts}-{seed}.parquet"

    def select(partial: Path) -> None:
        from memex_audit.training_set.prompt_table import write_table

        make_once(duplicates, lambda path: _join(folder, path, threshold, join))
        with reading(folder):
            prompts = _select(folder, duplicates, max_prompts, seed)
        write_table(partial, prompts)

    make_once(selected, select)
    with reading(folder):
        prompts = replace(read_prompt_file(selected), set_aside=_read_set_aside(folder))
    return MinedSet(
        prompts=prompts,
        similarity=threshold,
        embedder_name=embedder_name,
        content_fingerprint=content_fingerprint,
        folder=folder,
        join=join,
    )


def is_mined(training_set: TrainingSet, *, embedder_name: str, cache: Path) -> bool:
    """Whether `mine` would read the embeddings of this set from `cache`, and soon be done."""
    if not _remembered_contents(training_set.stat_fingerprint(), cache).is_file():
        return False
    return (folder_of(training_set, embedder_name, cache) / FACTS).is_file()


def open_shards(training_set: TrainingSet, *, embedder_name: str, cache: Path) -> "EmbeddedShards":
    """Return the shards of embeddings that `mine` reads, for those that are to be made beforehand.

    Raises:
        TrainingSetError: the set changes.
        StoreError: as `mine`.
    """
    from memex_audit.training_set.embedding_shards import EmbeddedShards

    contents = _contents_of(training_set, cache)
    folder = cache / _embedded_key(training_set, contents, embedder_name)
    return EmbeddedShards(folder, training_set, content_fingerprint=contents)


def _embed(shards: "EmbeddedShards", embedder: Callable[[], Embedder], progress: "Progress | None") -> None:
    """Embed what is missing. One process does, and others wait; those that take parts of it take theirs."""
    shards.embed_missing(embedder, claims_of(shards.folder.parent), progress)
    shards.finish()


def folder_of(training_set: TrainingSet, embedder_name: str, cache: Path) -> Path:
    """Return where `mine` keeps the embeddings of a training set by an embedder.

    Raises:
        TrainingSetError: the set changes.
        StoreError: as `mine`.
    """
    return cache / _embedded_key(training_set, _contents_of(training_set, cache), embedder_name)


def _embedded_key(training_set: TrainingSet, contents: str, embedder_name: str) -> str:
    # Which pictures of the same contents are set aside depends on the limit; a user's own set may have none.
    return _key(contents, embedder_name, str(getattr(training_set, "max_pixels", MAX_PIXELS)))


def _check_options(max_prompts: int, similarity: float | None) -> None:
    if max_prompts < 1:
        msg = f"`max_prompts` must be at least 1, got {max_prompts}; an audit needs prompts."
        raise ConfigurationError(msg)
    if similarity is not None and not 0 < similarity <= 1:
        msg = (
            f"`similarity` must be in (0, 1], got similarity={similarity}. It is a cosine; larger is closer."
        )
        raise ConfigurationError(msg)


def _contents_of(training_set: TrainingSet, cache: Path) -> str:
    """Return the content fingerprint, remembered for files of the same paths, sizes and times.

    A fresh checkout or download gives every file another time, and must not be embedded again.
    """
    before = training_set.stat_fingerprint()
    remembered = _remembered_contents(before, cache)

    def note(path: Path) -> None:
        contents = training_set.content_fingerprint()
        if training_set.stat_fingerprint() != before:
            raise TrainingSetError(
                f"The training set {training_set.location} must not change while it is read, got another "
                "size or time of one of its files; let what writes there end, then run again."
            )
        path.write_text(contents, encoding="utf-8")

    make_once(remembered, note)
    with reading(remembered):
        contents = remembered.read_text(encoding="utf-8")
        if not re.fullmatch("[0-9a-f]{64}", contents):
            raise ValueError("no SHA-256")
    return contents


def _remembered_contents(stat_fingerprint: str, cache: Path) -> Path:
    return cache / f"{_key(stat_fingerprint)}.contents"


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join((str(FORMAT), *parts)).encode()).hexdigest()[:24]


def _searched(similarity: float, join: JoinKind) -> str:
    return repr(similarity) if join == "exact" else f"{similarity!r}-{join}"


def _duplicates(folder: Path, similarity: float, join: JoinKind) -> Path:
    return folder / f"duplicates-{_searched(similarity, join)}.parquet"


def _join(folder: Path, path: Path, similarity: float, join: JoinKind) -> None:
    from memex_audit.training_set.duplicates import find_duplicates
    from memex_audit.training_set.embedded_set import write_duplicates

    with reading(folder):
        vectors, ids = _embedded(folder).vectors, _embedded(folder).texts("id")
    found = find_duplicates(vectors, similarity, example_ids=ids, join=join)
    write_duplicates(path, found.counts, found.groups, str(found.recall or ""))


def _select(folder: Path, duplicates: Path, max_prompts: int, seed: int) -> PromptSet:
    return select_from(_caption_table(folder, duplicates), max_prompts=max_prompts, seed=seed)


def _caption_table(folder: Path, duplicates: Path) -> "CaptionTable":
    from memex_audit.training_set.caption_table import CaptionTable
    from memex_audit.training_set.embedded_set import read_numbers

    embedded = _embedded(folder)
    counts, groups = read_numbers(duplicates, "count"), read_numbers(duplicates, "group")
    return CaptionTable(embedded.texts("id"), embedded.texts("caption"), counts, groups)


def _embedded(folder: Path) -> "EmbeddedSet":
    from memex_audit.training_set.embedded_set import EmbeddedSet

    return EmbeddedSet(folder)


def _read_set_aside(folder: Path) -> tuple[SetAside, ...]:
    with (folder / "set-aside.jsonl").open(encoding="utf-8") as lines:
        return tuple(SetAside(**json.loads(line)) for line in lines)
