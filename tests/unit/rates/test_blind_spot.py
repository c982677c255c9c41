import itertools
import math

import numpy as np
import pytest

from memex_audit.errors import ConfigurationError
from memex_audit.rates.blind_spot import blind_spot, blind_spot_of_outcome, flag_power


def test_power_keeps_the_shape_of_the_shares():
    assert flag_power(np.full((2, 3), 0.5), (4, 16), 4).shape == (2, 3)
    assert flag_power(0.5, (4, 16), 4).shape == ()


@pytest.mark.parametrize("looks", [(16,), (4, 16), (4, 8, 16)])
def test_a_prompt_that_never_replicates_is_not_flagged_and_one_that_always_does_is(looks):
    assert flag_power([0.0, 1.0], looks, 4).tolist() == [0.0, 1.0]


def test_a_second_look_costs_power_that_one_long_look_has():
    assert flag_power(0.3, (4, 16), 4) < flag_power(0.3, (16,), 4)


def test_a_clique_of_two_is_found_exactly_when_the_first_look_has_an_edge():
    # 1 - P(0 of 4) - P(1 of 4) at one half: 1 - 1/16 - 4/16
    assert float(flag_power(0.5, (4, 16), 2)) == pytest.approx(11 / 16)


def test_the_blind_spot_is_where_the_power_is_what_was_asked_for():
    spot = blind_spot((4, 16), 4, power=0.8)
    assert float(flag_power(spot, (4, 16), 4)) == pytest.approx(0.8, abs=1e-9)


def test_more_power_asks_for_a_larger_share():
    assert blind_spot((4, 16), 4, power=0.5) < blind_spot((4, 16), 4)


def test_a_prompt_of_the_last_look_had_at_most_one_replica_fewer_than_a_clique():
    spot = blind_spot_of_outcome(16, (4, 16), 4)
    below = sum(math.comb(16, k) * spot**k * (1 - spot) ** (16 - k) for k in range(4))
    assert below == pytest.approx(0.05)


def test_generations_set_aside_at_the_first_look_widen_its_blind_spot():
    # P(Bin(3, p) <= 1) = (1 - p)^2 (1 + 2 p) = 0.05 at p = 0.8646
    assert blind_spot_of_outcome(3, (4, 16), 4, set_aside=1) == pytest.approx(0.8646, abs=1e-4)


def test_a_last_look_with_generations_set_aside_is_no_first_look():
    assert blind_spot_of_outcome(4, (4, 16), 4, set_aside=12) > blind_spot_of_outcome(4, (4, 16), 4)


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_generations_exclude_nothing(n):
    assert blind_spot_of_outcome(n, (4, 16), 4) == 1.0
    assert blind_spot_of_outcome(n, (500,), 10) == 1.0


def test_fewer_generations_at_the_last_look_than_make_a_clique_exclude_nothing():
    assert blind_spot_of_outcome(9, (500,), 10, set_aside=491) == 1.0


LOOKS = (
    r"^`looks` must be strictly increasing from at least 2, got looks=\(.*\)\. "
    r"They are cumulative: \(4, 16\) is 4 generations, then 12 more\.$"
)


@pytest.mark.parametrize("looks", [(), (1, 16), (4, 4), (16, 4)])
def test_looks_that_do_not_increase_from_two_are_an_error(looks):
    for call in (
        lambda: flag_power(0.5, looks, 4),
        lambda: blind_spot(looks, 4),
        lambda: blind_spot_of_outcome(4, looks, 4),
    ):
        with pytest.raises(ConfigurationError, match=LOOKS):
            call()


@pytest.mark.parametrize("clique_size", [1, 17])
def test_a_clique_that_no_look_can_hold_is_an_error(clique_size):
    with pytest.raises(
        ConfigurationError, match=rf"in 2 to 16, the last look, got clique_size={clique_size}"
    ):
        blind_spot((4, 16), clique_size)


@pytest.mark.parametrize("p", [-0.1, 1.001, 3.1, float("nan")])
def test_a_share_outside_zero_to_one_is_an_error(p):
    with pytest.raises(ConfigurationError, match=r"`p` must be in \[0, 1\], got p="):
        flag_power(p, (4, 16), 4)


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_a_power_that_is_never_or_always_reached_is_an_error(power):
    with pytest.raises(ConfigurationError, match=r"`power` must be in \(0, 1\), got power="):
        blind_spot((4, 16), 4, power)


def test_negative_counts_of_generations_are_an_error():
    with pytest.raises(ConfigurationError, match="`n_generations` must be 0 or more, got n_generations=-1"):
        blind_spot_of_outcome(-1, (4, 16), 4)
    with pytest.raises(ConfigurationError, match="`set_aside` must be 0 or more, got set_aside=-2"):
        blind_spot_of_outcome(4, (4, 16), 4, set_aside=-2)


def test_a_clique_larger_than_the_only_look_is_told_what_to_do():
    message = (
        r"^`clique_size` must be in 2 to 500, the last look, got clique_size=501\. "
        r"Ask for a smaller clique or draw more generations\.$"
    )
    with pytest.raises(ConfigurationError, match=message):
        blind_spot((500,), 501)


def test_rounding_makes_no_power_above_one():
    shares = np.linspace(0.5, 1, 101)
    for first, last in itertools.product(range(2, 60), (61, 80, 160)):
        assert flag_power(shares, (first, last), 2).max() <= 1
