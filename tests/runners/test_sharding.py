"""Shards: every prompt in one of them, and in the same one whatever else is asked."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memex_audit.errors import ConfigurationError
from memex_audit.runners.sharding import Shard, parse_shard

COUNTS = st.integers(1, 40)


def shards(count: int) -> list[Shard]:
    return [Shard(number=number, count=count) for number in range(1, count + 1)]


@given(st.text(), COUNTS)
def test_every_prompt_is_of_exactly_one_shard(text, count):
    assert sum(shard.holds_prompt(text) for shard in shards(count)) == 1


@given(st.integers(0, 10**6), COUNTS)
def test_every_number_is_of_exactly_one_shard(number, count):
    assert sum(shard.holds_number(number) for shard in shards(count)) == 1


@given(st.lists(st.text(max_size=20)), st.lists(st.text(max_size=20)), COUNTS)
def test_prompts_that_are_added_move_no_other(before, added, count):
    for shard in shards(count):
        own = [text for text in before if shard.holds_prompt(text)]
        later = [text for text in [*added, *before] if shard.holds_prompt(text)]
        assert later[len(later) - len(own) :] == own


def test_a_prompts_shard_is_the_same_in_every_process_and_spelling():
    # printf "a red café" | sha256sum begins with 4ff53e08d3f94f2e: 6 modulo 8, shards count from 1.
    assert [shard.number for shard in shards(8) if shard.holds_prompt("a red cafe\u0301")] == [7]
    assert [shard.number for shard in shards(8) if shard.holds_prompt(" a red caf\u00e9")] == [7]


def test_shards_are_about_equally_large():
    sizes = [sum(shard.holds_prompt(f"prompt {i}") for i in range(8000)) for shard in shards(8)]
    assert sum(sizes) == 8000
    assert min(sizes) > 850  # five standard deviations below 1,000


@pytest.mark.parametrize("text", ["1/1", "1/8", "8/8", " 3 / 4 "])
def test_a_shard_is_numbered_from_one(text):
    assert str(parse_shard(text)) == text.replace(" ", "")


@pytest.mark.parametrize("text", ["5/4", "0/4", "0/0", "4", "", "a/b", "-1/4", "1/4/2", "1.5/4", "٣/٤"])
def test_what_is_no_shard_is_refused_with_how_to_write_one(text):
    with pytest.raises(ConfigurationError, match=r"--shard must be i/n with i from 1 to n, got .*RANK \+ 1"):
        parse_shard(text)


def test_on_the_command_line_a_wrong_shard_is_one_line():
    run = subprocess.run(
        [sys.executable, "-m", "memex_audit", "generate", "--shard", "5/4"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr == (
        "Error: --shard must be i/n with i from 1 to n, got '5/4'; in a Slurm array of 1-8 write "
        "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT, and under torchrun, whose ranks begin with 0, "
        "$((RANK + 1))/$WORLD_SIZE.\n"
    )
