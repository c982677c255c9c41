"""`memex verdict`: a result file and pytest's exit code become one line and an exit code."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from memex_audit.cli import main
from memex_audit.gate import EXIT_CODES, judge
from memex_audit.records import AuditResult, Rate, RunVerdict
from memex_audit.reporting.json_report import write_json

RATE = Rate(
    extracted=0, flagged=0, undecided=0, near_misses=0, prompts=320, groups=320, extracted_groups=0,
    undecided_groups=0, generations=1280, replicas=0, lower=0.0, upper=0.0093, confidence=0.95, limit=0.01,
    frame="duplicated groups", frame_size=None, method="exact binomial, one-sided", blind_spot=0.75,
)  # fmt: skip
RESULT = AuditResult(
    verdict=RunVerdict.PASS, rate=RATE, protocol=None, calibration=None, findings=(), set_aside=(),
    controls=(), provenance=None,
)  # fmt: skip


@pytest.fixture
def written(tmp_path):
    """Write a result with a verdict, and return its file."""

    def write(verdict: RunVerdict):
        path = tmp_path / "memex.json"
        write_json(path, replace(RESULT, verdict=verdict))
        return path

    return write


@pytest.mark.parametrize(
    ("verdict", "code"), [("pass", 0), ("fail", 1), ("inconclusive", 3), ("incomplete", 4), ("error", 5)]
)
def test_only_a_pass_exits_with_0(written, verdict, code):
    run = CliRunner().invoke(main, ["verdict", str(written(RunVerdict(verdict)))])
    assert run.exit_code == code
    assert run.stdout.startswith(f"{verdict}: ")
    assert len(run.stdout.splitlines()) == 1


def test_every_verdict_has_an_exit_code_and_none_is_that_of_a_mistyped_command():
    assert set(EXIT_CODES) == set(RunVerdict)
    assert 2 not in EXIT_CODES.values()


def test_the_line_says_what_the_verdict_rests_on(written):
    gate = judge(written(RunVerdict.PASS))
    assert gate.line == "pass: Every case ran, and the extraction rate is within the limit of 1 %."


@pytest.mark.parametrize("verdict", [v for v in RunVerdict if v is not RunVerdict.INCONCLUSIVE])
def test_an_exit_code_of_0_makes_no_pass_of_another_verdict(written, verdict):
    assert judge(written(verdict), 0).exit_code == EXIT_CODES[verdict]


def test_a_test_that_fails_beside_a_passing_audit_is_a_failure(written):
    gate = judge(written(RunVerdict.PASS), 1)
    assert gate.exit_code == 1
    assert gate.line == "fail: The audit passes, but pytest exited with 1: another test failed."


def test_an_inconclusive_run_is_let_through_only_where_pytest_did(written):
    path = written(RunVerdict.INCONCLUSIVE)
    assert judge(path).exit_code == judge(path, 1).exit_code == 3
    gate = judge(path, 0)
    assert gate.exit_code == 0
    assert gate.line.startswith("inconclusive: ")
    assert "--memex-inconclusive warn" in gate.line


@pytest.mark.parametrize(
    ("pytest_exit", "said"),
    [
        (0, "no audit case ran"),
        (1, "no audit case ran"),
        (2, "pytest was stopped"),
        (3, "pytest broke"),
        (4, "refused its arguments"),
        (5, "nothing was collected"),
        (137, "cannot be read: No such file"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_run_without_a_result_proves_nothing_and_says_why(tmp_path, pytest_exit, said):
    gate = judge(tmp_path / "memex.json", pytest_exit)
    assert gate.exit_code == 5
    assert gate.line.startswith("none: ")
    assert said in gate.line


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"schema": 1, "verdict": "pass"})])
def test_a_file_that_is_no_whole_result_is_no_pass(tmp_path, text):
    path = tmp_path / "memex.json"
    path.write_text(text)
    gate = judge(path, 0)
    assert (gate.word, gate.exit_code) == ("none", 5)
    assert str(path) in gate.line


def test_the_line_is_one_line_whatever_the_name_of_the_file(tmp_path):
    assert len(judge(tmp_path / "a\n::error::b.json").line.splitlines()) == 1


def test_an_exit_code_that_was_never_known_is_left_out_and_a_word_is_refused(written):
    path = str(written(RunVerdict.PASS))
    assert CliRunner().invoke(main, ["verdict", path, "--pytest-exit", ""]).exit_code == 0
    run = CliRunner().invoke(main, ["verdict", path, "--pytest-exit", "none"])
    assert run.exit_code == 2
    assert "--pytest-exit: must be a whole number, got 'none'" in run.output
