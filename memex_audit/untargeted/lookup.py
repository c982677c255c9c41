"""Pictures -> the training image nearest to each, with its adaptive distance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memex_audit.errors import ConfigurationError
from memex_audit.extraction.adaptive_distance import ALPHA, NEIGHBOURS, adaptive_nearest
from memex_audit.extraction.matching import Matcher

# Of one group of near-copies by embedding, and within the study's match by pixels: copies of one image.
COPY_L2 = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedUp:
    """For each of some pictures the nearest training image, its l2 and its adaptive distance."""

    example_ids: tuple[str, ...]
    distances: NDArray[np.float64]
    adaptive: NDArray[np.float64]


class TrainingLookup:
    """Looks pictures up in a training set: the index proposes by embedding, pixels decide.

    Args:
        matcher: over the training set.
        groups: of near-copies, by example id.

    Raises:
        ConfigurationError: the training images are all copies of one.
    """

    def __init__(self, matcher: Matcher, groups: Mapping[str, int]) -> None:
        if len(set(groups.values())) < 2:
            raise ConfigurationError(
                "an untargeted extraction must have at least 2 distinct training images to compare with, got "
                f"{len(set(groups.values()))} in {len(groups)}; give the whole training set."
            )
        self._matcher = matcher
        self._groups = groups

    def look_up(self, images: NDArray[np.uint8]) -> LookedUp:
        """Return what is nearest to each picture, uint8 (n, h, w, 3), n at least 1."""
        ids = self._matcher.candidates(images, self._groups, NEIGHBOURS)
        copies = _Copies(self._matcher, self._groups, ids, images.shape[1:3])
        found = adaptive_nearest(
            self._matcher.distances_to(images, ids).distances, copies, neighbours=NEIGHBOURS, alpha=ALPHA
        )
        return LookedUp(
            example_ids=tuple(ids[column] for column in found.columns),
            distances=found.distances,
            adaptive=found.adaptive,
        )


class _Copies:
    """Which of some training images are near-copies of one of them: compared once, and only where asked."""

    def __init__(
        self, matcher: Matcher, groups: Mapping[str, int], ids: Sequence[str], size: tuple[int, ...]
    ) -> None:
        self._matcher, self._groups, self._ids, self._size = matcher, groups, ids, size
        self._known: dict[int, tuple[int, ...]] = {}

    def __call__(self, column: int) -> tuple[int, ...]:
        if column not in self._known:
            self._known[column] = self._compare(column)
        return self._known[column]

    def _compare(self, column: int) -> tuple[int, ...]:
        group = self._groups.get(self._ids[column])
        same = [
            other
            for other, example_id in enumerate(self._ids)
            if other != column and group is not None and self._groups.get(example_id) == group
        ]
        if not same:
            return ()
        height, width = self._size
        image = self._matcher.training_image(self._ids[column], height, width)
        near = self._matcher.distances_to(image[None], [self._ids[other] for other in same]).distances[0]
        return tuple(other for other, distance in zip(same, near, strict=True) if distance <= COPY_L2)
