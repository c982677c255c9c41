"""What a training set may offer beside: its entries by number, so that any part of it can be read alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

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
