"""What block sums settle is never other than what the pixels say."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from kernel_arrays import in_each_library

from memex_audit.extraction.altered import ALTERATIONS
from memex_audit.extraction.block_sums import block_sums
from memex_audit.extraction.distances import l2_between, near_duplicate_graph
from memex_audit.extraction.reduction import l2_lower_bounds, no_clique_possible, no_match_possible

KERNEL = ("block_sums", "l2_between", "near_duplicate_graph")


_library = in_each_library(KERNEL)


DELTAS = st.floats(0.001, 1.0)


@st.composite
def prompts(draw):
    """Two to six generations, and a training image of their size: noise, flat, and copies of each other."""
    n, height, width = draw(st.integers(2, 6)), draw(st.integers(4, 70)), draw(st.integers(4, 70))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    images = random.integers(0, 256, (n + 1, height, width, 3), dtype=np.uint8)
    for i in range(1, n + 1):
        kind = draw(st.sampled_from(["noise", "flat", "shade", "near"]))
        if kind == "flat":
            images[i] = random.integers(0, 256)
        elif kind == "shade":  # one difference everywhere: the bound is the distance, and rounding decides
            images[i] = np.clip(images[0].astype(int) + draw(st.integers(-40, 40)), 0, 255)
        elif kind == "near":
            images[i] = np.clip(images[0] + random.integers(-30, 31, images[0].shape), 0, 255)
    return images[:-1], images[-1:]


@given(prompts())
def test_the_bound_on_l2_is_nowhere_above_it_for_plain_and_altered_images(prompt):
    generations, training = prompt
    for alter in (lambda pixels: pixels, *ALTERATIONS.values()):
        images = np.stack([alter(pixels) for pixels in training])
        bounds = l2_lower_bounds(block_sums(generations), block_sums(images))
        assert (bounds <= l2_between(generations, images)).all()


@given(prompts(), DELTAS, st.integers(2, 5))
def test_where_no_clique_is_possible_the_graph_of_the_pixels_is_empty(prompt, delta, clique_size):
    generations, _ = prompt
    if no_clique_possible(block_sums(generations), delta, clique_size):
        assert not near_duplicate_graph(generations, delta, clique_size=clique_size).any()


@given(prompts(), DELTAS, st.integers(1, 3))
def test_where_no_match_is_possible_so_few_generations_lie_within_delta(prompt, delta, at_least):
    generations, training = prompt
    bounds = l2_lower_bounds(block_sums(generations), block_sums(training))
    if no_match_possible(bounds, delta, at_least=at_least):
        assert (l2_between(generations, training) <= delta).sum() < at_least
