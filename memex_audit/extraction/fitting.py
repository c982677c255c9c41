"""Bring a training image to the size of a generation, as training would have."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

# Between places that are looked at first where a picture may be cut from anywhere, in pixels: of a photograph
# the best is less than half of them away. Cut pictures in memory at a time.
STEP, CUT_BYTES = 8, 64 << 20


def fit_to(pixels: Pixels, height: int, width: int, crop: str = "center") -> Pixels:
    """Return the image resized so that it covers (height, width), the overhang cut off at the centre.

    An image that is smaller is enlarged, as training enlarges it: what the model saw, and gives back, is the
    enlarged picture. Made smaller instead, the generation would lose what the model invented beyond it, and
    lie nearer than it is.

    Args:
        pixels: uint8 (h, w, 3).
        height: of the generation.
        width: of the generation.
        crop: "squash" resizes both sides alike to what they are to be, and cuts nothing off; "center" and
            "random" cut at the centre (`nearest_cuts` looks for the place of a random crop).
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    if crop == "squash":
        return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
    return center_of(cover(pixels, height, width), height, width)


def cover(pixels: Pixels, height: int, width: int) -> Pixels:
    """Return the image resized so that it just covers (height, width), uint8 (at least h, at least w, 3)."""
    h, w = pixels.shape[:2]
    scale = max(height / h, width / w)
    covering = (max(width, round(w * scale)), max(height, round(h * scale)))
    if covering == (w, h):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(covering, Image.Resampling.BICUBIC))


def center_of(covering: Pixels, height: int, width: int) -> Pixels:
    """Return the centre of an image, uint8 (height, width, 3)."""
    top, left = (covering.shape[0] - height) // 2, (covering.shape[1] - width) // 2
    return covering[top : top + height, left : left + width]


def nearest_cuts(
    covering: Pixels,
    height: int,
    width: int,
    compare: Callable[[Pixels], NDArray[np.float64]],
    *,
    every: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Find where a random crop was cut: the least distance of each of n pictures to an image, and its place.

    Places STEP pixels apart are looked at, the centre among them, then all around the best of each picture.

    Args:
        covering: uint8, from `cover`: one side is that of the pictures.
        height: of the pictures.
        width: of the pictures.
        compare: from cuts, uint8 (m, height, width, 3), to distances of the n pictures, (n, m).
        every: look at every place: for bounds, which must lie under the distance wherever it is found.

    Returns:
        Distances float64 (n,), and places int64 (n,) for `cut_at`.
    """
    last = max(covering.shape[0] - height, covering.shape[1] - width)
    places = sorted({*range(0, last + 1, 1 if every else STEP), last // 2, last})
    distances = _compared(covering, height, width, places, compare)
    if not every:
        best = {places[column] for column in distances.argmin(axis=1)}
        around = {place + d for place in best for d in range(1 - STEP, STEP) if 0 <= place + d <= last}
        if fine := sorted(around.difference(places)):
            distances = np.hstack([distances, _compared(covering, height, width, fine, compare)])
            places += fine
    nearest = distances.argmin(axis=1)
    return distances.min(axis=1), np.array(places, np.int64)[nearest]


def cut_at(covering: Pixels, height: int, width: int, place: int) -> Pixels:
    """Return the picture at a place along the longer side, uint8 (height, width, 3)."""
    down, right = (place, 0) if covering.shape[0] > height else (0, place)
    return covering[down : down + height, right : right + width]


def _compared(
    covering: Pixels,
    height: int,
    width: int,
    places: list[int],
    compare: Callable[[Pixels], NDArray[np.float64]],
) -> NDArray[np.float64]:
    most = max(1, CUT_BYTES // (height * width * 3))
    parts = [places[start : start + most] for start in range(0, len(places), most)]
    cuts = (np.stack([cut_at(covering, height, width, place) for place in part]) for part in parts)
    return np.hstack([compare(cut) for cut in cuts])
