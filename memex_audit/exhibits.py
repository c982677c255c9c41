"""The pictures behind a finding, beside the training image that came back; in memory only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memex_audit.extraction.altered import ALTERATIONS
from memex_audit.extraction.distances import l2_to_many
from memex_audit.extraction.matching import Matcher
from memex_audit.records import Finding

# Training images of one finding whose pictures are shown.
MOST_EXHIBITS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """The evidence for one prompt, in memory only.

    `generations`: uint8 (n, h, w, 3), the replicas or the clique, none for a clean prompt;
    `training_image` at the same size, or None where nothing matched.
    """

    generations: NDArray[np.uint8]
    training_image: NDArray[np.uint8] | None


def seeds_shown(finding: Finding) -> frozenset[int]:
    """Return the seeds of the generations that show a finding: the replicas, or else the clique."""
    return frozenset(finding.replica_seeds or finding.clique_seeds)


def exhibits_of(
    finding: Finding, images: NDArray[np.uint8], matcher: Matcher | None, *, match_delta: float
) -> tuple[Exhibit, ...]:
    """Return an exhibit for each of the first training images that a finding names; at least one.

    Args:
        finding: what is shown.
        images: uint8 (n, h, w, 3), the generations of `seeds_shown`.
        matcher: None where there is no training set.
        match_delta: l2 within which a generation is a training image.
    """
    named = [image.example_id for image in finding.images[:MOST_EXHIBITS]]
    if not named and finding.match:
        named = [finding.match.example_id]
    if not named:
        return (Exhibit(generations=images, training_image=None),)
    return tuple(_exhibit(finding, name, images, matcher, match_delta) for name in named)


def _exhibit(
    finding: Finding,
    example_id: str,
    images: NDArray[np.uint8],
    matcher: Matcher | None,
    match_delta: float,
) -> Exhibit:
    if not matcher or not len(images):
        return Exhibit(generations=images, training_image=None)
    height, width = images.shape[1:3]
    training_image = matcher.training_image(example_id, height, width, images)
    if finding.match and finding.match.alteration and finding.match.example_id == example_id:
        training_image = ALTERATIONS[finding.match.alteration](training_image)
    # Other generations may have given back other images.
    near = l2_to_many(training_image, images) <= match_delta
    return Exhibit(generations=images[near] if near.any() else images, training_image=training_image)
