"""Which unit is next: those that are held elsewhere come last, those of a dead worker again."""

from collections import Counter, deque
from collections.abc import Sequence

from memex_audit.errors import RunnerError
from memex_audit.runners.work import WorkUnit

# A unit at which so many workers ended one after another is not given to a further one.
MOST_DEATHS = 3


class Agenda:
    """Units that wait; what is given out comes back as done, as held by another process, or as lost."""

    def __init__(self, units: Sequence[WorkUnit]) -> None:
        self._waiting = deque(units)
        self._given = 0
        self._held_in_a_row = 0
        self._deaths: Counter[str] = Counter()

    @property
    def is_open(self) -> bool:
        """Whether anything waits or is being done."""
        return bool(self._waiting or self._given)

    def take(self) -> tuple[WorkUnit, bool] | None:
        """Return the next unit, and whether to wait for who holds it; None if none waits.

        Waited for is only where all that is left was held when it was last tried.
        """
        if not self._waiting:
            return None
        self._given += 1
        return self._waiting.popleft(), self._held_in_a_row > len(self._waiting)

    def settle(self) -> None:
        """Take a unit off that is done."""
        self._given -= 1
        self._held_in_a_row = 0

    def defer(self, unit: WorkUnit) -> None:
        """Put a unit last that another process holds."""
        self._given -= 1
        self._held_in_a_row += 1
        self._waiting.append(unit)

    def put_back(self, unit: WorkUnit, how: str) -> None:
        """Let a unit be done next whose worker ended over it.

        Raises:
            RunnerError: it is the third that did.
        """
        self._given -= 1
        self._deaths[unit.name] += 1
        if self._deaths[unit.name] == MOST_DEATHS:
            raise RunnerError(
                f"a worker must outlive its work, got {MOST_DEATHS} that ended ({how}) over the same "
                f"{len(unit.items)} {unit.kind} ({', '.join(unit.items[:3])} ...); is there memory enough? "
                "What was made before is kept."
            )
        self._waiting.appendleft(unit)
