"""Which files a run writes, and what it says where it cannot."""

import hashlib
import json
from dataclasses import replace

import pytest

from memex_audit.config import Settings
from memex_audit.reporting.junit_properties import suite_properties
from memex_audit.reporting.outputs import Output, write_outputs
from memex_audit.whole_file import write_whole


@pytest.fixture
def write(tmp_path, monkeypatch, result):
    monkeypatch.chdir(tmp_path)

    def run(summary_file=None, **settings):
        return write_outputs(result, Settings(**settings), allure_folder=None, summary_file=summary_file)

    return run


def test_nothing_is_written_that_was_not_asked_for(write, tmp_path):
    assert write() == []
    assert list(tmp_path.iterdir()) == []


def test_a_report_names_the_digest_of_the_json_it_rests_on(write, tmp_path):
    assert write(json="out/result.json", report="page.md") == [
        Output(name="out/result.json"), Output(name="page.md"),
    ]  # fmt: skip
    page = (tmp_path / "page.md").read_text()
    digest = hashlib.sha256((tmp_path / "out/result.json").read_bytes()).hexdigest()
    assert "is in `result.json`" in page
    assert f"SHA-256 of that file: `{digest}`" in page


def test_without_a_json_one_is_written_beside_the_report(write, tmp_path):
    assert write(report="page.md") == [Output(name="page.md.json"), Output(name="page.md")]
    data = (tmp_path / "page.md.json").read_bytes()
    assert json.loads(data)["verdict"] == "fail"
    assert hashlib.sha256(data).hexdigest() in (tmp_path / "page.md").read_text()


def test_captions_are_left_out_of_all_of_them(write, tmp_path):
    (tmp_path / "summary.md").touch()
    write(tmp_path / "summary.md", json="result.json", report="page.md", redact="captions")
    for path in tmp_path.iterdir():
        assert "zebra" not in path.read_text().lower(), path


def test_a_file_that_cannot_be_written_is_named_and_the_others_are_written(write, tmp_path):
    (tmp_path / "result.json").mkdir()
    assert write(json="result.json", report="page.md") == [
        Output(name="result.json", problem="Is a directory"), Output(name="page.md"),
    ]  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.md", "result.json"]


def test_a_step_summary_that_is_not_there_is_said_to_be_missing(write, tmp_path):
    assert write(tmp_path / "nowhere.md") == [
        Output(name="step summary", problem="No such file or directory")
    ]


def test_a_step_summary_is_written_without_a_word(write, tmp_path):
    (tmp_path / "summary.md").touch()
    assert write(tmp_path / "summary.md") == []
    assert "## Memorization audit: FAIL" in (tmp_path / "summary.md").read_text()


def test_a_write_that_fails_leaves_the_old_file_and_no_part_of_a_new_one(tmp_path, monkeypatch):
    path = tmp_path / "page.md"
    path.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["page.md"]


def test_the_properties_of_a_suite_are_texts_without_captions(result):
    properties = dict(suite_properties(result))
    assert properties["memex_verdict"] == "fail"
    assert properties["memex_model_fingerprint"] == "ab"
    assert properties["memex_groups"] == "320"
    assert properties["memex_extracted_groups"] == "1"
    assert properties["memex_rate"] == str(1 / 320)
    assert properties["memex_upper"] == "0.0147"
    assert properties["memex_limit"] == "0.01"
    assert all(isinstance(value, str) for value in properties.values())
    assert "zebra" not in str(properties).lower()
    bare = replace(result, rate=None, provenance=None)
    assert suite_properties(bare) == (("memex_verdict", "fail"),)
