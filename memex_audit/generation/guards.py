"""Set aside what is no picture, before it can look like a replica of another one that is none."""

import numpy as np
from numpy.typing import NDArray

# A safety checker's black picture has deviation 0; one level of noise on a flat colour about 0.3.
FLAT_DEVIATION = 1.0


def to_bytes(pixels: NDArray[np.floating]) -> tuple[NDArray[np.uint8] | None, str | None]:
    """Turn float pixels in [0, 1] into uint8, or give the reason why they are no picture.

    NaN and infinity are looked for first: turned into bytes they would be black.
    """
    if not np.isfinite(pixels).all():
        return None, "not finite"
    image = np.clip(np.round(pixels * 255), 0, 255).astype(np.uint8)
    reason = flat_reason(image)
    return (None, reason) if reason else (image, None)


def flat_reason(image: NDArray[np.uint8]) -> str | None:
    """Return why this uint8 (h, w, 3) image is set aside as blank, or None.

    Blank generations (a safety checker's, an overflow's) agree with each other in every pixel, and would
    form a clique.
    """
    if image.ndim != 3 or image.shape[2] != 3:
        return f"shape {image.shape}"
    if float(image.reshape(-1, 3).std(axis=0).max()) < FLAT_DEVIATION:
        return "blank"
    return None
