"""Compare generations with training images: pixels -> distances -> the image that was given back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memex_audit.extraction.distances import l2_to_many
from memex_audit.extraction.fitting import fit_to
from memex_audit.protocols import Embedder, Index, TrainingSet

# The index proposes, pixels decide: how many neighbours by embedding are looked at pixel by pixel.
NEIGHBORS = 32
# k is counted among so many neighbours of the matched image.
K_NEIGHBORS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """Distances (n generations, m training images) and the ids of the m."""

    distances: NDArray[np.float64]
    example_ids: tuple[str, ...]


class Matcher:
    """Looks generations up in the training set; the index and the embedder are loaded when first needed."""

    def __init__(
        self, training_set: TrainingSet, index: Callable[[], Index], embedder: Callable[[], Embedder]
    ) -> None:
        self._training_set = training_set
        self._index = index
        self._embedder = embedder

    def training_image(self, example_id: str, height: int, width: int) -> NDArray[np.uint8]:
        """Return a training image at (height, width), uint8 (height, width, 3)."""
        return fit_to(self._training_set.load([example_id])[0], height, width)

    def distances_to(self, images: NDArray[np.uint8], example_ids: Sequence[str]) -> Nearest:
        """Return the l2 of every generation to each of these training images, brought to its size.

        Args:
            images: uint8 (n, h, w, 3).
            example_ids: m ids.
        """
        height, width = images.shape[1:3]
        columns = [
            l2_to_many(fit_to(training_image, height, width), images)
            for training_image in self._training_set.load(example_ids)
        ]
        distances = np.stack(columns, axis=1) if columns else np.zeros((len(images), 0))
        return Nearest(distances=distances, example_ids=tuple(example_ids))

    def distances_to_neighbors(self, images: NDArray[np.uint8], n: int = NEIGHBORS) -> Nearest:
        """Return every generation's l2 to the `n` training images nearest to any of them by embedding."""
        index = self._index()
        n = min(n, len(index.example_ids))
        similarities, rows = index.search(self._embedder().embed(list(images)), n)
        best: dict[int, float] = {}
        for row, similarity in zip(rows.ravel(), similarities.ravel(), strict=True):
            best[int(row)] = max(best.get(int(row), -2.0), float(similarity))
        nearest = sorted(best, key=lambda row: -best[row])[:n]
        return self.distances_to(images, [index.example_ids[row] for row in nearest])

    def count_within(self, example_id: str, delta: float, height: int, width: int) -> int:
        """Count the training images within `delta` of this one by l2 at (height, width), itself included.

        Source: Carlini et al. 2023, definition 2 (k, l, delta). Counted among its nearest K_NEIGHBORS by
        embedding, so a lower bound where more than that lie near.
        """
        image = self.training_image(example_id, height, width)
        near = self.distances_to_neighbors(image[None], K_NEIGHBORS)
        others = [
            distance
            for other, distance in zip(near.example_ids, near.distances[0], strict=True)
            if other != example_id
        ]
        return 1 + int(np.count_nonzero(np.array(others) <= delta))
