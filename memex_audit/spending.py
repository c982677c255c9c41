"""What a run may still draw: a budget of network evaluations or minutes, counted as pictures come."""

import time
from collections.abc import Callable

from memex_audit.config import Budget
from memex_audit.errors import ConfigurationError


class Spending:
    """Counts what is drawn against a budget; pictures that the store has cost nothing.

    Args:
        budget: of the run; None for no end.
        share: of it that this process may spend, as one of several.
        pictures_left: gives how many pictures an endpoint may still be asked for, by all processes together;
            None for no end.
        clock: seconds that only go forward: the time of day may jump.
    """

    def __init__(
        self,
        budget: Budget | None,
        *,
        share: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        pictures_left: Callable[[], int | None] | None = None,
    ) -> None:
        self._budget = budget or Budget()
        self._share = share
        self._clock = clock
        self._pictures_left = pictures_left
        self._began: float | None = None
        self._spent = 0
        self._drawn = 0

    @property
    def has_end(self) -> bool:
        """Whether there is a budget at all."""
        return self._budget != Budget() or self._pictures_left is not None

    def may_draw(self, pictures: int, evaluations_per_image: int) -> bool:
        """Whether so many more pictures are within the budget, as far as can be known.

        Raises:
            ConfigurationError: the budget is in evaluations, and nobody knows how many a picture takes.
        """
        left = self._pictures_left() if self._pictures_left else None
        if left is not None and pictures > left:
            return False
        if self._budget.evaluations is not None:
            if not evaluations_per_image:
                raise ConfigurationError(
                    "--memex-budget must be in minutes for a generator that does not know how many network "
                    "evaluations a picture takes, got network evaluations; give minutes, such as 30min."
                )
            return self._spent + pictures * evaluations_per_image <= self._budget.evaluations * self._share
        if self._budget.minutes is None or self._began is None:
            return True
        return self._clock() - self._began < 60 * self._budget.minutes

    def refuse_if_nothing_was_drawn(self, pictures: int, evaluations_per_image: int) -> None:
        """Tell a budget that is at its end from one that was never enough.

        Raises:
            ConfigurationError: nothing was drawn, and so many pictures are too many.
        """
        if not self._drawn and self._budget.evaluations is not None:
            needed, given = pictures * evaluations_per_image, int(self._budget.evaluations * self._share)
            raise ConfigurationError(
                f"--memex-budget must cover one look at one prompt, {needed:,} network evaluations, got "
                f"{given:,}; give more, or draw with fewer --memex-steps."
            )

    def count(self, pictures: int, evaluations_per_image: int) -> None:
        """Count pictures that were drawn."""
        self._drawn += pictures
        self._spent += pictures * evaluations_per_image

    def begin(self) -> None:
        """Start the clock, before the first picture is drawn."""
        self._began = self._clock() if self._began is None else self._began
