"""Do units on a Ray cluster: an actor for each GPU, or CPU, that is fed from one queue.

Only receipts come back through Ray; what is made goes into the store, a folder that every actor must see.
"""

import importlib.metadata
import secrets
import socket
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from memex_audit.errors import RunnerError
from memex_audit.runners.agenda import Agenda
from memex_audit.runners.ray_cluster import connected
from memex_audit.runners.serving import done, said_of
from memex_audit.runners.work import Doing, Receipt, Work, WorkUnit
from memex_audit.work_units import ALONE

# After so long without any actor at work the user hears what it waits for.
SAID_AFTER_S = 60.0
# So many actors that end before they are ready, one after another, and no more are started.
MOST_STILLBORN = 3


class RayRunner:
    """Runs work in actors of a cluster.

    Args:
        work: what is done.
        workers: actors; None for one for each GPU of the cluster, or where it has none for each CPU.
        address: of the cluster; None starts one here for the time of a run.
        store: a folder that all must see.
        on_gpu: take GPUs where there are any.
        say: writes a line for the user.
    """

    def __init__(
        self,
        work: Work,
        *,
        workers: int | None,
        address: str | None,
        store: Path,
        on_gpu: bool = True,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._work = work
        self._workers = workers
        self._address = address
        self._store = store
        self._on_gpu = on_gpu
        self._say = say

    def run(self, units: Sequence[WorkUnit]) -> Generator[Receipt, None, None]:
        """Yield a receipt for each unit; an actor that dies is replaced, and its unit done by another.

        Raises:
            RunnerError: the cluster cannot be reached, an actor does not see the store, actors end one after
                another, or one ends with an error of this package.
        """
        if not units:
            return
        with (
            redirect_stdout(sys.stderr),  # Ray says there, in a thread, that an actor died
            connected(self._address, self._workers),
            _token_in(self._store) as token,
        ):
            there = ray.cluster_resources()
            gpus = int(there.get("GPU", 0)) if self._on_gpu else 0
            n = min(self._workers or gpus or int(there.get("CPU", 1)), len(units))
            needs = {"num_cpus": 1, "num_gpus": 1 if gpus else 0}
            team = _Team(ray.put(self._work), token, needs)
            for _ in range(n):
                team.start()
            yield from self._fed(team, Agenda(units), needs)

    def _fed(self, team: "_Team", agenda: Agenda, needs: dict[str, int]) -> Iterator[Receipt]:
        said = False
        while agenda.is_open:
            done, _ = ray.wait(list(team.at_work), num_returns=1, timeout=SAID_AFTER_S)
            if not done and not said and not team.any_ready:
                said = True
                self._say(
                    f"no actor has begun yet: each waits for {needs} of the cluster, or loads the model"
                )
            for reference in done:
                yield from _taken(team, agenda, reference)
            for actor in team.take_idle():
                taken = agenda.take()
                if taken is None:
                    team.idle.append(actor)
                    break
                team.give(actor, *taken)


def _taken(team: "_Team", agenda: Agenda, reference: Any) -> Iterator[Receipt]:
    """Take in what an actor says: that it is ready, or what came of its unit."""
    unit, receipt, death = team.answer(reference)
    if unit is None:
        return
    if receipt is None:
        agenda.put_back(unit, death)
    elif receipt.held:
        agenda.defer(unit)
    else:
        agenda.settle()
        yield receipt


class _Team:
    """Actors: which of them are at work on what, and which have nothing to do."""

    def __init__(self, work: Any, token: "_Token", needs: dict[str, int]) -> None:
        self._work = work
        self._token = token
        self._kind = ray.remote(max_restarts=0, **needs)(_Actor)
        self._stillborn = 0
        self.any_ready = False
        self.idle: list[Any] = []
        # What an actor was asked last -> the actor, and its unit if it is not to make ready.
        self.at_work: dict[Any, tuple[Any, WorkUnit | None]] = {}

    def start(self) -> None:
        """Start an actor, which makes ready first."""
        actor = self._kind.remote()
        version = importlib.metadata.version("memex-audit")
        self.at_work[actor.begin.remote(self._work, self._token, version)] = (actor, None)

    def give(self, actor: Any, unit: WorkUnit, patient: bool) -> None:
        """Let an actor do a unit."""
        self.at_work[actor.do.remote(unit, patient)] = (actor, unit)

    def take_idle(self) -> list[Any]:
        """Return the actors that have nothing to do; they are the caller's."""
        idle, self.idle = self.idle, []
        return idle

    def answer(self, reference: Any) -> tuple[WorkUnit | None, Receipt | None, str]:
        """Return an actor's unit, what it says of it, and if it died how.

        Raises:
            RunnerError: it cannot make ready, or too many died before they could.
        """
        actor, unit = self.at_work.pop(reference)
        try:
            said = ray.get(reference)
        except ray.exceptions.RayError as error:
            self._see_whether_it_can(unit, error)
            self.start()
            return unit, None, said_of(error)
        if unit is None:
            if said is not None:
                raise RunnerError(said)
            self.any_ready = True
            said = None
        self.idle.append(actor)
        self._stillborn = 0
        return unit, said, ""

    def _see_whether_it_can(self, unit: WorkUnit | None, error: Exception) -> None:
        if "No module named 'memex_audit'" in str(error):
            raise RunnerError(
                "every machine of the Ray cluster must have memex-audit installed, got one without; pip "
                "install 'memex-audit[ray]' there, in the environment that Ray runs in."
            ) from error
        if unit is None:
            self._stillborn += 1
        if self._stillborn == MOST_STILLBORN:
            raise RunnerError(
                f"an actor must be able to start, got {MOST_STILLBORN} that ended before they were ready: "
                f"{said_of(error)}."
            ) from error


class _Actor:
    """One worker in its process on some machine of the cluster."""

    def __init__(self) -> None:
        self._do: Doing | None = None

    def begin(self, work: Work, token: "_Token", version: str) -> str | None:
        """Make ready; return why that cannot be, in one line."""
        here = socket.gethostname()
        found = importlib.metadata.version("memex-audit")
        if found != version:
            return f"every machine must have memex-audit {version}, got {found} on {here}; install the same."
        if not token.is_seen():
            return (
                f"the store must be a folder that every machine of the cluster sees, got {token.store}, "
                f"which on {here} is another or none; put it on a shared file system (--store)."
            )
        try:
            self._do = work.begin(ALONE)  # Ray shows an actor its own GPU only
        except Exception as error:  # noqa: BLE001 - whatever it is, no unit can be done
            return said_of(error)
        return None

    def do(self, unit: WorkUnit, patient: bool) -> Receipt:
        """Do a unit."""
        assert self._do is not None  # an actor gets units after it said that it is ready
        return done(self._do, unit, patient)


@dataclass(frozen=True, slots=True)
class _Token:
    """A file that the driver wrote into the store: who reads it there sees the same folder."""

    store: Path
    text: str

    @property
    def _path(self) -> Path:
        return self.store / f".seen-{self.text}"

    def is_seen(self) -> bool:
        try:
            return self._path.read_text() == self.text
        except OSError:
            return False

    def __enter__(self) -> "_Token":
        self._path.write_text(self.text)
        return self

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)


def _token_in(store: Path) -> _Token:
    return _Token(store, secrets.token_hex(8))
