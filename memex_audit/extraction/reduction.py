"""What block sums alone settle: which pictures of a prompt must be looked at pixel by pixel.

A picture of 512 x 512 takes about half a megabyte, its block sums take 6 KB. Bounds from below say which
pairs are surely further apart than a threshold; only what is left needs pixels.

Shapes: n generations, m training images.
"""

from typing import TYPE_CHECKING

import numpy as np

from memex_audit.errors import ConfigurationError
from memex_audit.extraction.block_sums import BlockSums, bounds_between, candidate_graph, scaled_blocks
from memex_audit.extraction.cliques import degree_core

if TYPE_CHECKING:
    from numpy.typing import NDArray


def l2_lower_bounds(generations: BlockSums, training_images: BlockSums) -> "NDArray[np.float64]":
    """Bound the l2 of every generation to every training image from below.

    bound = sqrt(sum over all blocks of (dS)^2 / a, over 255^2 and the image's number of values), less a slack
    that covers rounding: by Jensen's inequality the squared differences of two blocks of area a sum to at
    least (their sums' difference)^2 / a.

    Args:
        generations: of n pictures.
        training_images: of m pictures of the same size.

    Returns:
        float64 (n, m) in [0, 1], nowhere above `l2_between` of the pixels.

    Raises:
        ConfigurationError: the sizes differ.

    >>> from memex_audit.extraction.block_sums import block_sums
    >>> black = np.zeros((1, 32, 32, 3), dtype=np.uint8)
    >>> round(float(l2_lower_bounds(block_sums(black), block_sums(black + 51))[0, 0]), 6)
    0.2
    """
    sizes = [(sums.height, sums.width) for sums in (generations, training_images)]
    if sizes[0] != sizes[1]:
        raise ConfigurationError(
            f"block sums must be of images of one size, got {sizes[0]} and {sizes[1]}; resize them first."
        )
    whole = (slice(0, generations.height), slice(0, generations.width))
    return bounds_between(scaled_blocks(generations, whole), scaled_blocks(training_images, whole), whole)


def no_clique_possible(sums: BlockSums, delta: float, clique_size: int = 2) -> bool:
    """Whether block sums prove that `near_duplicate_graph` of these pictures has no edge at all.

    Args:
        sums: of the n generations of one prompt.
        delta: largest tile-l2 of an edge, in (0, 1].
        clique_size: size of the cliques that matter; with 2 every edge does.

    >>> from memex_audit.extraction.block_sums import block_sums
    >>> images = np.zeros((3, 8, 8, 3), dtype=np.uint8)
    >>> images[2] = 255
    >>> no_clique_possible(block_sums(images), 0.1), no_clique_possible(block_sums(images), 0.1, 3)
    (False, True)
    """
    if not len(sums):
        return True
    return not degree_core(candidate_graph(sums, delta), clique_size - 1).any()


def no_match_possible(bounds: "NDArray[np.float64]", delta: float, *, at_least: int = 1) -> bool:
    """Whether bounds (n, m) prove that no training image has `at_least` generations within `delta`.

    >>> bounds = np.array([[0.3, 0.05], [0.3, 0.2]])
    >>> no_match_possible(bounds, 0.1), no_match_possible(bounds, 0.1, at_least=2)
    (False, True)
    """
    return int(np.count_nonzero(bounds <= delta, axis=0).max(initial=0)) < at_least
