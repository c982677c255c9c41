"""Bounds that are useful, and what they refuse."""

import numpy as np
import pytest

from memex_audit.errors import ConfigurationError
from memex_audit.extraction.block_sums import block_sums
from memex_audit.extraction.distances import l2_between
from memex_audit.extraction.reduction import l2_lower_bounds, no_clique_possible, no_match_possible


def textured(seed, side=128):
    """A picture whose amplitude falls with frequency, as a photograph's does."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij"))
    amplitude = 1 / np.maximum(frequency, 1 / side)[..., None]
    phases = np.exp(2j * np.pi * random.random((*frequency.shape, 3)))
    values = np.fft.irfft2(amplitude * phases, s=(side, side), axes=(0, 1))
    return np.clip(128 + 50 * values / values.std(), 0, 255).astype(np.uint8)


def test_the_bound_of_pictures_like_photographs_is_more_than_half_of_their_distance():
    images = np.stack([textured(seed) for seed in range(6)])
    bounds, exact = (f(images[:3], images[3:]) for f in (sums_bound, l2_between))
    assert (bounds > 0.6 * exact).all()


def sums_bound(a, b):
    return l2_lower_bounds(block_sums(a), block_sums(b))


def test_pictures_that_differ_by_their_means_alone_have_the_bound_for_a_distance():
    grey = np.full((1, 40, 36, 3), 100, np.uint8)
    assert sums_bound(grey, grey + 20)[0, 0] == pytest.approx(20 / 255, rel=1e-6)
    assert sums_bound(grey, grey)[0, 0] == 0


def test_a_pattern_finer_than_a_block_is_not_seen_and_so_not_ruled_out():
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)[None, ..., None].repeat(3, axis=3)
    assert sums_bound(board, 255 - board)[0, 0] == 0
    assert not no_clique_possible(block_sums(np.concatenate([board, 255 - board])), 0.1)


def test_independent_pictures_cannot_be_a_clique_and_copies_can():
    independent = block_sums(np.stack([textured(seed) for seed in range(4)]))
    assert no_clique_possible(independent, 0.15)
    assert not no_clique_possible(block_sums(np.stack([textured(0), textured(1), textured(0)])), 0.15)


def test_no_generation_and_no_training_image_leave_nothing_possible():
    nothing = block_sums(np.zeros((0, 8, 8, 3), np.uint8))
    one = block_sums(np.zeros((1, 8, 8, 3), np.uint8))
    assert no_clique_possible(nothing, 0.1)
    assert no_match_possible(l2_lower_bounds(nothing, one), 0.1)
    assert no_match_possible(l2_lower_bounds(one, nothing), 0.1)


def test_block_sums_of_two_sizes_are_refused():
    with pytest.raises(ConfigurationError, match=r"one size, got \(8, 8\) and \(8, 12\); resize them"):
        sums_bound(np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 8, 12, 3), np.uint8))
