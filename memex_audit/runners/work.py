"""What a runner hands out, what it gets back, and the port that it works through."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from memex_audit.work_units import Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkUnit:
    """A piece of work that one process does: `items` of a `kind`.

    `name`: the same wherever the same work is planned, so that two commands on one store see each other's
    claims; it can be the name of a file.
    """

    name: str
    kind: str
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What came of a unit: counts, never pixels and never text of a prompt.

    `items`: prompts or shards that are done; `made`: pictures drawn or images embedded, which took `seconds`
    and `cpu_seconds` of all threads, all else of the unit included; `found`: those that the store had;
    `set_aside`: of both, what cannot be judged or read. `held`: another process has the unit, nothing was
    done. `notes`: what the user should know. `failure`: why it could not be done, in one line; `fatal` if
    every other unit would end so too.
    """

    unit: str
    items: int = 0
    made: int = 0
    found: int = 0
    set_aside: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    held: bool = False
    notes: tuple[str, ...] = ()
    failure: str | None = None
    fatal: bool = False


# Does a unit; where another process has it, waits for it or says so.
Doing = Callable[[WorkUnit, bool], Receipt]


class Work(Protocol):
    """What is done with units. It is sent to other processes: pickled, it opens nothing heavy."""

    def begin(self, worker: Worker) -> Doing:
        """Make ready in the process that does it, once: load the model, say.

        The result is called with a unit, and whether to wait for one that another process has.
        """
        ...


class Runner(Protocol):
    """Does units, each once, in any order."""

    def run(self, units: Sequence[WorkUnit]) -> Generator[Receipt, None, None]:
        """Yield a receipt for each unit as soon as it is done.

        Raises:
            RunnerError: workers end one after another, or cannot be started.
        """
        ...
