import pytest
from hypothesis import given
from hypothesis import strategies as st

from memex_audit.work_units import plan_work_units, prompt_of_case


@pytest.mark.parametrize(
    ("nodeid", "prompt"),
    [
        ("a.py::test[a-red-cat-0123456789ab]", "0123456789ab"),
        ("a.py::test[0123456789ab]", "0123456789ab"),
        ("a.py::test[deadbeefcafe-0123456789ab]", "0123456789ab"),
        ("a.py::test[fast-a-red-cat-0123456789ab]", "0123456789ab"),
        ("a.py::test[a-red-cat-0123456789ab-fast]", "0123456789ab"),
        ("a.py::test[0123456789abc]", None),
        ("a.py::test[0123456789AB]", None),
        ("0123456789ab/a.py::test", None),
        ("a.py::test", None),
    ],
)
def test_a_case_names_its_prompt(nodeid, prompt):
    assert prompt_of_case(nodeid) == prompt


def cases(n):
    return [f"a.py::test[{number:012x}]" for number in range(n)]


@given(n=st.integers(0, 400), n_workers=st.integers(1, 9), largest=st.integers(1, 40))
def test_units_hold_every_prompt_once_in_order_and_none_is_too_large(n, n_workers, largest):
    units = plan_work_units(cases(n), n_workers, largest=largest)
    assert [prompt for unit in units for prompt in unit] == [f"{number:012x}" for number in range(n)]
    assert all(units)
    if n_workers > 1:
        assert all(len(unit) <= largest for unit in units)


@given(n=st.integers(1, 400), n_workers=st.integers(2, 9))
def test_there_is_a_unit_for_every_worker_where_there_are_prompts_enough(n, n_workers):
    assert len(plan_work_units(cases(n), n_workers)) >= min(n // 2, n_workers)


def test_two_cases_of_one_prompt_are_of_one_unit():
    twice = ["a.py::test[0123456789ab]", "b.py::test[0123456789ab]", "c.py::test"]
    assert plan_work_units(twice, 2) == [("0123456789ab",)]


def test_alone_a_process_does_everything_as_one_unit():
    assert len(plan_work_units(cases(100), 1)) == 1
    assert plan_work_units(["a.py::test"], 1) == []
