"""Say how far a run is: a progress line on a terminal, a plain line now and then elsewhere, a last line."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from memex_audit.errors import RunnerError
from memex_audit.explain import counted
from memex_audit.runners.work import Receipt

PLAIN_LINE_EVERY_S = 30.0
# So many units in a row that end in an error, and none that does not: the next would too.
MOST_FAILURES_IN_A_ROW = 3


@dataclass(slots=True)
class Tally:
    """The sum of receipts. `what`: what is made, and what is `done` to it: a picture is drawn."""

    what: str
    done: str
    began: float = field(default_factory=time.monotonic)
    units: int = 0
    items: int = 0
    made: int = 0
    found: int = 0
    set_aside: int = 0
    cpu_seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
    _failed_in_a_row: int = 0

    def take(self, receipt: Receipt) -> None:
        """Add a receipt.

        Raises:
            RunnerError: it failed in a way that every other would, or too many have in a row.
        """
        self.units += 1
        self.items += receipt.items
        self.made += receipt.made
        self.found += receipt.found
        self.set_aside += receipt.set_aside
        if receipt.made:
            self.cpu_seconds += receipt.cpu_seconds
        self._failed_in_a_row = self._failed_in_a_row + 1 if receipt.failure else 0
        if receipt.failure is None:
            return
        self.failures.append(receipt.failure)
        if receipt.fatal or self._failed_in_a_row == MOST_FAILURES_IN_A_ROW:
            raise RunnerError(receipt.failure)

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self.began

    def last_line(self, item: str) -> str:
        """Say what was done and what one costs: CPU seconds of all threads of the units that made any."""
        made = f"{counted(self.made, self.what)} {self.done}"
        parts = [f"{counted(self.items, item)}, {made}, {self.found:,} found there"]
        if self.set_aside:
            parts.append(f"{self.set_aside:,} set aside")
        seconds = f"{self.seconds:,.1f} s"
        if self.made:
            seconds += (
                f", {self.made / self.seconds:.3g} {self.what}s a second, "
                f"{self.cpu_seconds / self.made:.3g} CPU seconds each"
            )
        if self.failures:
            parts.append(f"{counted(len(self.failures), 'unit')} failed: {self.failures[0]}")
        return "; ".join([*parts, seconds])

    def so_far(self, n_units: int) -> str:
        """Say how far it is."""
        return (
            f"{self.units:,} of {counted(n_units, 'unit')}, {counted(self.made, self.what)} {self.done}, "
            f"{self.found:,} found there, {self.seconds:,.0f} s"
        )


def follow(receipts: Iterable[Receipt], tally: Tally, n_units: int, say: Callable[[str], None]) -> None:
    """Take in receipts as they come, and show how far it is.

    Args:
        receipts: of a runner.
        tally: takes them.
        n_units: that there are.
        say: writes a line where no progress line is in the way.

    Raises:
        RunnerError: as `Tally.take`, or the runner's own.
    """
    notes: set[str] = set()
    with _shown(tally, n_units, say) as show:
        for receipt in receipts:
            for note in receipt.notes:
                if note not in notes:
                    say(f"note: {note}")
            notes.update(receipt.notes)
            tally.take(receipt)
            show()


def now_and_then(say: Callable[[str], None]) -> Callable[[int, int | None], None]:
    """Return what hears how many training images are embedded, and says so now and then."""
    last = time.monotonic()

    def hear(done: int, total: int | None) -> None:
        nonlocal last
        if time.monotonic() - last >= PLAIN_LINE_EVERY_S:
            last = time.monotonic()
            say(f"{counted(done, 'training image')}{f' of {total:,}' if total else ''} embedded")

    return hear


@contextmanager
def _shown(tally: Tally, n_units: int, say: Callable[[str], None]) -> Iterator[Callable[[], None]]:
    if not sys.stderr.isatty():
        last = time.monotonic()

        def show_now_and_then() -> None:
            nonlocal last
            if time.monotonic() - last >= PLAIN_LINE_EVERY_S:
                last = time.monotonic()
                say(tally.so_far(n_units))

        yield show_now_and_then
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=15), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(tally.so_far(n_units), total=n_units)
        yield lambda: bar.update(task, completed=tally.units, description=tally.so_far(n_units))
