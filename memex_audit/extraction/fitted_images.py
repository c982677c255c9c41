"""Training images at the generations' size, a few at a time, and compared with them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from memex_audit.extraction.altered import ALTERATIONS
from memex_audit.extraction.distances import l2_between
from memex_audit.extraction.fitting import cover, cut_at, fit_to, nearest_cuts
from memex_audit.protocols import Pictures

# Training images that are read together, and bytes of them in memory at the generations' size.
LOADED = 16
FITTED_BYTES = 64 << 20

# From training images, uint8 (m, h, w, 3), to the distances of n generations to them, (n, m).
Compare = Callable[[NDArray[np.uint8]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """Distances (n generations, m training images) and the ids of the m."""

    distances: NDArray[np.float64]
    example_ids: tuple[str, ...]


class FittedImages:
    """The training images as training saw them: brought to the generations' size, and cut as `crop` says."""

    def __init__(self, training_set: Pictures, crop: str) -> None:
        self._training_set = training_set
        self._crop = crop

    def image(
        self, example_id: str, height: int, width: int, like: NDArray[np.uint8] | None
    ) -> NDArray[np.uint8]:
        """Return one at (height, width); of a random crop the cut that is nearest to any of `like`."""
        (pixels,) = self._training_set.load([example_id])
        if self._crop != "random" or like is None or not len(like):
            return fit_to(pixels, height, width, self._crop)
        covering = cover(pixels, height, width)
        distances, places = nearest_cuts(covering, height, width, partial(l2_between, like))
        return cut_at(covering, height, width, int(places[distances.argmin()]))

    def compare(
        self,
        example_ids: Sequence[str],
        size: tuple[int, ...],
        n: int,
        compare: Compare,
        *,
        every: bool = False,
    ) -> Nearest:
        """Return the distances of n generations to each of these training images.

        Args:
            example_ids: m ids.
            size: height and width of the generations.
            n: their number.
            compare: compares them with training images of that size.
            every: of a random crop, at every place: for bounds.
        """
        return self._compared(example_ids, size, n, {"": compare}, every=every)[""]

    def compare_altered(
        self,
        example_ids: Sequence[str],
        size: tuple[int, ...],
        n: int,
        compare: Compare,
        *,
        every: bool = False,
    ) -> dict[str, Nearest]:
        """Return, by alteration, the distances to each of these training images altered so."""
        altered = {name: partial(_altered, compare, alter) for name, alter in ALTERATIONS.items()}
        return self._compared(example_ids, size, n, altered, every=every)

    def _compared(
        self,
        example_ids: Sequence[str],
        size: tuple[int, ...],
        n: int,
        compares: Mapping[str, Compare],
        *,
        every: bool,
    ) -> dict[str, Nearest]:
        """Compare with each training image in each of these ways; of a random crop, where it is nearest."""
        found = {name: np.zeros((n, len(example_ids))) for name in compares}
        if self._crop == "random":
            for column, pixels in enumerate(self._pictures(example_ids)):
                covering = cover(pixels, size[0], size[1])
                for name, compare in compares.items():
                    distances, _ = nearest_cuts(covering, size[0], size[1], compare, every=every)
                    found[name][:, column] = distances
        else:
            start = 0
            for block in self._blocks(example_ids, *size):
                for name, compare in compares.items():
                    found[name][:, start : start + len(block)] = compare(block)
                start += len(block)
        return {
            name: Nearest(distances=distances, example_ids=tuple(example_ids))
            for name, distances in found.items()
        }

    def _blocks(self, example_ids: Sequence[str], height: int, width: int) -> Iterator[NDArray[np.uint8]]:
        """Yield the training images in order, uint8 (m, height, width, 3): thousands do not fit in memory."""
        most = max(1, FITTED_BYTES // (height * width * 3))
        fitted: list[NDArray[np.uint8]] = []
        for pixels in self._pictures(example_ids):
            fitted.append(fit_to(pixels, height, width, self._crop))
            if len(fitted) == most:
                yield np.stack(fitted)
                fitted = []
        if fitted:
            yield np.stack(fitted)

    def _pictures(self, example_ids: Sequence[str]) -> Iterator[NDArray[np.uint8]]:
        """Yield training images at their own size; of a set of files one is in memory."""
        load = getattr(self._training_set, "load_each", self._training_set.load)
        for start in range(0, len(example_ids), LOADED):
            yield from load(example_ids[start : start + LOADED])


def _altered(
    compare: Compare, alter: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], cuts: NDArray[np.uint8]
) -> NDArray[np.float64]:
    return compare(np.stack([alter(pixels) for pixels in cuts]))
