"""Mine a training set once: examples -> embeddings -> near-copies -> audit prompts, cached."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from filelock import FileLock

from memex_audit.config import MAX_PIXELS
from memex_audit.errors import ConfigurationError, StoreError, StoreUnwritable, TrainingSetError
from memex_audit.protocols import Embedder, Index, TrainingSet
from memex_audit.records import PromptSet, SetAside
from memex_audit.training_set.index import IndexKind, build_index
from memex_audit.training_set.prompt_files import read_prompt_file
from memex_audit.training_set.prompts import normalize, select_prompts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Part of every key: a new layout of the cache, or new rules for what is in it, must not read an old one.
FORMAT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class MinedSet:
    """A mined training set; everything but `prompts` stays on disk until asked for.

    `similarity`: cosine from which on two images counted as near-copies; `content_fingerprint`: SHA-256
    over the set's contents, computed once; `folder`: where the cache keeps it.
    """

    prompts: PromptSet
    similarity: float
    embedder_name: str
    content_fingerprint: str
    folder: Path

    def load_embeddings(self) -> "NDArray[np.float32]":
        """Return float32 (n, d), mapped from the cache, in the order of `load_example_ids`."""
        from memex_audit.training_set.embedded_set import read_embeddings

        with _reading(self.folder):
            return read_embeddings(self.folder)

    def load_example_ids(self) -> tuple[str, ...]:
        """Return the id of every example of the set."""
        with _reading(self.folder):
            return tuple(_read_examples(self.folder, "id"))

    def load_uncaptioned_ids(self) -> tuple[str, ...]:
        """Return the id of every example that has no caption."""
        with _reading(self.folder):
            captions = _read_examples(self.folder, "caption")
        return tuple(
            example_id
            for example_id, caption in zip(self.load_example_ids(), captions, strict=True)
            if not normalize(caption)
        )

    def load_groups(self) -> dict[str, int]:
        """Return the number of each example's group of near-copies, by its id."""
        from memex_audit.training_set.embedded_set import read_column

        with _reading(self.folder):
            groups = cast("Sequence[int]", read_column(_duplicates(self.folder, self.similarity), "group"))
        return dict(zip(self.load_example_ids(), groups, strict=True))

    def load_duplicates(self) -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
        """Return each example's number of near-copies and its group, each int64 (n,)."""
        import numpy as np

        from memex_audit.training_set.embedded_set import read_column

        with _reading(self.folder):
            path = _duplicates(self.folder, self.similarity)
            counts, groups = (np.array(read_column(path, name), np.int64) for name in ("count", "group"))
        return counts, groups

    def load_index(self, *, kind: IndexKind | None = None) -> Index:
        """Build an exact index over all examples; `kind` as in `build_index`."""
        return build_index(self.load_embeddings(), self.load_example_ids(), kind=kind)


def mine(
    training_set: TrainingSet,
    embedder: Callable[[], Embedder],
    *,
    embedder_name: str,
    cache: Path,
    max_prompts: int,
    seed: int,
    similarity: float | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> MinedSet:
    """Find the near-copies of a training set and select the prompts to audit.

    What was computed once for the contents of this set and this embedder is read from `cache`; a warm one
    loads no embedder, and reads the files of the set only where their paths, sizes or times are others. One
    process computes, under a file lock, and others wait.

    Args:
        training_set: the set.
        embedder: loads the embedder; called only where embeddings are missing.
        embedder_name: its name, part of the cache's key.
        cache: a folder, made if need be.
        max_prompts: at least 1.
        seed: of the random sample where nothing is duplicated.
        similarity: cosine in (0, 1] from which on two images are near-copies; None is the embedder's own.
        progress: called with the number of embedded examples, and of all where that is known.

    Raises:
        ConfigurationError: `max_prompts` or `similarity` cannot be used.
        TrainingSetError: no example can be used.
        EmbedderError: the embedder cannot be loaded, or breaks its contract.
        StoreError: the cache cannot be written, or is damaged.
    """
    _check_options(max_prompts, similarity)
    contents = _contents_of(training_set, cache)
    folder = cache / _embedded_key(training_set, contents, embedder_name)

    def embed(partial: Path) -> None:
        from memex_audit.training_set.embedded_set import write_embedded_set

        partial.mkdir()
        write_embedded_set(partial, training_set, embedder(), contents, progress)

    _once(folder, embed)
    with _reading(folder):
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        threshold = float(facts["duplicate_similarity"] if similarity is None else similarity)
        content_fingerprint = str(facts["content_fingerprint"])
    duplicates = _duplicates(folder, threshold)
    selected = folder / f"audit-set-{threshold!r}-{max_prompts}-{seed}.parquet"

    def select(partial: Path) -> None:
        from memex_audit.training_set.prompt_table import write_table

        _once(duplicates, lambda path: _join(folder, path, threshold))
        with _reading(folder):
            prompts = _select(folder, duplicates, max_prompts, seed)
        write_table(partial, prompts)

    _once(selected, select)
    with _reading(folder):
        prompts = replace(read_prompt_file(selected), set_aside=_read_set_aside(folder))
    return MinedSet(
        prompts=prompts,
        similarity=threshold,
        embedder_name=embedder_name,
        content_fingerprint=content_fingerprint,
        folder=folder,
    )


def is_mined(training_set: TrainingSet, *, embedder_name: str, cache: Path) -> bool:
    """Whether `mine` would read the embeddings of this set from `cache`, and soon be done."""
    remembered = _remembered_contents(training_set, cache)
    if not remembered.is_file():
        return False
    return (cache / _embedded_key(training_set, _contents_of(training_set, cache), embedder_name)).is_dir()


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
    remembered = _remembered_contents(training_set, cache)
    _once(remembered, lambda path: path.write_text(training_set.content_fingerprint(), encoding="utf-8"))
    with _reading(remembered):
        contents = remembered.read_text(encoding="utf-8")
        if not re.fullmatch("[0-9a-f]{64}", contents):
            raise ValueError("no SHA-256")
    return contents


def _remembered_contents(training_set: TrainingSet, cache: Path) -> Path:
    return cache / f"{_key(training_set.stat_fingerprint())}.contents"


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join((str(FORMAT), *parts)).encode()).hexdigest()[:24]


def _once(path: Path, make: Callable[[Path], object]) -> None:
    """Let one process make `path` under another name and rename it; others wait until it is there.

    Raises:
        StoreUnwritable: it cannot be written; what was half made is gone.
    """
    if path.exists():
        return
    with _writing(path.parent), FileLock(path.with_name(f".{path.name}.lock")):
        if path.exists():
            return
        partial = path.with_name(f".partial-{path.name}")
        # Left by a process that was killed: nobody else writes it, the lock is ours.
        _remove(partial)
        try:
            make(partial)
            partial.replace(path)
        finally:
            _remove(partial)


@contextmanager
def _writing(cache: Path) -> Iterator[None]:
    """Name the cache where it cannot be written."""
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise StoreUnwritable(
            f"the cache of the training set {cache} must be writable, got {error.strerror or error}; free "
            "space or name another store with --memex-store."
        ) from error


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """Name the cache where it is not as it was written."""
    try:
        yield
    except (OSError, EOFError, ValueError, KeyError, TypeError, TrainingSetError) as error:
        reason = " ".join(str(error).split())
        raise StoreError(
            f"the cache of the training set {folder} must be as it was written, got a damaged one "
            f"({reason}); delete it and run again: the set is mined anew."
        ) from error


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _duplicates(folder: Path, similarity: float) -> Path:
    return folder / f"duplicates-{similarity!r}.parquet"


def _join(folder: Path, path: Path, similarity: float) -> None:
    from memex_audit.training_set.duplicates import find_duplicates
    from memex_audit.training_set.embedded_set import read_embeddings, write_duplicates

    with _reading(folder):
        embeddings, ids = read_embeddings(folder), _read_examples(folder, "id")
    index = build_index(embeddings, ids)
    found = find_duplicates(index.neighbor_pairs(similarity), len(embeddings))
    write_duplicates(path, found.counts, found.groups)


def _select(folder: Path, duplicates: Path, max_prompts: int, seed: int) -> PromptSet:
    from memex_audit.training_set.embedded_set import read_column

    return select_prompts(
        _read_examples(folder, "id"),
        _read_examples(folder, "caption"),
        cast("Sequence[int]", read_column(duplicates, "count")),
        cast("Sequence[int]", read_column(duplicates, "group")),
        max_prompts=max_prompts,
        seed=seed,
    )


def _read_examples(folder: Path, column: str) -> list[str]:
    from memex_audit.training_set.embedded_set import EXAMPLES, read_column

    return cast("list[str]", read_column(folder / EXAMPLES, column))


def _read_set_aside(folder: Path) -> tuple[SetAside, ...]:
    with (folder / "set-aside.jsonl").open(encoding="utf-8") as lines:
        return tuple(SetAside(**json.loads(line)) for line in lines)
