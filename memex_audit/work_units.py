"""Cases -> work units: prompts that one process audits together, the same on every pytest-xdist worker."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

# Small enough to share an audit out evenly, large enough that a batch of pictures fits in.
LARGEST_UNIT = 16
# So many units a worker, where there are enough prompts: the last one is then a small part of the whole.
UNITS_PER_WORKER = 4

_PROMPT_ID = re.compile(r"(?:^|-)([0-9a-f]{12})(?=$|-)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """The place of this process among those that audit at the same time: `slot` of `count`, from 0."""

    slot: int = 0
    count: int = 1


ALONE = Worker()


def prompt_of_case(nodeid: str) -> str | None:
    """Return the id of the prompt that a case audits, or None: the last 12 hex digits among its parameters.

    >>> prompt_of_case("audits/test_a.py::test_b[a-red-cat-0123456789ab]")
    '0123456789ab'
    """
    _, bracket, parameters = nodeid.partition("[")
    found = _PROMPT_ID.findall(parameters.removesuffix("]")) if bracket else []
    return found[-1] if found else None


def plan_work_units(
    nodeids: Sequence[str], n_workers: int, *, largest: int = LARGEST_UNIT
) -> list[tuple[str, ...]]:
    """Group the prompts of these cases, in their order, into units that are never split between workers.

    A function of its arguments alone: the controller hands out what the workers plan their batches over.
    Alone, a process does everything as one unit.
    """
    prompts = list(dict.fromkeys(filter(None, map(prompt_of_case, nodeids))))
    size = len(prompts)
    if n_workers > 1:
        size = min(largest, math.ceil(len(prompts) / (UNITS_PER_WORKER * n_workers)))
    return [tuple(prompts[first : first + size]) for first in range(0, len(prompts), size or 1)]
