"""What plain l2 does not see: altered copies, templates, and what a copy detector calls a copy."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from memex_audit.extraction.altered import mirrored
from memex_audit.extraction.matching import Matcher
from memex_audit.extraction.template import l2_outside, template_mask
from memex_audit.extraction.verdicts import NearestExample, nearest_example

# Training images of the caption that are also compared altered; near-copies add nothing.
MOST_ALTERED = 16
# Training images near a clique around which a template is looked for.
MOST_TEMPLATES = 3
# Its near-copies in memory at a time.
TEMPLATE_BYTES = 256 << 20


def altered_own(
    images: NDArray[np.uint8],
    example_ids: Sequence[str],
    matcher: Matcher,
    *,
    match_delta: float,
    at_least: int,
) -> NearestExample | None:
    """Return the training image, mirrored or cropped, that at least so many generations lie near."""
    best: NearestExample | None = None
    for name, near in matcher.distances_to_altered(images, example_ids[:MOST_ALTERED]).items():
        found = nearest_example(near, match_delta=match_delta, at_least=at_least)
        if found and (best is None or found.distance < best.distance):
            best = NearestExample(
                example_id=found.example_id, distance=found.distance, rows=found.rows, alteration=name
            )
    return best


def altered_neighbor(
    clique: NDArray[np.uint8], matcher: Matcher, *, match_delta: float, at_least: int
) -> NearestExample | None:
    """Return the altered training image, of any caption, that a clique lies near.

    Looked up by embedding as the pictures are and mirrored: an embedder may tell the two apart.
    """
    both = np.concatenate([clique, np.stack([mirrored(picture) for picture in clique])])
    ids = matcher.neighbor_ids(both)[:MOST_ALTERED]
    return altered_own(clique, ids, matcher, match_delta=match_delta, at_least=at_least)


def template_of(
    clique: NDArray[np.uint8], matcher: Matcher, *, match_delta: float, at_least: int
) -> NearestExample | None:
    """Return a training image whose near-copies share a template that a clique lies near."""
    height, width = clique.shape[1:3]
    near = matcher.distances_to_neighbors(clique)
    for column in near.distances.mean(axis=0).argsort()[:MOST_TEMPLATES]:
        example_id = near.example_ids[column]
        names = matcher.near_copies(example_id)
        group = [matcher.training_image(name, height, width, clique) for name in names]
        mask = template_mask(np.stack(group)) if group else None
        if mask is None:
            continue
        distances = l2_outside(clique, matcher.training_image(example_id, height, width, clique), mask)
        rows = tuple(int(row) for row in np.flatnonzero(distances <= match_delta))
        if len(rows) >= at_least:
            return NearestExample(example_id=example_id, distance=float(distances.min()), rows=rows)
    return None


def detected_copy(clique: NDArray[np.uint8], matcher: Matcher) -> str | None:
    """Return the training image near a clique that the copy detector calls a copy of its first picture."""
    ids = matcher.neighbor_ids(clique)
    found = matcher.most_alike(clique[0], ids)
    return found[0] if found and found[1] >= matcher.copy_threshold else None
