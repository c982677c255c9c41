"""The area under a ROC curve and its interval, against values worked out elsewhere and a simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memex_audit.errors import ConfigurationError
from memex_audit.rates.roc import area_interval, area_under_roc, roc_curve

SCORES = st.lists(st.integers(0, 8), min_size=1, max_size=12)


@given(positives=SCORES, negatives=SCORES)
def test_the_area_is_that_under_the_curve(positives, negatives):
    curve = np.array(roc_curve(positives, negatives), float)
    trapezoids = np.diff(curve[:, 0]) @ (curve[1:, 1] + curve[:-1, 1]) / 2
    assert area_under_roc(positives, negatives) == pytest.approx(
        trapezoids / len(positives) / len(negatives), abs=1e-12
    )
    assert curve[0].tolist() == [0, 0]
    assert curve[-1].tolist() == [len(negatives), len(positives)]


@given(positives=SCORES, negatives=SCORES)
def test_turning_the_scores_round_turns_the_area_round(positives, negatives):
    turned = area_under_roc([-p for p in positives], [-n for n in negatives])
    assert turned == pytest.approx(1 - area_under_roc(positives, negatives), abs=1e-12)
    low, high = area_interval(positives, negatives, 0.95)
    assert 0 <= low <= area_under_roc(positives, negatives) <= high <= 1


def test_the_interval_is_delongs_on_the_logit():
    # Placements by hand: positives (1, 1, 2/3), negatives (1, 1, 2/3); area 8/9.
    # Variance of each (1, 1, 2/3) is 1/27, so DeLong's is 2 * (1 / 27) / 3 = 2 / 81.
    low, high = area_interval([4.0, 5.0, 2.0], [1.0, 1.5, 3.0], 0.95)
    half = 1.959964 * math.sqrt(2 / 81) / (8 / 81)
    assert low == pytest.approx(1 / (1 + math.exp(-(math.log(8) - half))), abs=1e-6)
    assert high == pytest.approx(1 / (1 + math.exp(-(math.log(8) + half))), abs=1e-6)


def test_the_interval_covers_the_area():
    random, true = np.random.default_rng(0), 0.921350  # P(N(2, 1) > N(0, 1)) = Phi(2 / sqrt 2)
    covered = 0
    for _ in range(400):
        low, high = area_interval(random.normal(2, 1, 24), random.normal(0, 1, 200), 0.95)
        covered += low <= true <= high
    assert covered >= 0.92 * 400


def test_where_all_are_apart_few_prompts_say_little():
    # 0.025 ** (1 / 6): six successes of six.
    assert area_interval([9.0] * 6, [1.0, 2.0] * 50, 0.95) == (pytest.approx(0.5407, abs=1e-4), 1.0)
    assert area_interval([0.0] * 6, [1.0, 2.0] * 50, 0.95) == (0.0, pytest.approx(0.4593, abs=1e-4))
    assert area_interval([1.5], [1.0, 2.0], 0.95) == (0.0, 1.0)


@pytest.mark.parametrize(("positives", "negatives"), [([], [1.0]), ([1.0], [])])
def test_an_area_of_nothing_is_refused(positives, negatives):
    with pytest.raises(ConfigurationError, match=r"must be of positives and negatives, got \d and \d"):
        area_under_roc(positives, negatives)
