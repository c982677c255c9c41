"""Template verbatims: a generation equals training images outside of a region in which these differ.

A shop that shows one carpet in a hundred patterns trains a model on one photograph with a hole in it. The
pattern is invented anew, the photograph is given back, and l2 over the whole picture does not see it.

Source: Webster 2023, "A Reproducible Extraction of Training Images from Diffusion Models" (the term).
"""

import numpy as np
from numpy.typing import NDArray

# A pixel is the same in all images where its values deviate less than this from their mean (root mean square,
# pixels scaled to [0, 1]): more than compression does, less than another pattern.
LEVEL = 0.05
FEWEST_IMAGES = 3
# Of the picture; with less there is hardly a template, with more the images are copies of each other.
LEAST_SHARE, LARGEST_SHARE = 0.3, 0.97
# Deviation of the template's own pixels: a blank ground is no template, whatever stands on it.
LEAST_CONTRAST = 0.05


def template_mask(images: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """Return where near-duplicate training images are equal, bool (h, w); None where they make no template.

    Args:
        images: uint8 (m, h, w, 3).
    """
    if len(images) < FEWEST_IMAGES:
        return None
    scaled = images.astype(np.float32) / 255
    mask: NDArray[np.bool_] = scaled.std(axis=0).max(axis=-1) < LEVEL
    if not LEAST_SHARE <= mask.mean() <= LARGEST_SHARE:
        return None
    contrast = scaled.mean(axis=0)[mask].std(axis=0).max()
    return mask if contrast >= LEAST_CONTRAST else None


def l2_outside(
    images: NDArray[np.uint8], image: NDArray[np.uint8], mask: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the l2 of each of some images to one, over the pixels of the mask alone, float64 (n,).

    Args:
        images: uint8 (n, h, w, 3).
        image: uint8 (h, w, 3).
        mask: bool (h, w), True somewhere.

    >>> black, half = np.zeros((1, 2, 2, 3), np.uint8), np.zeros((2, 2, 3), np.uint8)
    >>> half[0] = 51
    >>> mask = np.array([[True, True], [False, False]])
    >>> l2_outside(black, half, mask).tolist(), l2_outside(black, half, ~mask).tolist()
    ([0.2], [0.0])
    """
    difference = images[:, mask].astype(np.float64) - image[mask]
    distances: NDArray[np.float64] = np.sqrt(np.square(difference).mean(axis=(1, 2))) / 255
    return distances
