"""Bring a training image to the size of a generation, as training would have."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def fit_to(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return the image resized so that it covers (height, width), the overhang cut off at the centre.

    Args:
        pixels: uint8 (h, w, 3).
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    h, w = pixels.shape[:2]
    scale = max(height / h, width / w)
    covering = (max(width, round(w * scale)), max(height, round(h * scale)))
    image = Image.fromarray(pixels).resize(covering, Image.Resampling.BICUBIC)
    left, top = (covering[0] - width) // 2, (covering[1] - height) // 2
    return np.asarray(image.crop((left, top, left + width, top + height)))
