"""Rank and exposure, against what is known of them."""

import math

import numpy as np
import pytest

from memex_audit.canaries.exposure import chance_exposure, exposure, rank_of_planted
from memex_audit.errors import CanaryError


def test_the_rank_counts_the_candidates_that_come_at_least_as_near():
    # Least over the two generations: 0.3 for the planted picture; 0.2, 0.9 and 0.4 for the others.
    distances = np.array([[0.5, 0.2, 0.9, 0.4], [0.3, 0.8, 0.95, 0.6]])
    assert rank_of_planted(distances) == 2


def test_ties_count_against_the_planted_picture():
    assert rank_of_planted(np.array([[0.3, 0.3, 0.3, 0.4]])) == 3


def test_without_generations_the_rank_is_the_last():
    assert rank_of_planted(np.zeros((0, 8))) == 8
    assert exposure(8, 8) == 0


def test_exposure_is_at_most_log2_of_the_candidates():
    assert exposure(1, 64) == 6
    assert exposure(1, 1) == 0


@pytest.mark.parametrize("rank", [0, 5])
def test_a_rank_beyond_the_candidates_is_refused(rank):
    with pytest.raises(CanaryError, match=rf"`rank` must be in 1 to 4, got rank={rank}; count the planted"):
        exposure(rank, 4)


def test_no_candidates_are_refused():
    with pytest.raises(CanaryError, match="must have at least 1 candidate picture, got 0"):
        rank_of_planted(np.zeros((2, 0)))


def test_the_mean_exposure_by_chance_is_that_of_all_ranks():
    by_hand = sum(exposure(rank, 64) for rank in range(1, 65)) / 64
    assert chance_exposure(64) == pytest.approx(by_hand, abs=1e-12)
    # Towards log2(e) = 1.4427 as the candidates become many.
    assert chance_exposure(10**9) == pytest.approx(math.log2(math.e), abs=1e-6)


def test_pictures_that_were_never_planted_have_the_exposure_of_chance():
    random = np.random.default_rng(0)
    ranks = [rank_of_planted(random.random((4, 16))) for _ in range(4000)]
    # Standard deviation of the mean: that of one exposure is below 1.3 bits, so 0.02.
    mean = sum(exposure(rank, 16) for rank in ranks) / len(ranks)
    assert mean == pytest.approx(chance_exposure(16), abs=0.07)
    # An exposure of 3 bits or more is rank 1 or 2 of 16.
    assert sum(exposure(rank, 16) >= 3 for rank in ranks) / 4000 == pytest.approx(2 / 16, abs=0.02)
