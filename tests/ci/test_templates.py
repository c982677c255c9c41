"""What `memex init --github` and `--gitlab` write: their shell steps are run, for every way a run can end."""

import json
import re
from typing import NamedTuple

import pytest
import yaml
from click.testing import CliRunner

from memex_audit.cli import main

CLEAN = tuple(f"clean picture {i}" for i in range(12))
COPIED = tuple(f"copied picture {i}" for i in range(12))


class Ending(NamedTuple):
    """A run: its prompts and limit, its verdict, and the exit code of the job."""

    prompts: tuple[str, ...]
    limit: str
    word: str
    code: int


ENDINGS = (
    Ending(CLEAN, "0.25", "pass", 0),
    Ending(COPIED, "0.25", "fail", 1),
    Ending(CLEAN, "0.01", "inconclusive", 3),
)


@pytest.fixture
def github(workspace, monkeypatch):
    """Write the workflow into the workspace, and run its job."""
    monkeypatch.chdir(workspace.path)
    CliRunner().invoke(main, ["init", "--github"], catch_exceptions=False)
    (workspace.path / "audits" / "test_controls.py").unlink()
    (workspace.path / "audits" / "test_training_set.py").unlink()
    text = (workspace.path / ".github" / "workflows" / "memex-audit.yml").read_text()
    (job,) = yaml.safe_load(text)["jobs"].values()
    return lambda private=True: workspace.run_steps(job["steps"], inputs={}, env=job["env"], private=private)


@pytest.fixture
def gitlab(workspace, monkeypatch):
    """Write the pipeline into the workspace, and run its job."""
    monkeypatch.chdir(workspace.path)
    CliRunner().invoke(main, ["init", "--gitlab"], catch_exceptions=False)
    (workspace.path / "audits" / "test_controls.py").unlink()
    (workspace.path / "audits" / "test_training_set.py").unlink()
    (job,) = yaml.safe_load((workspace.path / ".gitlab-ci.yml").read_text()).values()
    return lambda shell="sh", **variables: workspace.run_gitlab(job, variables, shell)


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.word)
def test_the_github_job_ends_on_the_verdict_after_results_are_kept(workspace, github, ending):
    workspace.prompts(*ending.prompts, limit=ending.limit)
    done = github()
    assert (done.exit_code, done.failed) == (ending.code, ["Verdict"] if ending.code else [])
    assert re.match(rf"(::error title=memex-audit::)?{ending.word}: ", done.last_line)
    assert "results/memex.json" in done.seen["actions/upload-artifact"]
    assert any(".memex/units" in name for name in done.seen["actions/cache/save"])
    restored_from = done.used["actions/cache/restore"]["restore-keys"]
    assert done.used["actions/cache/save"]["key"].startswith(restored_from)


def test_the_github_job_fails_with_one_line_where_nothing_is_collected(workspace, github):
    for path in (workspace.path / "audits").iterdir():
        path.unlink()
    done = github()
    assert done.exit_code == 5
    assert done.last_line.startswith("::error title=memex-audit::none: nothing was collected")


def test_the_github_job_keeps_no_pictures_of_a_public_repository(workspace, github):
    workspace.prompts("clean picture")
    used = github(private=False).used
    assert "actions/cache/save" not in used
    assert "actions/cache/restore" not in used
    assert "actions/upload-artifact" in used


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.word)
def test_the_gitlab_job_ends_on_the_verdict(workspace, gitlab, ending, shell):
    workspace.prompts(*ending.prompts)
    done = gitlab(shell, MEMEX_LIMIT=ending.limit)
    assert done.exit_code == ending.code, done.everything
    assert done.last_line.startswith(f"{ending.word}: ")
    assert json.loads((workspace.path / "results" / "memex.json").read_text())["verdict"] == ending.word
    assert {"results/junit.xml", "results/memex.md"} <= set(workspace.files)
    assert workspace.installed[-1].startswith("memex-audit==")


def test_the_gitlab_job_fails_with_one_line_where_nothing_is_collected(workspace, gitlab):
    (workspace.path / "results").mkdir()
    (workspace.path / "results" / "memex.json").write_text('{"verdict": "pass"}')
    for path in (workspace.path / "audits").iterdir():
        path.unlink()
    done = gitlab()
    assert done.exit_code == 5
    assert done.last_line.startswith("none: nothing was collected")


@pytest.mark.parametrize(
    "value", ['"; touch pwned; echo "', "$(touch pwned)", "`touch pwned`", "x\ntouch pwned"]
)
def test_no_variable_of_the_gitlab_job_is_run_as_a_command(workspace, gitlab, value):
    workspace.prompts(*CLEAN)
    names = ("MODEL", "TRAINING_SET", "PROMPTS", "LIMIT", "REDACT", "PACKAGE")
    done = gitlab(**{f"MEMEX_{name}": value for name in names})
    assert done.exit_code == 5
    assert done.last_line.startswith("none: pytest refused its arguments")
    assert not [name for name in workspace.files if "pwned" in name]
