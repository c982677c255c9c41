"""Compare generations with training images: pixels -> distances -> the image that was given back."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from memex_audit.extraction.block_sums import BlockSums, block_sums
from memex_audit.extraction.distances import l2_between
from memex_audit.extraction.fitted_images import FittedImages, Nearest
from memex_audit.extraction.reduction import l2_lower_bounds
from memex_audit.protocols import Embedder, Index, Pictures

# The index proposes, pixels decide: how many neighbours by embedding are looked at pixel by pixel.
NEIGHBORS = 32
NEIGHBORS_EACH = 8
# Training images of a caption that its generations are compared with, at most.
MOST_OWN = 1024
# k is counted among so many neighbours of the matched image.
K_NEIGHBORS = 256


def beside(one: Nearest, other: Nearest) -> Nearest:
    """Put the distances of the same generations to further training images beside the first."""
    return Nearest(
        distances=np.hstack([one.distances, other.distances]),
        example_ids=(*one.example_ids, *other.example_ids),
    )


class Matcher:
    """Looks generations up in the training set; the index and the embedder are loaded when first needed.

    Args:
        training_set: pictures by id; only those that are asked for are read.
        index: over their embeddings.
        embedder: of the index.
        copy_detector: None where there is none.
        crop: how training brought pictures to the model's size: "center", "random" or "squash" (`fit_to`).
    """

    def __init__(
        self,
        training_set: Pictures,
        index: Callable[[], Index],
        embedder: Callable[[], Embedder],
        copy_detector: Callable[[], Embedder] | None = None,
        *,
        crop: str = "center",
    ) -> None:
        self._training_set = training_set
        self._index = index
        self._embedder = embedder
        self._copy_detector = copy_detector
        self.crop = crop
        self._fitted = FittedImages(training_set, crop)

    def training_image(
        self, example_id: str, height: int, width: int, like: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """Return a training image at (height, width), uint8 (height, width, 3).

        Args:
            example_id: its id.
            height: of the generations.
            width: of the generations.
            like: generations, uint8 (n, height, width, 3): of a random crop, the one nearest to any of them.
        """
        return self._fitted.image(example_id, height, width, like)

    def distances_to(self, images: NDArray[np.uint8], example_ids: Sequence[str]) -> Nearest:
        """Return the l2 of every generation to each of these training images, brought to its size.

        Args:
            images: uint8 (n, h, w, 3).
            example_ids: m ids.
        """
        return self._fitted.compare(example_ids, images.shape[1:3], len(images), partial(l2_between, images))

    def distances_to_own(self, images: NDArray[np.uint8], example_ids: Sequence[str]) -> Nearest:
        """Return the l2 of every generation to the training images of its own caption.

        Of more than MOST_OWN, to those that are nearest to any generation by embedding: a template that is
        there 100,000 times under one caption is not read 100,000 times for each look at it.

        Args:
            images: uint8 (n, h, w, 3), n at least 1.
            example_ids: of the caption.
        """
        if len(example_ids) <= MOST_OWN:
            return self.distances_to(images, example_ids)
        own = set(example_ids)
        ids, n = self._index().example_ids, MOST_OWN
        while True:
            best = self._neighbors(images, n)
            near = [ids[row] for row in sorted(best, key=lambda row: -best[row]) if ids[row] in own]
            if len(near) >= MOST_OWN or n >= len(ids):
                return self.distances_to(images, near[:MOST_OWN])
            n *= 4

    def distances_to_altered(
        self, images: NDArray[np.uint8], example_ids: Sequence[str]
    ) -> dict[str, Nearest]:
        """Return, by alteration, the l2 of every generation to each of these training images altered so."""
        compare = partial(l2_between, images)
        return self._fitted.compare_altered(example_ids, images.shape[1:3], len(images), compare)

    def bounds_to(self, sums: BlockSums, example_ids: Sequence[str]) -> Nearest:
        """Return bounds from below on `distances_to` of pictures that are known by their block sums."""
        size = (sums.height, sums.width)
        return self._fitted.compare(example_ids, size, len(sums), partial(_l2_bounds, sums), every=True)

    def bounds_to_altered(self, sums: BlockSums, example_ids: Sequence[str]) -> dict[str, Nearest]:
        """Return bounds from below on `distances_to_altered` of such pictures."""
        size = (sums.height, sums.width)
        compare = partial(_l2_bounds, sums)
        return self._fitted.compare_altered(example_ids, size, len(sums), compare, every=True)

    def distances_to_neighbors(self, images: NDArray[np.uint8], n: int = NEIGHBORS) -> Nearest:
        """Return every generation's l2 to the `n` training images nearest to any of them by embedding."""
        return self.distances_to(images, self.neighbor_ids(images, n))

    def neighbor_ids(self, images: NDArray[np.uint8], n: int = NEIGHBORS) -> tuple[str, ...]:
        """Return the `n` training images nearest to any of these pictures by embedding, nearest first."""
        best = self._neighbors(images, n)
        nearest = sorted(best, key=lambda row: -best[row])[:n]
        return tuple(self._index().example_ids[row] for row in nearest)

    def near_copies(self, example_id: str) -> tuple[str, ...]:
        """Return the training images within the embedder's duplicate similarity of one, itself included."""
        index, embedder = self._index(), self._embedder()
        vector = embedder.embed(self._training_set.load([example_id]))
        cosines, rows = index.search(vector, min(K_NEIGHBORS, len(index.example_ids)))
        near = rows[0][cosines[0] >= embedder.duplicate_similarity]
        return tuple(index.example_ids[row] for row in near)

    # -- cosines, which report and do not decide

    def cosine(self, picture: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
        """Return the cosine of the embedder between two pictures."""
        return _cosine(self._embedder(), picture, other)

    def copy_cosine(self, picture: NDArray[np.uint8], other: NDArray[np.uint8]) -> float | None:
        """Return the copy detector's cosine between two pictures; None where there is none."""
        return _cosine(self._copy_detector(), picture, other) if self._copy_detector else None

    @property
    def copy_threshold(self) -> float:
        """The cosine from which on a copy detector calls two pictures copies; above 1 without one."""
        return self._copy_detector().duplicate_similarity if self._copy_detector else 2.0

    def most_alike(self, picture: NDArray[np.uint8], example_ids: Sequence[str]) -> tuple[str, float] | None:
        """Return which of these training images a copy detector finds most alike, and its cosine."""
        if self._copy_detector is None or not example_ids:
            return None
        vectors = self._copy_detector().embed([picture, *self._training_set.load(example_ids)])
        cosines = vectors[1:] @ vectors[0]
        return example_ids[int(cosines.argmax())], float(cosines.max())

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


def _l2_bounds(sums: BlockSums, training_images: NDArray[np.uint8]) -> NDArray[np.float64]:
    return l2_lower_bounds(sums, block_sums(training_images))


def _cosine(embedder: Embedder, picture: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    one, two = embedder.embed([picture, other])
    return float(min(1.0, max(-1.0, one @ two)))
