"""Cases -> work units: prompts that one process audits together, the same on every pytest-xdist worker."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

# Small enough to share an audit out evenly, large enough that a batch of pictures fits in.
LARGEST_UNIT = 16
# So many units a worker, where there are enough prompts: the last one is then a small part of the whole.
UNITS_PER_WORKER = 4

# Before the name of a batch's first prompt, in the id of its case; no prompt's slug has a plus.
BATCH = "batch+"
_PROMPT_ID = re.compile(r"(?:^|[-+])([0-9a-f]{12})(?=$|-)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """The place of this process among those that audit at the same time: `slot` of `count`, from 0."""

    slot: int = 0
    count: int = 1


ALONE = Worker()


def prompt_of_case(nodeid: str) -> str | None:
    """Return the id of the prompt that a case audits, or None: the last 12 hex digits among its parameters.

    Of a batch it is the first prompt's.

    >>> prompt_of_case("audits/test_a.py::test_b[a-red-cat-0123456789ab]")
    '0123456789ab'
    """
    _, bracket, parameters = nodeid.partition("[")
    found = _PROMPT_ID.findall(parameters.removesuffix("]")) if bracket else []
    return found[-1] if found else None


def is_batch(nodeid: str) -> bool:
    """Whether a case audits a batch of prompts."""
    return BATCH in nodeid.partition("[")[2]


def plan_work_units(
    nodeids: Sequence[str],
    n_workers: int,
    *,
    largest: int = LARGEST_UNIT,
    batches: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> list[tuple[str, ...]]:
    """Group the prompts of these cases, in their order, into units that are never split between workers.

    A function of its arguments alone: the controller hands out what the workers plan their work over.
    Alone, a process does everything as one unit. With several workers a batch is a unit.

    Args:
        nodeids: of the cases.
        n_workers: processes that audit at the same time.
        largest: prompts of a unit that is no batch.
        batches: the prompts of each batch by that of its first; the controller, which collects nothing, knows
            the first alone, which is enough to hand the case out.
    """
    named = [(name, is_batch(nodeid)) for nodeid in nodeids if (name := prompt_of_case(nodeid))]
    whole = [tuple(batches.get(name, (name,))) for name in dict.fromkeys(n for n, batch in named if batch)]
    in_batches = dict.fromkeys(prompt for unit in whole for prompt in unit)
    single = list(dict.fromkeys(n for n, batch in named if not batch and n not in in_batches))
    if n_workers <= 1:
        return [(*in_batches, *single)] * bool(named)
    size = min(largest, math.ceil(len(single) / (UNITS_PER_WORKER * n_workers)))
    return whole + [tuple(single[first : first + size]) for first in range(0, len(single), size or 1)]
