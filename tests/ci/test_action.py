"""The composite action: its shell steps are run on a small project, for every way a run can end."""

import json
from pathlib import Path

import pytest

CLEAN = tuple(f"clean picture {i}" for i in range(12))
COPIED = tuple(f"copied picture {i}" for i in range(12))
HOSTILE = (
    '"; touch pwned; echo "',
    "$(touch pwned)",
    "`touch pwned`",
    "x\ntouch pwned\nverdict=pass",
    "x' || touch pwned || '",
    "--version",
)


def annotations(log: str) -> list[str]:
    return [line for line in log.splitlines() if line.startswith("::error")]


def test_a_pass_is_kept_and_let_through(workspace, run_action):
    workspace.prompts(*CLEAN)
    done = run_action()
    assert done.exit_code == 0, done.everything
    assert done.outputs["verdict"] == {"verdict": "pass"}
    assert done.log["verdict"].startswith("pass: ")
    results = Path(done.outputs["plan"]["results"])
    assert json.loads((results / "memex.json").read_text())["verdict"] == "pass"
    assert {path.name for path in results.iterdir()} >= {"memex.json", "memex.md", "junit.xml", "allure"}
    assert done.used["actions/upload-artifact"]["path"] == str(results)


def test_a_failure_comes_last_after_results_and_store_are_kept(workspace, run_action):
    workspace.prompts(*COPIED)
    done = run_action()
    assert done.failed == ["Verdict"]
    assert done.exit_code == 1
    assert done.outputs["verdict"] == {"verdict": "fail"}
    assert len(annotations(done.log["verdict"])) == 1
    assert annotations(done.log["verdict"])[0].startswith("::error title=memex-audit::fail: ")
    assert done.ran[-3:] == ["5", "6", "verdict"]
    assert any(name.endswith("memex.json") for name in done.seen["actions/upload-artifact"])
    assert any(".memex/units" in name for name in done.seen["actions/cache/save"])


def test_an_inconclusive_run_fails_unless_the_project_lets_it_through(workspace, run_action):
    workspace.prompts(*CLEAN)
    done = run_action(limit="0.01")
    assert (done.exit_code, done.outputs["verdict"]) == (3, {"verdict": "inconclusive"})
    done = run_action(limit="0.01", arguments="--memex-inconclusive=warn")
    assert (done.exit_code, done.outputs["verdict"]) == (0, {"verdict": "inconclusive"})


def test_a_selection_is_no_pass_although_pytest_exits_with_0(workspace, run_action):
    workspace.prompts(*CLEAN)
    done = run_action(arguments="-k\nclean-picture-3")
    assert done.outputs["audit"] == {"code": "0"}
    assert (done.exit_code, done.outputs["verdict"]) == (4, {"verdict": "incomplete"})


def test_nothing_collected_fails_with_one_clear_line(workspace, run_action):
    workspace.prompts(*CLEAN)
    (workspace.path / "empty").mkdir()
    done = run_action(audits="empty")
    assert done.outputs["audit"] == {"code": "5"}
    assert (done.exit_code, done.outputs["verdict"]) == (5, {"verdict": "none"})
    (line,) = annotations(done.log["verdict"])
    assert "none: nothing was collected" in line


def test_a_suite_in_which_no_case_audits_proves_nothing(workspace, run_action):
    (workspace.path / "tests").mkdir()
    (workspace.path / "tests" / "test_sum.py").write_text("def test_sum(): assert 1 + 1 == 2\n")
    done = run_action(audits="tests")
    assert done.outputs["audit"] == {"code": "0"}
    assert (done.exit_code, done.outputs["verdict"]) == (5, {"verdict": "none"})


def test_another_test_that_fails_beside_a_passing_audit_is_no_pass(workspace, run_action):
    workspace.prompts(*CLEAN)
    (workspace.path / "audits" / "test_sum.py").write_text("def test_sum(): assert 1 + 1 == 3\n")
    done = run_action()
    assert (done.exit_code, done.outputs["verdict"]) == (1, {"verdict": "fail"})
    assert "another test failed" in done.log["verdict"]


@pytest.mark.parametrize("value", HOSTILE)
def test_no_input_is_run_as_a_command(workspace, run_action, value):
    workspace.prompts(*CLEAN)
    named = ("model", "training_set", "prompts", "limit", "audits", "packages", "arguments", "cache_key")
    done = run_action(**dict.fromkeys(named, value))
    assert done.exit_code == 5
    assert done.outputs["verdict"] == {"verdict": "none"}
    assert len(annotations(done.log["verdict"])) == 1
    assert not [name for name in workspace.files if "pwned" in name]
    assert set(done.outputs["plan"]) == {"results", "key"}
    assert set(done.outputs["audit"]) == {"code"}


def test_the_name_of_an_interpreter_is_no_command_line(workspace, run_action):
    done = run_action(python="python; touch pwned", install="false")
    assert done.exit_code != 0
    assert done.outputs["verdict"] == {"verdict": ""}
    assert not [name for name in workspace.files if "pwned" in name]


def test_what_a_caption_says_is_no_command_to_the_runner(workspace, run_action):
    workspace.prompts(*CLEAN)
    done = run_action()
    first, *_, last = [line for line in done.log["audit"].splitlines() if line.startswith("::")]
    token = first.removeprefix("::stop-commands::")
    assert token != first
    assert last == f"::{token}::"


def test_the_action_installs_its_own_version_and_what_is_asked_for_beside_it(workspace, run_action):
    workspace.prompts(*CLEAN)
    run_action(packages="peft\n\npytest-xdist>=3.6\n", arguments="--collect-only")
    assert workspace.installed[:2] == ["-m", "pip"]
    assert workspace.installed[-2:] == ["peft", "pytest-xdist>=3.6"]
    assert workspace.environment["GITHUB_ACTION_PATH"] in workspace.installed
    (workspace.temp / "pip.log").unlink()
    run_action(install="false", arguments="--collect-only")
    assert workspace.installed == []


@pytest.mark.parametrize(
    ("cache", "private", "kept"),
    [("private", True, True), ("private", False, False), ("always", False, True), ("never", True, False)],
)
def test_pictures_are_kept_between_runs_in_private_repositories_only(
    workspace, run_action, cache, private, kept
):
    workspace.prompts("clean picture")
    done = run_action(cache=cache, private=private)
    assert ("actions/cache/restore" in done.used) is kept
    assert ("actions/cache/save" in done.used) is kept


def test_a_store_is_kept_under_its_model_and_data_and_only_if_it_grew(workspace, run_action):
    workspace.prompts("clean picture")
    first = run_action(model="m1", cache_key="v1")
    saved, restored = first.used["actions/cache/save"]["key"], first.used["actions/cache/restore"]
    assert restored["path"] == first.used["actions/cache/save"]["path"] == ".memex"
    assert saved.startswith(restored["restore-keys"])
    again = run_action(model="m1", cache_key="v1", matched_key=saved)
    assert "actions/cache/restore" in again.used
    assert "actions/cache/save" not in again.used
    for other in ({"model": "m2", "cache_key": "v1"}, {"model": "m1", "cache_key": "v2"}):
        assert run_action(**other).used["actions/cache/restore"]["restore-keys"] != restored["restore-keys"]


def test_the_step_summary_is_written_once(workspace, run_action):
    workspace.prompts(*CLEAN)
    run_action()
    assert (workspace.temp / "summary.md").read_text().count("## Memorization audit") == 1
