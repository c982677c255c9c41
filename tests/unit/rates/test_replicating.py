import numpy as np
import pytest
from scipy.stats import binom

from memex_audit.errors import ConfigurationError
from memex_audit.rates.replicating import replicating_upper


@pytest.mark.parametrize("extracted", [0, 1, 5, 40])
@pytest.mark.parametrize("power", [0.5, 0.95, 0.999])
@pytest.mark.parametrize("confidence", [0.9, 0.975])
def test_it_is_the_largest_number_that_is_not_rejected(extracted, power, confidence):
    numbers = np.arange(extracted, 200)
    kept = numbers[binom.cdf(extracted, numbers, power) > 1 - confidence]
    assert replicating_upper(extracted, power, confidence) == kept.max()


@pytest.mark.parametrize("replicating", [1, 2, 10, 50])
def test_it_covers_the_groups_that_replicate_as_often_as_it_says(replicating):
    rng = np.random.default_rng(20_260_115)
    extracted = rng.binomial(replicating, 0.95, 20_000)
    covered = np.mean([replicating_upper(int(x), 0.95, 0.95) >= replicating for x in extracted])
    assert covered >= 0.95 - 0.006  # 3.7 standard errors


def test_dividing_by_the_power_would_cover_too_seldom():
    rng = np.random.default_rng(20_260_116)
    extracted = rng.binomial(50, 0.95, 20_000)
    assert np.mean(extracted / 0.95 >= 50) < 0.7


def test_a_protocol_that_misses_nothing_leaves_nothing_open():
    assert replicating_upper(7, 1.0, 0.95) == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 0.95, 0.95), r"`extracted` must be 0 or more, got extracted=-1"),
        ((0, 0.0, 0.95), r"`power` must be in \(0, 1\], got power=0.0"),
        ((0, 0.95, 1.0), r"`confidence` must be in \[0.5, 1\), got confidence=1.0"),
    ],
)
def test_what_is_out_of_its_range_is_an_error(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        replicating_upper(*arguments)
