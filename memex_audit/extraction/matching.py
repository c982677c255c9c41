"""Compare generations with training images: pixels -> distances -> the image that was given back."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memex_audit.extraction.distances import l2_between
from memex_audit.extraction.fitting import fit_to
from memex_audit.protocols import Embedder, Index, Pictures

# The index proposes, pixels decide: how many neighbours by embedding are looked at pixel by pixel.
NEIGHBORS = 32
NEIGHBORS_EACH = 8
# k is counted among so many neighbours of the matched image.
K_NEIGHBORS = 256
# Training images in memory at a time: as they are read, and brought to the generations' size.
LOADED = 16
FITTED_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """Distances (n generations, m training images) and the ids of the m."""

    distances: NDArray[np.float64]
    example_ids: tuple[str, ...]


def beside(one: Nearest, other: Nearest) -> Nearest:
    """Put the distances of the same generations to further training images beside the first."""
    return Nearest(
        distances=np.hstack([one.distances, other.distances]),
        example_ids=(*one.example_ids, *other.example_ids),
    )


class Matcher:
    """Looks generations up in the training set; the index and the embedder are loaded when first needed."""

    def __init__(
        self, training_set: Pictures, index: Callable[[], Index], embedder: Callable[[], Embedder]
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
        distances = np.zeros((len(images), len(example_ids)))
        start = 0
        for block in self._blocks(example_ids, *images.shape[1:3]):
            distances[:, start : start + len(block)] = l2_between(images, block)
            start += len(block)
        return Nearest(distances=distances, example_ids=tuple(example_ids))

    def _blocks(self, example_ids: Sequence[str], height: int, width: int) -> Iterator[NDArray[np.uint8]]:
        """Yield the training images in order, uint8 (m, height, width, 3): thousands do not fit in memory."""
        most = max(1, FITTED_BYTES // (height * width * 3))
        fitted: list[NDArray[np.uint8]] = []
        for start in range(0, len(example_ids), LOADED):
            for pixels in self._training_set.load(example_ids[start : start + LOADED]):
                fitted.append(fit_to(pixels, height, width))
                if len(fitted) == most:
                    yield np.stack(fitted)
                    fitted = []
        if fitted:
            yield np.stack(fitted)

    def distances_to_neighbors(self, images: NDArray[np.uint8], n: int = NEIGHBORS) -> Nearest:
        """Return every generation's l2 to the `n` training images nearest to any of them by embedding."""
        best = self._neighbors(images, n)
        nearest = sorted(best, key=lambda row: -best[row])[:n]
        return self.distances_to(images, [self._index().example_ids[row] for row in nearest])

    def distances_to_others(self, images: NDArray[np.uint8], example_ids: Sequence[str]) -> Nearest:
        """Return every generation's l2 to the training images that are near any of them by embedding.

        Each generation proposes its own nearest: a few hundred of them may show as many training images.

        Args:
            images: uint8 (n, h, w, 3).
            example_ids: what is left out.
        """
        known, index = set(example_ids), self._index()
        if len(known) == len(index.example_ids):
            return self.distances_to(images, ())
        near = [index.example_ids[row] for row in self._neighbors(images, NEIGHBORS_EACH)]
        return self.distances_to(images, [example_id for example_id in near if example_id not in known])

    def candidates(
        self, images: NDArray[np.uint8], groups: Mapping[str, int], at_least: int
    ) -> tuple[str, ...]:
        """Return training images among which are, for each picture, those of the nearest groups by embedding.

        Args:
            images: uint8 (n, h, w, 3).
            groups: of near-copies, by example id; an image that is not named is one by itself.
            at_least: groups for each picture; all images where there are fewer.
        """
        index, size = self._index(), len(self._index().example_ids)
        labels = np.array([groups.get(one, -1 - row) for row, one in enumerate(index.example_ids)])
        vectors, n = self._embedder().embed(list(images)), min(size, 2 * at_least)
        while True:
            _, rows = index.search(vectors, n)
            if n == size or min(len(set(labels[near])) for near in rows) >= at_least:
                return tuple(index.example_ids[row] for row in np.unique(rows))
            n = min(size, 2 * n)

    def _neighbors(self, images: NDArray[np.uint8], n: int) -> dict[int, float]:
        """Return the rows of each image's `n` nearest training images, with their largest cosine."""
        index = self._index()
        n = min(n, len(index.example_ids))
        similarities, rows = index.search(self._embedder().embed(list(images)), n)
        best: dict[int, float] = {}
        for row, similarity in zip(rows.ravel(), similarities.ravel(), strict=True):
            best[int(row)] = max(best.get(int(row), -2.0), float(similarity))
        return best

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
