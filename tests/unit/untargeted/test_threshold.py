"""The threshold of an untargeted extraction, as held-out pictures give it."""

import numpy as np
import pytest
from scipy.stats import binom

from memex_audit.errors import CalibrationError
from memex_audit.untargeted.threshold import default_threshold, untargeted_threshold


def test_no_held_out_picture_of_a_few_hundred_reaches_it():
    distances = np.linspace(0.8, 1.8, 300)
    chosen = untargeted_threshold(distances)
    assert chosen.threshold == 0.7999
    assert (chosen.source, chosen.held_out, chosen.flagged, chosen.lower) == ("calibrated", 300, 0, 0.0)
    # The exact two-sided 95 % interval: none of 300 happens with 2.5 % at its upper end.
    assert binom.pmf(0, 300, chosen.upper) == pytest.approx(0.025)


def test_of_two_thousand_two_may_reach_it():
    chosen = untargeted_threshold([0.7, 0.75, 0.9, *([1.7] * 1997)])
    assert chosen.threshold == 0.8999
    assert chosen.flagged == 2
    assert binom.cdf(2, 2000, chosen.upper) == pytest.approx(0.025)
    assert binom.sf(1, 2000, chosen.lower) == pytest.approx(0.025)


def test_it_is_never_above_half_of_the_mean_distance_to_the_neighbours():
    assert untargeted_threshold([1.9] * 59).threshold == 1.0
    assert default_threshold().threshold == 1.0
    assert default_threshold().source == "default"


def test_too_few_held_out_pictures_are_refused():
    with pytest.raises(CalibrationError, match=r"at least 59 held-out pictures .* got 58; hold more out"):
        untargeted_threshold([1.9] * 58)


def test_held_out_pictures_that_are_in_the_training_set_are_refused():
    with pytest.raises(CalibrationError, match=r"must not be in the training set.* got 3 of 100"):
        untargeted_threshold([0.0, 0.1, 0.5] + [1.8] * 97)
