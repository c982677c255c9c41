"""What training sets of files have in common: entries in a fixed order, fingerprints, what is set aside."""

from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from memex_audit.errors import TrainingSetError
from memex_audit.picture_bytes import decode_picture
from memex_audit.records import SetAside, TrainingExample
from memex_audit.training_set.entries import Entry
from memex_audit.training_set.fingerprints import fingerprint
from memex_audit.training_set.set_files import SetFiles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class FileSet(ABC):
    """A TrainingSet of files, whose entries have numbers (HasEntries).

    Args:
        files: where they lie; `location` is what the user named.
        names: those of its files that the set is read from, sorted.
        max_pixels: a larger picture is set aside.
    """

    def __init__(self, files: SetFiles, names: Sequence[str], *, max_pixels: int) -> None:
        self.location = files.location
        self.max_pixels = max_pixels
        self._files, self._names = files, names
        self._first_seen: array[int] | None = None
        self._set_aside: tuple[SetAside, ...] | None = None

    @property
    @abstractmethod
    def n_entries(self) -> int:
        """How many entries there are, usable or not."""

    @property
    @abstractmethod
    def faults(self) -> tuple[SetAside, ...]:
        """What is wrong with the set as a whole: files that cannot be listed or opened."""

    @abstractmethod
    def entries(self, first: int, last: int) -> Iterator[Entry]:
        """Yield the entries from `first` up to, not including, `last`, one each; one picture is in memory."""

    def load(self, example_ids: Sequence[str]) -> "list[NDArray[np.uint8]]":
        """Return the pixels of these examples, in order; nothing else is read.

        Raises:
            TrainingSetError: an id is not of this set, or its picture can no longer be read.
        """
        return list(self.load_each(example_ids))

    def load_each(self, example_ids: Sequence[str]) -> "Iterator[NDArray[np.uint8]]":
        """Yield the pixels of these examples, in order; their files are read together, decoded one by one.

        Raises:
            TrainingSetError: as `load`.
        """
        for example_id, data in zip(example_ids, self._encoded(example_ids), strict=True):
            yield self._decode(example_id, data)

    @abstractmethod
    def _encoded(self, example_ids: Sequence[str]) -> list[bytes]:
        """Return the files of these examples' pictures, in order.

        Raises:
            TrainingSetError: an id is not of this set, or its picture can no longer be read.
        """

    @abstractmethod
    def example_ids(self) -> Iterable[Sequence[str]]:
        """Yield the ids of all entries, in parts; no picture is read, and some may be unusable."""

    def key_of(self, example_id: str) -> str:
        """Return by what other tools name an example: its path, or its key in a tar."""
        return example_id

    @abstractmethod
    def _files_of(self, first: int, last: int) -> Iterable[int]:
        """Return which of the set's files these entries are read from, by their place among the names."""

    def __length_hint__(self) -> int:
        """Return the number of entries, for a progress bar."""
        return self.n_entries

    @property
    def set_aside(self) -> tuple[SetAside, ...]:
        """What the last full pass of `examples` could not use, and why."""
        return self.faults if self._set_aside is None else self._set_aside

    def examples(self) -> Iterator[TrainingExample]:
        """Yield every usable example once, in a fixed order; one picture is in memory."""
        set_aside = []
        for entry in self.entries(0, self.n_entries):
            if entry.set_aside:
                set_aside.append(entry.set_aside)
            if entry.example:
                yield entry.example
        self._set_aside = (*set_aside, *self.faults)

    def stat_fingerprint(self) -> str:
        """Return SHA-256 over name, size and time of every file that is read."""
        seen: array[int] = array("q")

        def noted() -> Iterator[tuple[str, str]]:
            for name in self._names:
                seen.append(hash(identity := self._files.stat(name)))
                yield name, identity

        found = fingerprint(noted())
        if self._first_seen is None:
            self._first_seen = seen
        return found

    def content_fingerprint(self) -> str:
        """Return SHA-256 over name and contents of every file that is read."""
        return fingerprint((name, self._files.contents(name)) for name in self._names)

    def changed(self, first: int = 0, last: int | None = None) -> str | None:
        """Name a file of these entries, or of all, that is not as it was at the first `stat_fingerprint`."""
        if self._first_seen is None:
            self.stat_fingerprint()
        assert self._first_seen is not None
        places = range(len(self._names)) if last is None else self._files_of(first, last)
        for place in places:
            if hash(self._files.stat(self._names[place])) != self._first_seen[place]:
                return self._files.shown(self._names[place])
        return None

    def _decode(self, example_id: str, data: bytes) -> "NDArray[np.uint8]":
        """Decode the picture of an example that was asked for by id.

        Raises:
            TrainingSetError: it is no picture.
        """
        try:
            return decode_picture(data, max_pixels=self.max_pixels)
        except ValueError as error:
            raise self._unreadable(example_id, error) from error

    def _unknown(self, example_id: str) -> TrainingSetError:
        return TrainingSetError(
            f"Example id must be one of {self.location}, got {example_id!r}; mine the set again."
        )

    def _unreadable(self, example_id: str, error: ValueError) -> TrainingSetError:
        return TrainingSetError(
            f"{self.location} example {example_id!r} must be a picture, got: {error}; mine the set again."
        )
