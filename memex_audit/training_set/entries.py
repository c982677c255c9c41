"""What a training set may offer beside: its entries by number, to read any part alone; or embeddings."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from memex_audit.errors import TrainingSetError
from memex_audit.records import SetAside, TrainingExample


@dataclass(frozen=True, slots=True)
class Entry:
    """One place in a training set: what was read there, and what cannot be used of it.

    Both where an example has no caption; neither where one reason, given before, holds for several places.
    """

    example: TrainingExample | None
    set_aside: SetAside | None = None


@runtime_checkable
class HasEntries(Protocol):
    """A TrainingSet whose entries have numbers: the same whatever of them can be used."""

    @property
    def n_entries(self) -> int:
        """How many there are."""
        ...

    @property
    def faults(self) -> tuple[SetAside, ...]:
        """What is wrong with the set as a whole: files that cannot be listed or opened."""
        ...

    def entries(self, first: int, last: int) -> Iterator[Entry]:
        """Yield the entries from `first` up to, not including, `last`, one each."""
        ...

    def changed(self, first: int = 0, last: int | None = None) -> str | None:
        """Name a file of these entries that is not as it was when the set was first looked at."""
        ...


@runtime_checkable
class HoldsEmbeddings(Protocol):
    """A TrainingSet whose embeddings were made elsewhere; nothing is embedded."""

    def without_pictures(self) -> TrainingSetError:
        """Return the error of whoever asks for a picture."""
        ...

    def write_embedded(self, target: Path, embedder_name: str) -> None:
        """Write them as an embedded set, whole or not at all."""
        ...
