"""Hand out audit cases to pytest-xdist workers by work unit, so that no batch is waited for.

pytest-xdist ignores its own `xdist_group` marks under `--dist load` (its issue 1386), hence a scheduler.
"""

from collections.abc import Sequence
from typing import Any

from xdist.scheduler import LoadScheduling, LoadScopeScheduling

from memex_audit.work_units import plan_work_units, prompt_of_case


class WorkUnitScheduling(LoadScopeScheduling):
    """Runs the cases of a unit one after the other on one worker; any other case is a unit of its own."""

    def __init__(self, config: Any, log: Any, units: Sequence[Sequence[str]]) -> None:
        super().__init__(config, log)
        self._unit_of = {prompt: f"unit {number}" for number, unit in enumerate(units) for prompt in unit}

    def _split_scope(self, nodeid: str) -> str:
        return self._unit_of.get(prompt_of_case(nodeid) or "", nodeid)

    def schedule(self) -> None:
        """Hand out work to every worker, and to one that replaces another: two units each.

        A worker holds its last case back until it hears of a next one. pytest-xdist 3.8 gives a
        replacement one unit only, and where that is a single case it waits for ever.
        """
        super().schedule()
        for node in list(self.nodes):
            self._reschedule(node)

    def remove_node(self, node: Any) -> str | None:
        """Queue again what a crashed worker left undone, and return the case that it crashed in.

        pytest-xdist 3.8 also queues units that were done, of which a worker then waits for a first case,
        and runs the case again that crashed.
        """
        units = [unit for unit in self.assigned_work.pop(node).items() if not all(unit[1].values())]
        crashed = next((case for _, cases in units for case, done in cases.items() if not done), None)
        if crashed is not None:
            units[0][1][crashed] = True
        self.workqueue.update((name, cases) for name, cases in units if not all(cases.values()))
        for other in list(self.assigned_work):
            self._reschedule(other)
        return crashed


class AuditScheduling:
    """Schedules by work unit where there are audit cases, and as pytest-xdist does where there are none.

    Which it is shows only once the workers have collected: until then the scheduler that pytest-xdist
    made takes note of them.
    """

    def __init__(self, plain: LoadScheduling, config: Any, log: Any, largest: int) -> None:
        self._chosen: LoadScheduling | WorkUnitScheduling = plain
        self._config, self._log, self._largest = config, log, largest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chosen, name)

    def schedule(self) -> None:
        """Choose the scheduler at the first call, and let it hand out work."""
        if self._chosen.collection is None and isinstance(self._chosen, LoadScheduling):
            self._choose(self._chosen)
        self._chosen.schedule()

    def _choose(self, plain: LoadScheduling) -> None:
        collected = next(iter(plain.node2collection.values()))
        units = plan_work_units(collected, plain.numnodes, largest=self._largest)
        if not units:
            return
        self._chosen = WorkUnitScheduling(self._config, self._log, units)
        for node in plain.nodes:
            self._chosen.add_node(node)
        for node, collection in plain.node2collection.items():
            self._chosen.add_node_collection(node, collection)


def schedule_audits(plain: Any, config: Any, log: Any, largest: int) -> Any:
    """Return a scheduler over the one that was made; any but pytest-xdist's default is left as it is."""
    return AuditScheduling(plain, config, log, largest) if type(plain) is LoadScheduling else plain
