import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memex_audit.batches import MOST_CASES, batch_size, divide, makes_batches
from memex_audit.records import AuditPrompt
from memex_audit.work_units import is_batch, plan_work_units, prompt_of_case


def prompts(numbers):
    ids = [hashlib.sha256(str(number).encode()).hexdigest()[:12] for number in numbers]
    return [AuditPrompt(prompt_id=name, text=name, group_id=name, duplication_count=1) for name in ids]


@given(n=st.integers(0, 600), size=st.sampled_from([4, 16, 64]))
def test_batches_hold_every_prompt_once_in_order_and_keep_to_their_size(n, size):
    given_prompts = prompts(range(n))
    batches = divide(given_prompts, size)
    assert [prompt for batch in batches for prompt in batch.prompts] == given_prompts
    assert all(size // 4 <= len(batch.prompts) <= 2 * size for batch in batches[:-1])
    assert all(1 <= len(batch.prompts) <= 2 * size for batch in batches)
    assert [batch.name for batch in batches] == [batch.prompts[0].prompt_id for batch in batches]


@given(at=st.integers(0, 2000), new=st.integers(5000, 6000))
def test_a_prompt_that_is_put_in_renames_few_batches(at, new):
    before = prompts(range(2000))
    after = [*before[:at], *prompts([new]), *before[at:]]
    names = {batch.name for batch in divide(before, 16)}
    kept = names & {batch.name for batch in divide(after, 16)}
    # Beyond the next cuts that both have in common nothing changes.
    assert len(kept) >= 0.8 * len(names)


def test_a_few_thousand_batches_at_most():
    for n in (5_001, 10_000, 40_000, 40_001, 100_000, 350_000, 1_000_000):
        size = batch_size(n)
        assert n / size <= MOST_CASES
        assert size == 16 or n / (size // 2) > MOST_CASES


@pytest.mark.parametrize(
    ("granularity", "n", "made"),
    [
        ("auto", 5_000, False),
        ("auto", 5_001, True),
        ("prompt", 100_000, False),
        ("batch", 3, True),
    ],
)
def test_a_case_is_a_batch_above_five_thousand_prompts(granularity, n, made):
    assert makes_batches(granularity, n) is made


def test_a_batch_is_known_by_its_first_prompt():
    assert prompt_of_case("a.py::test[batch+a-red-cat-0123456789ab]") == "0123456789ab"
    assert prompt_of_case("a.py::test[fast-batch+0123456789ab]") == "0123456789ab"
    assert is_batch("a.py::test[fast-batch+0123456789ab]")
    assert not is_batch("batch+/a.py::test[batch-0123456789ab]")


def test_a_batch_is_a_unit_whatever_knows_its_prompts():
    cases = ["a.py::test[batch+000000000001]", "a.py::test[batch+000000000003]", "b.py::t[000000000009]"]
    batches = {"000000000001": ["000000000001", "000000000002"], "000000000003": ["000000000003"]}
    assert plan_work_units(cases, 2, batches=batches) == [
        ("000000000001", "000000000002"),
        ("000000000003",),
        ("000000000009",),
    ]
    # The controller of pytest-xdist collects nothing, and hands out the same cases together.
    assert plan_work_units(cases, 2) == [("000000000001",), ("000000000003",), ("000000000009",)]


def test_alone_batches_are_one_unit_with_every_prompt_once():
    cases = ["a.py::test[batch+000000000001]", "b.py::test[000000000002]", "b.py::test[000000000001]"]
    batches = {"000000000001": ["000000000001", "000000000002"]}
    assert plan_work_units(cases, 1, batches=batches) == [("000000000001", "000000000002")]
