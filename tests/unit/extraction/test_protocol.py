import itertools
import math

import numpy as np
import pytest

from memex_audit.errors import ConfigurationError
from memex_audit.extraction.protocol import (
    SequentialTest,
    blind_spot,
    blind_spot_of_outcome,
    clique_test,
    flag_power,
    outcomes,
    plan_test,
)


def test_power_keeps_the_shape_of_the_shares():
    assert flag_power(np.full((2, 3), 0.5), clique_test((4, 16), 4)).shape == (2, 3)
    assert flag_power(0.5, clique_test((4, 16), 4)).shape == ()


@pytest.mark.parametrize("looks", [(16,), (4, 16), (4, 8, 16)])
def test_a_prompt_that_never_replicates_is_not_flagged_and_one_that_always_does_is(looks):
    assert flag_power([0.0, 1.0], clique_test(looks, 4)).tolist() == [0.0, 1.0]


def test_a_second_look_costs_power_that_one_long_look_has():
    assert flag_power(0.3, clique_test((4, 16), 4)) < flag_power(0.3, clique_test((16,), 4))


def test_a_clique_of_two_is_found_exactly_when_the_first_look_has_an_edge():
    # 1 - P(0 of 4) - P(1 of 4) at one half: 1 - 1/16 - 4/16
    assert float(flag_power(0.5, clique_test((4, 16), 2))) == pytest.approx(11 / 16)


def test_the_blind_spot_is_where_the_power_is_what_was_asked_for():
    spot = blind_spot(clique_test((4, 16), 4), power=0.8)
    assert float(flag_power(spot, clique_test((4, 16), 4))) == pytest.approx(0.8, abs=1e-9)


def test_more_power_asks_for_a_larger_share():
    assert blind_spot(clique_test((4, 16), 4), power=0.5) < blind_spot(clique_test((4, 16), 4))


def test_a_prompt_of_the_last_look_had_at_most_one_replica_fewer_than_a_clique():
    spot = blind_spot_of_outcome(16, clique_test((4, 16), 4))
    below = sum(math.comb(16, k) * spot**k * (1 - spot) ** (16 - k) for k in range(4))
    assert below == pytest.approx(0.05)


def test_generations_set_aside_at_the_first_look_widen_its_blind_spot():
    # P(Bin(3, p) <= 1) = (1 - p)^2 (1 + 2 p) = 0.05 at p = 0.8646
    assert blind_spot_of_outcome(3, clique_test((4, 16), 4), set_aside=1) == pytest.approx(0.8646, abs=1e-4)


def test_a_last_look_with_generations_set_aside_is_no_first_look():
    assert blind_spot_of_outcome(4, clique_test((4, 16), 4), set_aside=12) > blind_spot_of_outcome(
        4, clique_test((4, 16), 4)
    )


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_generations_exclude_nothing(n):
    assert blind_spot_of_outcome(n, clique_test((4, 16), 4)) == 1.0
    assert blind_spot_of_outcome(n, clique_test((500,), 10)) == 1.0


def test_fewer_generations_at_the_last_look_than_make_a_clique_exclude_nothing():
    assert blind_spot_of_outcome(9, clique_test((500,), 10), set_aside=491) == 1.0


LOOKS = (
    r"^`looks` must be strictly increasing from at least 2, got looks=\(.*\)\. "
    r"They are cumulative: \(4, 16\) is 4 generations, then 12 more\.$"
)


@pytest.mark.parametrize("looks", [(), (1, 16), (4, 4), (16, 4)])
def test_looks_that_do_not_increase_from_two_are_an_error(looks):
    for call in (
        lambda: flag_power(0.5, clique_test(looks, 4)),
        lambda: blind_spot(clique_test(looks, 4)),
        lambda: blind_spot_of_outcome(4, clique_test(looks, 4)),
    ):
        with pytest.raises(ConfigurationError, match=LOOKS):
            call()


@pytest.mark.parametrize("clique_size", [1, 17])
def test_a_clique_that_no_look_can_hold_is_an_error(clique_size):
    with pytest.raises(
        ConfigurationError, match=rf"in 2 to 16, the last look, got clique_size={clique_size}"
    ):
        blind_spot(clique_test((4, 16), clique_size))


@pytest.mark.parametrize("p", [-0.1, 1.001, 3.1, float("nan")])
def test_a_share_outside_zero_to_one_is_an_error(p):
    with pytest.raises(ConfigurationError, match=r"`p` must be in \[0, 1\], got p="):
        flag_power(p, clique_test((4, 16), 4))


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_a_power_that_is_never_or_always_reached_is_an_error(power):
    with pytest.raises(ConfigurationError, match=r"`power` must be in \(0, 1\), got power="):
        blind_spot(clique_test((4, 16), 4), power)


def test_negative_counts_of_generations_are_an_error():
    with pytest.raises(ConfigurationError, match="`n_generations` must be 0 or more, got n_generations=-1"):
        blind_spot_of_outcome(-1, clique_test((4, 16), 4))
    with pytest.raises(ConfigurationError, match="`set_aside` must be 0 or more, got set_aside=-2"):
        blind_spot_of_outcome(4, clique_test((4, 16), 4), set_aside=-2)


def test_a_clique_larger_than_the_only_look_is_told_what_to_do():
    message = (
        r"^`clique_size` must be in 2 to 500, the last look, got clique_size=501\. "
        r"Ask for a smaller clique or draw more generations\.$"
    )
    with pytest.raises(ConfigurationError, match=message):
        blind_spot(clique_test((500,), 501))


def test_rounding_makes_no_power_above_one():
    shares = np.linspace(0.5, 1, 101)
    for first, last in itertools.product(range(2, 60), (61, 80, 160)):
        assert flag_power(shares, clique_test((first, last), 2)).max() <= 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blind_spot": 0.05}, r"must lie between the share that chance gives \(0\.05\) and 1, got 0\.05;"),
        ({"blind_spot": 1.0}, "and 1, got 1;"),
        ({"null_share": 0.5}, r"`null_share` must be in \(0, 0\.5\), got 0\.5"),
        ({"alpha": 0.0}, r"`alpha` must be in \(0, 1\), got alpha=0\.0"),
        ({"power": 1.0}, r"`power` must be in \(0, 1\), got power=1\.0"),
        ({"blind_spot": 0.051}, "no test of 4,096 generations tells them apart"),
        ({"looks": (4, 4)}, "strictly increasing"),
    ],
)
def test_a_test_that_cannot_be_is_refused(changes, message):
    values = {"blind_spot": 0.76, "null_share": 0.05, "alpha": 0.01} | changes
    with pytest.raises(ConfigurationError, match=message):
        plan_test(**values)


@pytest.mark.parametrize(
    ("flag_at", "clean_at", "message"),
    [
        ((4,), (1, 3), "must have a boundary a look, got 1 to flag and 2 to stop clean for 2 looks"),
        ((2, 4), (2, 3), r"must not flag and be clean at one look, got flag_at=\(2, 4\)"),
        ((5, 17), (1, 3), "in 2 to 16, the last look, got clique_size=17"),
    ],
)
def test_boundaries_that_do_not_fit_their_looks_are_refused(flag_at, clean_at, message):
    with pytest.raises(ConfigurationError, match=message):
        SequentialTest(looks=(4, 16), flag_at=flag_at, clean_at=clean_at)


def test_between_the_boundaries_of_the_last_look_a_prompt_stays_undecided():
    open_ended = SequentialTest(looks=(4,), flag_at=(4,), clean_at=(1,))
    found = outcomes(0.5, open_ended)
    # 4 of 4: 1/16; 0 or 1: 5/16; 2 or 3: 10/16
    assert (float(found.flagged), float(found.clean), float(found.undecided)) == (0.0625, 0.3125, 0.625)
