"""Work that writes down what was done, for the tests of runners: other processes import it from here."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from memex_audit.runners.work import Receipt, WorkUnit
from memex_audit.work_units import Worker


@dataclass(frozen=True)
class WrittenWork:
    """Does a unit by writing a file of its name; an item of it may say what goes wrong first.

    killed: the process is killed, once; deadly: always; broken: an error; held: by another, until it is
    waited for; slow: takes a second.
    """

    folder: Path

    def begin(self, worker: Worker) -> Callable[[WorkUnit, bool], Receipt]:
        self._note("begun", f"{worker.slot}")

        def do(unit: WorkUnit, patient: bool) -> Receipt:
            if "held" in unit.items and not patient:
                return Receipt(unit=unit.name, held=True)
            if "deadly" in unit.items or ("killed" in unit.items and self._first_time(unit)):
                os.kill(os.getpid(), signal.SIGKILL)
            if "broken" in unit.items:
                raise ZeroDivisionError("by nought")
            time.sleep("slow" in unit.items)
            self._note("done", unit.name)
            return Receipt(unit=unit.name, items=1, made=1, seconds=0.0)

        return do

    def _first_time(self, unit: WorkUnit) -> bool:
        try:
            (self.folder / f"{unit.name}.tried").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _note(self, kind: str, text: str) -> None:
        name = f"{kind}-{time.time_ns()}-{os.getpid()}"
        (self.folder / name).write_text(text)

    def noted(self, kind: str) -> list[str]:
        return [path.read_text() for path in sorted(self.folder.glob(f"{kind}-*"))]


def units(*items: str) -> list[WorkUnit]:
    return [WorkUnit(name=f"unit-{i}", kind="things", items=(item,)) for i, item in enumerate(items)]
