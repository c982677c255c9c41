"""A budget ends the drawing, and never later than it says."""

import pytest

from memex_audit.config import Budget, read_settings
from memex_audit.errors import ConfigurationError
from memex_audit.spending import Spending


def test_without_a_budget_there_is_no_end():
    spending = Spending(None)
    spending.count(10**9, 100)
    assert not spending.has_end
    assert spending.may_draw(10**9, 100)


def test_evaluations_are_counted_and_the_last_picture_must_fit():
    spending = Spending(Budget(evaluations=100))
    assert spending.may_draw(5, 20)
    spending.count(4, 20)
    assert spending.may_draw(1, 20)
    assert not spending.may_draw(2, 20)


def test_one_of_several_processes_has_its_share():
    assert not Spending(Budget(evaluations=100), share=0.5).may_draw(5, 20)


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def test_minutes_run_from_the_first_picture_on():
    clock = Clock()
    spending = Spending(Budget(minutes=2), clock=clock)
    clock.now += 3600
    assert spending.may_draw(1, 20)
    spending.begin()
    clock.now += 119
    spending.begin()
    assert spending.may_draw(1, 20)
    clock.now += 1
    assert not spending.may_draw(1, 20)


def test_a_budget_that_covers_nothing_is_told_from_one_that_is_spent():
    spending = Spending(Budget(evaluations=79))
    with pytest.raises(ConfigurationError, match=r"must cover one look at one prompt, 80 network .* got 79;"):
        spending.refuse_if_nothing_was_drawn(4, 20)
    spending.count(3, 20)
    spending.refuse_if_nothing_was_drawn(4, 20)


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("30min", Budget(minutes=30)),
        ("1.5 min", Budget(minutes=1.5)),
        ("200000nfe", Budget(evaluations=200_000)),
        ("200,000 NFE", Budget(evaluations=200_000)),
    ],
)
def test_a_budget_is_minutes_or_network_evaluations(text, budget):
    assert read_settings({"budget": text}).budget == budget


@pytest.mark.parametrize("text", ["30", "min", "-1min", "0nfe", "infmin", "nannfe", "2 hours", ""])
def test_any_other_budget_is_refused(text):
    with pytest.raises(ConfigurationError, match="--memex-budget must be a positive number of minutes or"):
        read_settings({"budget": text})


def test_pictures_that_an_endpoint_may_still_be_asked_for_bound_what_is_drawn():
    left = [5]
    spending = Spending(None, pictures_left=lambda: left[0])
    assert spending.has_end
    assert spending.may_draw(5, 0)
    assert not spending.may_draw(6, 0)
    left[0] = 0
    assert not spending.may_draw(1, 0)


def test_evaluations_that_nobody_knows_are_no_budget():
    with pytest.raises(ConfigurationError, match="must be in minutes for a generator that does not know how"):
        Spending(Budget(evaluations=100)).may_draw(1, 0)
