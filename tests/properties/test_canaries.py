"""What holds for canaries of every seed."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from memex_audit.canaries.captions import draw_captions, word_pairs
from memex_audit.canaries.exposure import exposure, rank_of_planted
from memex_audit.canaries.pictures import LEAST_L2, cell_l2, cell_means, draw_pictures
from memex_audit.extraction.distances import l2_between

SEEDS = st.integers(0, 2**32)


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_pictures_are_a_function_of_the_seed_and_far_from_each_other(seed):
    pictures = np.stack(list(draw_pictures(8, height=16, width=24, seed=seed)))
    assert np.array_equal(pictures, np.stack(list(draw_pictures(8, height=16, width=24, seed=seed))))
    apart = l2_between(pictures, pictures)[np.triu_indices(8, 1)]
    assert apart.min() >= LEAST_L2


@settings(max_examples=50, deadline=None)
@given(arrays(np.uint8, (2, 16, 24, 3)))
def test_cells_are_never_further_apart_than_the_pixels(pictures):
    apart = cell_l2(cell_means(pictures[0]), cell_means(pictures[1]))
    assert apart <= l2_between(pictures[:1], pictures[1:])[0, 0] + 1e-9


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_captions_are_a_function_of_the_seed_and_share_at_most_one_word(seed):
    captions = list(draw_captions(40, seed=seed))
    assert captions == list(draw_captions(40, seed=seed))
    pairs = [pair for caption in captions for pair in word_pairs(caption.split())]
    assert len(pairs) == len(set(pairs))


@given(
    arrays(
        np.float64, st.tuples(st.integers(1, 4), st.integers(1, 6)), elements=st.sampled_from([0.1, 0.2, 0.3])
    )
)
def test_the_rank_is_that_of_a_count_by_hand(distances):
    own = min(row[0] for row in distances)
    by_hand = sum(min(row[j] for row in distances) <= own for j in range(distances.shape[1]))
    assert rank_of_planted(distances) == by_hand
    assert 0 <= exposure(by_hand, distances.shape[1]) <= np.log2(distances.shape[1])
