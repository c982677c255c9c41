"""Draw, look up, count: how much of what a model draws unasked replicates a training image."""

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from operator import length_hint
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from memex_audit.errors import ConfigurationError
from memex_audit.exhibits import Exhibit
from memex_audit.explain_run import UNDER_NOISE
from memex_audit.extraction.adaptive_distance import ALPHA, NEIGHBOURS
from memex_audit.extraction.fitting import fit_to
from memex_audit.extraction.verdicts import SEEDS_FOR_EXTRACTION
from memex_audit.looking import comparable
from memex_audit.rates.bounds import binomial_lower, binomial_upper
from memex_audit.records import ControlResult, UntargetedResult, UntargetedThreshold
from memex_audit.untargeted.drawing import AT_ONCE, draw_untargeted
from memex_audit.untargeted.lookup import TrainingLookup
from memex_audit.untargeted.replicas import Replica, Replicas
from memex_audit.untargeted.threshold import default_threshold, untargeted_threshold

if TYPE_CHECKING:
    from memex_audit.audit import Progress
    from memex_audit.protocols import TrainingSet
    from memex_audit.records import Generation
    from memex_audit.spending import Spending
    from memex_audit.workbench import Workbench

MOST_NAMED = 1000
# Of a larger set every so manieth picture is taken: none of 3,000 bounds false positives by 0.1 %.
MOST_HELD_OUT = 3000
PLANTED = 32
NOISE = 8


class UntargetedAudit:
    """An untargeted extraction on one bench: result and controls, all by the same threshold.

    Args:
        bench: what draws, and the training set.
        prompts: asked in turn; none where the model is asked with the empty prompt.

    Raises:
        ConfigurationError: there is no training set to look in.
    """

    def __init__(self, bench: "Workbench", prompts: Sequence[str] = ()) -> None:
        if bench.matcher is None or bench.mined is None:
            raise ConfigurationError(
                "an untargeted extraction needs the training set to look generations up in, got none; "
                "give --memex-training-set PATH (captions are not needed)."
            )
        self._bench = bench
        self._matcher = bench.matcher
        self._prompts = prompts
        self._groups = bench.mined.load_groups()
        self._lookup = TrainingLookup(bench.matcher, self._groups)
        self._size: tuple[int, int] = (0, 0)
        self._judged, self._set_aside, self._nearest = 0, 0, math.inf
        self.replicas = Replicas(self._groups)

    def draw(self, n: int, *, progress: "Progress", spending: "Spending") -> None:
        """Draw `n` pictures and look each up; fewer where the budget ends.

        Raises:
            ConfigurationError: none of them can be judged.
        """
        batches = draw_untargeted(self._bench, self._prompts, n, progress=progress, spending=spending)
        for generations in batches:
            self._judge(generations)
        if not self._judged:
            raise ConfigurationError(
                f"an untargeted extraction must have pictures to judge, got {self._set_aside} that are blank "
                "or broken, and no other; mend the model, or draw with another --memex-dtype."
            )
        if (drawn := self._judged + self._set_aside) < n:
            self._bench.notes.append(
                f"the budget ended after {drawn:,} of {n:,} pictures of the untargeted extraction: its bound "
                "is that of what was drawn"
            )

    def result(self, *, limit: float, confidence: float) -> UntargetedResult:
        """Return what was found in what was drawn."""
        images, replicating = self.replicas.images(), len(self.replicas)
        cost = self._bench.generator.evaluations_per_image
        return UntargetedResult(
            generations=self._judged,
            set_aside=self._set_aside,
            network_evaluations=(self._judged + self._set_aside) * cost,
            replicating=replicating,
            replicated=len(images),
            extracted=sum(image.generations >= SEEDS_FOR_EXTRACTION for image in images),
            lower=binomial_lower(replicating, self._judged, confidence),
            upper=binomial_upper(replicating, self._judged, confidence),
            confidence=confidence,
            limit=limit,
            threshold=self.threshold,
            neighbours=NEIGHBOURS,
            alpha=ALPHA,
            training_images=len(self._groups),
            prompts=len(set(self._prompts)),
            nearest=self._nearest,
            images=images[:MOST_NAMED],
        )

    def _judge(self, generations: "Sequence[Generation]") -> None:
        images, seeds = comparable(generations)
        self._set_aside += len(generations) - len(images)
        if not len(images):
            return
        self._size = (images.shape[1], images.shape[2])
        threshold, found = self.threshold, self._lookup.look_up(images)
        self._judged += len(images)
        self._nearest = min(self._nearest, float(found.adaptive.min()))
        for row in np.flatnonzero(found.adaptive <= threshold.threshold):
            self.replicas.add(
                Replica(
                    example_id=found.example_ids[row],
                    distance=float(found.distances[row]),
                    adaptive=float(found.adaptive[row]),
                    seed=seeds[row],
                    pixels=images[row],
                )
            )

    def exhibits(self) -> tuple[Exhibit, ...]:
        """Return the replicas of the first training images, each with its image, in memory only."""
        return tuple(
            Exhibit(
                generations=pixels,
                training_image=self._matcher.training_image(
                    name, pixels.shape[1], pixels.shape[2], like=pixels
                ),
            )
            for name, pixels in self.replicas.pictures()
        )

    @cached_property
    def threshold(self) -> UntargetedThreshold:
        """The threshold: measured on held-out pictures at the generations' size, or the stated default."""
        held_out = self._bench.held_out
        if held_out is None:
            return default_threshold()
        distances = [
            float(distance)
            for batch in _stacked(_every_so_many(held_out), *self._size, self._matcher.crop)
            for distance in self._lookup.look_up(batch).adaptive
        ]
        return untargeted_threshold(distances)

    # -- controls

    def positive_control(self) -> ControlResult:
        """Look training images up that noise was laid over, as if they had been drawn."""
        ids = sorted(self._groups)[:: max(1, len(self._groups) // PLANTED)][:PLANTED]
        random = np.random.default_rng(self._bench.settings.seed)
        images = np.stack([self._matcher.training_image(one, *self._size) for one in ids]).astype(np.int16)
        noisy = np.clip(images + random.integers(-NOISE, NOISE + 1, images.shape), 0, 255).astype(np.uint8)
        found = self._lookup.look_up(noisy)
        detected = sum(
            self._groups[one] == self._groups.get(nearest) and adaptive <= self.threshold.threshold
            for one, nearest, adaptive in zip(ids, found.example_ids, found.adaptive, strict=True)
        )
        return ControlResult(
            kind="positive",
            subject=f"{UNDER_NOISE}, looked up as generations are",
            prompts=len(ids),
            detected=detected,
            unit="training images",
        )

    def negative_control(self) -> ControlResult | None:
        """Report how many held-out pictures count as replicas; None where nothing was held out."""
        if not self.threshold.held_out:
            return None
        return ControlResult(
            kind="negative",
            subject="held-out pictures, that the threshold was measured on",
            prompts=self.threshold.held_out,
            detected=self.threshold.flagged,
            unit="held-out pictures",
        )


def _every_so_many(held_out: "TrainingSet") -> Iterator[NDArray[np.uint8]]:
    step = math.ceil((length_hint(held_out, 0) or 1) / MOST_HELD_OUT)
    for example in islice(held_out.examples(), 0, step * MOST_HELD_OUT, step):
        yield example.pixels


def _stacked(
    pictures: Iterator[NDArray[np.uint8]], height: int, width: int, crop: str
) -> Iterator[NDArray[np.uint8]]:
    """Yield stacks of AT_ONCE pictures at one size."""
    while batch := [fit_to(pixels, height, width, crop) for pixels in islice(pictures, AT_ONCE)]:
        yield np.stack(batch)
