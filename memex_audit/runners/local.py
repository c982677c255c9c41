"""Do units on this machine: in this process, or in several that are fed from one queue."""

import multiprocessing
import signal
from collections.abc import Generator, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, cast

from memex_audit.errors import RunnerError
from memex_audit.runners.agenda import Agenda
from memex_audit.runners.serving import done, serve
from memex_audit.runners.work import Receipt, Work, WorkUnit
from memex_audit.work_units import ALONE, Worker

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

# A worker that is told to end writes down what it has drawn of a prompt.
PATIENCE_S = 20.0


class LocalRunner:
    """Runs work in `n_workers` processes of this machine; with one, in this very process."""

    def __init__(self, work: Work, n_workers: int = 1) -> None:
        self._work = work
        self._n_workers = n_workers

    def run(self, units: Sequence[WorkUnit]) -> Generator[Receipt, None, None]:
        """Yield a receipt for each unit; a process that dies is replaced, and its unit done by another.

        Raises:
            RunnerError: one unit ended three processes, or none can be started.
        """
        n = min(self._n_workers, len(units))
        if n > 1:
            yield from self._in_processes(Agenda(units), n)
            return
        agenda, do = Agenda(units), self._work.begin(ALONE)
        while taken := agenda.take():
            unit, patient = taken
            receipt = done(do, unit, patient)
            if receipt.held:
                agenda.defer(unit)
                continue
            agenda.settle()
            yield receipt

    def _in_processes(self, agenda: Agenda, n: int) -> Iterator[Receipt]:
        team = [_Process(self._work, Worker(slot=slot, count=n)) for slot in range(n)]
        try:
            while agenda.is_open:
                for process in team:
                    if process.unit is None and (taken := agenda.take()):
                        process.give(*taken)
                yield from _heard(agenda, team)
        finally:
            for process in team:
                process.end()
            for process in team:
                process.wait_for_end()


def _heard(agenda: Agenda, team: "Sequence[_Process]") -> Iterator[Receipt]:
    """Wait until a process says something or ends, and take that in."""
    at_work = {process.connection: process for process in team if process.unit}
    for connection in wait(list(at_work)):
        process = at_work[cast("Connection", connection)]
        unit, receipt = process.answer()
        if receipt is None:
            agenda.put_back(unit, process.clear_away())
        elif receipt.held:
            agenda.defer(unit)
        else:
            agenda.settle()
            yield receipt


class _Process:
    """A worker's process, started when it is first given a unit, and again after one that ended."""

    def __init__(self, work: Work, worker: Worker) -> None:
        self._work = work
        self._worker = worker
        self._process: SpawnProcess | None = None
        self.connection: Connection
        self.unit: WorkUnit | None = None

    def give(self, unit: WorkUnit, patient: bool) -> None:
        """Send a unit; to a new process if this one ended while it had none."""
        self.unit = unit
        if self._process is None:
            self._start()
        try:
            self.connection.send((unit, patient))
        except OSError:
            self.clear_away()
            self._start()
            self.connection.send((unit, patient))

    def _start(self) -> None:
        spawning = multiprocessing.get_context("spawn")
        self.connection, theirs = spawning.Pipe()
        self._process = spawning.Process(target=serve, args=(self._work, self._worker, theirs), daemon=True)
        try:
            self._process.start()
        except OSError as error:
            raise RunnerError(
                f"a worker must start, got {error.strerror or error}; run fewer (--workers 1)."
            ) from error
        theirs.close()  # the only other end is now the process's: when it ends, that is heard

    def answer(self) -> tuple[WorkUnit, Receipt | None]:
        """Return its unit with what it says of it; None if it ended."""
        unit, self.unit = self.unit, None
        assert unit is not None  # it is asked only while it has one
        try:
            return unit, self.connection.recv()
        except (EOFError, OSError):
            return unit, None

    def clear_away(self) -> str:
        """Let go of a process that ended, and say how it did."""
        process, self._process = self._process, None
        assert process is not None
        process.join()
        self.connection.close()
        code = process.exitcode or 0
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"exit code {code}"

    def end(self) -> None:
        """Let it end: what it has drawn of a prompt it writes on the way out."""
        if self._process is None:
            return
        self.connection.close()
        if self.unit is not None:
            self._process.terminate()

    def wait_for_end(self) -> None:
        """Wait until it has ended, and no longer than that takes."""
        if self._process is None:
            return
        self._process.join(PATIENCE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
