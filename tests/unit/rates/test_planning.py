import numpy as np
import pytest

from memex_audit.errors import ConfigurationError
from memex_audit.rates.bounds import binomial_upper
from memex_audit.rates.frames import hypergeometric_upper
from memex_audit.rates.planning import (
    bound_if_none_seen,
    chance_of_at_most,
    extracted_in_frame,
    groups_to_pass,
    plan_audits,
)


@pytest.mark.parametrize(("limit", "groups"), [(0.01, 299), (0.005, 598), (0.001, 2_995), (0.0001, 29_956)])
def test_groups_of_an_audit_in_which_nothing_may_be_extracted(limit, groups):
    assert plan_audits(limit, 0.95)[0].groups == groups  # FACTS section 3


def test_320_groups_pass_73_percent_of_the_time_at_a_tenth_of_the_limit():
    assert chance_of_at_most(0, 320, 0.001) == pytest.approx(0.73, abs=0.005)  # FACTS section 3


def test_the_chances_of_a_plan_are_those_of_simulated_audits():
    rng = np.random.default_rng(20_260_112)
    for plan in plan_audits(0.01, 0.95):
        for rate, chance in zip((0.001, 0.005, 0.01), plan.chances, strict=True):
            seen = rng.binomial(plan.groups, rate, 20_000)
            passed = np.isin(seen, [x for x in range(9) if binomial_upper(x, plan.groups, 0.95) <= 0.01])
            assert chance == pytest.approx(passed.mean(), abs=0.014)  # four standard errors


def test_the_chances_in_a_frame_are_those_of_simulated_draws():
    rng = np.random.default_rng(20_260_113)
    for plan in plan_audits(0.01, 0.95, frame_size=2_000):
        for extracted, chance in zip((2, 10, 20), plan.chances, strict=True):
            seen = rng.hypergeometric(extracted, 2_000 - extracted, plan.groups, 20_000)
            passing = [x for x in range(9) if hypergeometric_upper(x, plan.groups, 2_000, 0.95) <= 20]
            assert chance == pytest.approx(np.isin(seen, passing).mean(), abs=0.014)


def test_a_model_at_the_limit_of_an_unknown_frame_passes_with_alpha_at_most():
    assert all(plan.chances[-1] <= 0.05 for plan in plan_audits(0.001, 0.95))


def test_a_frame_that_its_limit_allows_no_extraction_is_planned_for_none():
    # 0.1 % of 320 groups is no group; one group would be missed by 304 with 16 / 320 = 0.05
    assert [(plan.allowed, plan.groups) for plan in plan_audits(0.001, 0.95, frame_size=320)] == [(0, 304)]


def test_no_audit_of_a_frame_passes_with_more_extracted_than_there_are_groups():
    assert groups_to_pass(1.0, 0.95, frame_size=3, extracted=4) is None


def test_rates_in_a_frame_are_whole_groups_as_they_are_written():
    assert extracted_in_frame(0.1 * 0.003, 10_000) == 3  # 0.1 * 0.003 is 0.00030000000000000003
    assert extracted_in_frame(0.29, 100) == 29  # 0.29 * 100 is 28.999999999999996
    assert extracted_in_frame(1.0, 7) == 7


def test_none_seen_bounds_a_rate_and_a_frame():
    assert bound_if_none_seen(320, 0.95) == pytest.approx(1 - 0.05 ** (1 / 320))
    assert bound_if_none_seen(50, 0.95, frame_size=50) == 0.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plan_audits(0.0, 0.95), r"`limit` must be in \(0, 1\], got limit=0.0"),
        (lambda: plan_audits(0.01, 1.0), r"`confidence` must be in \[0.5, 1\), got confidence=1.0"),
        (lambda: plan_audits(0.01, 0.95, frame_size=0), r"`frame_size` must be at least 1, got frame_size=0"),
        (lambda: chance_of_at_most(0, 5, 1.5), r"`rate` must be in \[0, 1\], got rate=1.5"),
        (lambda: extracted_in_frame(0.1, -1), r"`frame_size` must be at least 1, got frame_size=-1"),
        (lambda: bound_if_none_seen(0, 0.95), r"`n` must be at least 1, got n=0: a rate of nothing"),
    ],
)
def test_what_cannot_be_planned_is_an_error(call, message):
    with pytest.raises(ConfigurationError, match=message):
        call()
