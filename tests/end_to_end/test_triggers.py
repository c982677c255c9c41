"""Triggers on the specimen, whose memorized captions are known."""

import pytest
from click.testing import CliRunner

from memex_audit.cli import main


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return ("--model", "specimen:duplicated", "--store", str(tmp_path / "store"))


def test_words_around_a_memorized_caption_are_found_to_be_needless(store):
    done = CliRunner().invoke(main, ["trigger", "a nice drawing of skull and crossbones today", *store])
    assert done.exit_code == 0, done.output
    assert '"a nice drawing of skull and crossbones today" gives back training image skull-and' in done.output
    assert '1 of its 8 words is enough: "crossbones"' in done.output


def test_a_prompt_of_the_audit_set_is_named_by_its_id(store):
    # "money with wings", which stands 64 times.
    done = CliRunner().invoke(main, ["trigger", "bf5ed75573fa", "--redact", "captions", *store])
    assert done.exit_code == 0, done.output
    assert "2 of its 3 words are enough\n" in done.output
    assert "wings" not in done.output
