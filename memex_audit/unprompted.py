"""The part of a session that asks for nothing in particular: an untargeted extraction and its controls."""

from functools import cached_property
from typing import TYPE_CHECKING

import pytest

from memex_audit.errors import ConfigurationError
from memex_audit.untargeted.auditing import UntargetedAudit

if TYPE_CHECKING:
    from memex_audit.audit import Progress
    from memex_audit.exhibits import Exhibit
    from memex_audit.records import ControlResult, UntargetedResult
    from memex_audit.spending import Spending
    from memex_audit.workbench import Workbench

WHY_NO_PROMPTS = (
    "{why}: its audit is the untargeted extraction of {n:,} pictures, and no case of a prompt is made"
)
NOTHING_HELD_OUT = (
    "no pictures were held out, so how often chance replicates is not known (--memex-untargeted-held-out SET)"
)


def why_no_prompts(bench: "Workbench") -> str | None:
    """Say why no prompt is audited; None where prompts are."""
    if not bench.why_no_prompts:
        return None
    return WHY_NO_PROMPTS.format(why=bench.why_no_prompts, n=bench.untargeted_generations)


class Unprompted:
    """Draws once, when first asked; the pictures are for the prompts of a file in turn, else for none."""

    def __init__(self, bench: "Workbench", progress: "Progress", spending: "Spending") -> None:
        self._bench = bench
        self._progress = progress
        self._spending = spending

    @cached_property
    def _audit(self) -> UntargetedAudit:
        listed = self._bench.prompts.prompts if self._bench.settings.prompts else ()
        return UntargetedAudit(self._bench, [prompt.text for prompt in listed])

    @cached_property
    def _drawn(self) -> UntargetedAudit:
        n = self._bench.untargeted_generations
        if not n:
            raise ConfigurationError(
                "memex.untargeted() must know how many pictures to draw, got 0; give --memex-untargeted N."
            )
        self._audit.draw(n, progress=self._progress, spending=self._spending)
        return self._audit

    def result(self, *, limit: float, confidence: float) -> "UntargetedResult":
        """Return what was found."""
        return self._drawn.result(limit=limit, confidence=confidence)

    def exhibits(self) -> "tuple[Exhibit, ...]":
        """Return the replicas of the first training images, each with its image."""
        return self._drawn.exhibits()

    def positive_control(self) -> "ControlResult":
        """Look up training images under noise."""
        return self._drawn.positive_control()

    def negative_control(self) -> "ControlResult":
        """Report what of the held-out pictures counts as a replica; skips where there are none."""
        control = self._drawn.negative_control()
        if control is None:
            pytest.skip(NOTHING_HELD_OUT)
        return control
