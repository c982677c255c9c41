"""In which order prompts are drawn for: everyone's first look before anyone's second.

So an audit that is interrupted, or runs out of its budget, has seen as much of each prompt as of any other.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import islice


class Rounds:
    """Prompts of one process, each waiting for one of its looks; what is decided waits no more.

    Args:
        prompt_ids: in the order of their first looks.
        n_looks: of the protocol.
        at_once: how many prompts are drawn for together at a look of that number.
    """

    def __init__(self, prompt_ids: Sequence[str], n_looks: int, at_once: Callable[[int], int]) -> None:
        # Ordered ones, whose first is found at once however many went before it.
        self._waiting: list[OrderedDict[str, None]] = [OrderedDict() for _ in range(n_looks)]
        self._waiting[0].update(dict.fromkeys(prompt_ids))
        self._at_once = at_once

    def next_batch(self, wanted: str) -> tuple[int, tuple[str, ...]]:
        """Return the number of a look and the prompts to draw it for, on the way to deciding the one wanted.

        The prompt's own batch where all others have come as far, else the first of those that have not.
        """
        number = next(i for i, waiting in enumerate(self._waiting) if waiting)
        size = self._at_once(number)
        if wanted not in self._waiting[number] or wanted == next(iter(self._waiting[number])):
            return number, tuple(islice(self._waiting[number], size))
        waiting = list(self._waiting[number])
        place = waiting.index(wanted)
        first = place - place % size
        return number, tuple(waiting[first : first + size])

    def settle(self, number: int, prompt_id: str, *, goes_on: bool) -> None:
        """Take a prompt off the look that it waited for, and let it wait for the next if it goes on."""
        del self._waiting[number][prompt_id]
        if goes_on:
            self._waiting[number + 1][prompt_id] = None

    def waiting(self) -> list[tuple[int, str]]:
        """Return every prompt that is not decided, with the number of the look that it waits for."""
        return [(number, name) for number, waiting in enumerate(self._waiting) for name in waiting]
