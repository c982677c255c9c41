"""A training image as it may come back: mirrored, or cropped a little and resized.

Models are trained on mirrored and cropped pictures too, and plain l2 sees neither: a mirrored picture is
another one to it. Each alteration is one more comparison that chance can win (docs/how-to/untargeted.md).
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from memex_audit.extraction.fitting import fit_to

Pixels = NDArray[np.uint8]


def mirrored(pixels: Pixels) -> Pixels:
    """Return an image with left and right exchanged, uint8 (h, w, 3).

    >>> mirrored(np.arange(6, dtype=np.uint8).reshape(1, 2, 3)).ravel().tolist()
    [3, 4, 5, 0, 1, 2]
    """
    return np.ascontiguousarray(pixels[:, ::-1])


def cropped(pixels: Pixels, share: float) -> Pixels:
    """Return the centre of an image, `share` of each side, resized to the whole, uint8 (h, w, 3)."""
    height, width = pixels.shape[:2]
    top, left = round(height * (1 - share) / 2), round(width * (1 - share) / 2)
    return fit_to(pixels[top : height - top, left : width - left], height, width)


# By the name that a finding gives them. A crop of 99 % is a copy to plain l2, one of 80 % another picture.
ALTERATIONS: Mapping[str, Callable[[Pixels], Pixels]] = MappingProxyType(
    {
        "mirrored": mirrored,
        "cropped to 95 %": lambda pixels: cropped(pixels, 0.95),
        "cropped to 90 %": lambda pixels: cropped(pixels, 0.9),
    }
)
