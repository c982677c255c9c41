"""Generations that replicate a training image -> the distinct images, with the pictures that show it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memex_audit.exhibits import MOST_EXHIBITS
from memex_audit.records import ImageReplicated

# Pictures of one training image's replicas that are kept in memory, to be shown.
MOST_PICTURES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """A generation that replicates a training image; `pixels` uint8 (h, w, 3) where they are to be shown."""

    example_id: str
    distance: float
    adaptive: float
    seed: int
    pixels: NDArray[np.uint8] | None = None


class Replicas:
    """Takes replicas in and puts those of near-copies together: these are one training image.

    Args:
        groups: of near-copies, by example id.
    """

    def __init__(self, groups: Mapping[str, int]) -> None:
        self._groups = groups
        self._of_image: dict[int | str, list[Replica]] = defaultdict(list)

    def __len__(self) -> int:
        return sum(map(len, self._of_image.values()))

    def add(self, replica: Replica) -> None:
        """Take one in; its pixels are let go where enough are kept."""
        image = self._groups.get(replica.example_id, replica.example_id)
        shown = image in self._of_image or len(self._of_image) < MOST_EXHIBITS
        if not shown or len(self._of_image[image]) >= MOST_PICTURES:
            replica = Replica(
                example_id=replica.example_id,
                distance=replica.distance,
                adaptive=replica.adaptive,
                seed=replica.seed,
            )
        self._of_image[image].append(replica)

    def images(self) -> tuple[ImageReplicated, ...]:
        """Return the distinct training images, most generations first."""
        return tuple(
            ImageReplicated(
                example_id=near[0].example_id,
                generations=len(near),
                distance=near[0].distance,
                adaptive=near[0].adaptive,
            )
            for near in self._sorted()
        )

    def pictures(self) -> tuple[tuple[str, NDArray[np.uint8]], ...]:
        """Return training images, most generations first, with the replicas that are to be shown."""
        kept = (
            (near[0].example_id, [one.pixels for one in near if one.pixels is not None])
            for near in self._sorted()
        )
        return tuple((name, np.stack(pixels)) for name, pixels in kept if pixels)

    def _sorted(self) -> Sequence[Sequence[Replica]]:
        nearest_first = [
            sorted(near, key=lambda replica: (replica.adaptive, replica.seed))
            for near in self._of_image.values()
        ]
        return sorted(nearest_first, key=lambda near: (-len(near), near[0].adaptive, near[0].example_id))
