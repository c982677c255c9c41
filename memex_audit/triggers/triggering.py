"""An extracted prompt -> the shortest one that still gives its training image back, in few generations."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from memex_audit.generation.filling import draw
from memex_audit.looking import comparable
from memex_audit.records import Finding, Trigger, Verdict

if TYPE_CHECKING:
    from memex_audit.workbench import Workbench

# A text triggers when so many of its first generations lie within match delta of the image.
NEAR = 2
LOOKS = (2, 3, 4)


def with_trigger(bench: "Workbench", finding: Finding, budget: int) -> Finding:
    """Return an extracted finding with the words that are enough; any other as it is.

    Args:
        bench: what draws, and what pictures are compared with.
        finding: of the audit on this bench.
        budget: most generations to look at; 0 looks for nothing.
    """
    if not budget or finding.verdict is not Verdict.EXTRACTED or finding.match is None:
        return finding
    if finding.match.alteration:
        # The search compares with training images as they are.
        return finding
    return replace(finding, trigger=find_trigger(bench, finding, budget))


def find_trigger(bench: "Workbench", finding: Finding, budget: int) -> Trigger:
    """Search the shortest prompt that triggers the replica of an extracted finding.

    What is drawn is kept in the unit store: the same search again looks at the same, and draws nothing.

    Raises:
        ModelError, StoreError: as drawing for any other prompt.
    """
    from memex_audit.triggers.search import find_shortest

    assert finding.match is not None
    test = TriggerTest(bench, finding.match.example_id, budget)
    words = finding.prompt.split()
    found = find_shortest(words, test)
    return Trigger(
        prompt_id=finding.prompt_id,
        text=found.text,
        kept=found.kept,
        n_kept=len(found.kept),
        n_words=len(words),
        replaced=found.replaced,
        generations=test.generations,
        network_evaluations=test.generations * bench.generator.evaluations_per_image,
        complete=found.complete,
    )


class TriggerTest:
    """Whether a text gives a training image back; None when the budget does not cover finding out.

    No screen goes before the generations: docs/how-to/triggers.md has what it would save and lose.
    """

    def __init__(self, bench: "Workbench", example_id: str, budget: int) -> None:
        self._bench = bench
        self._example_id = example_id
        self._budget = budget
        self.generations = 0

    def __call__(self, text: str) -> bool | None:
        """Look at 2 generations of a text, then at a third and a fourth, while they can change the answer."""
        seen = near = 0
        for n in LOOKS:
            if near + LOOKS[-1] - seen < NEAR:
                return False
            if self.generations + n - seen > self._budget:
                return None
            self.generations += n - seen
            seen, near = n, self._near(text, n)
            if near >= NEAR:
                return True
        return False

    def _near(self, text: str, n: int) -> int:
        bench = self._bench
        (drawn,) = draw(bench.unit_store, lambda: bench.generator, [text], n, batch_size=bench.batch_size)
        images, _ = comparable(drawn)
        if not bench.matcher or not len(images):
            return 0
        distances = bench.matcher.distances_to(images, [self._example_id]).distances
        return int(np.count_nonzero(distances <= bench.protocol.match_delta))
