"""`memex doctor` as it is typed: it reads what pytest reads, and its exit code says whether to go on."""

import json
import subprocess
import sys

import pytest


@pytest.fixture
def doctor(tmp_path, monkeypatch):
    """Run `memex doctor` in an empty project."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "memex_audit", "doctor", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    return run


def states(run: subprocess.CompletedProcess[str]) -> dict[str, str]:
    return {check["name"]: check["state"] for check in json.loads(run.stdout)["checks"]}


def test_the_projects_settings_are_read_and_options_go_before_them(doctor, tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.pytest]\nmemex_model = "./nowhere"\nmemex_limit = 0.02\n')
    run = doctor("--json")
    assert run.returncode == 1, run.stderr
    assert states(run)["model"] == "missing"
    run = doctor("--json", "--model", "specimen:deduplicated", "--max-prompts", "200")
    assert run.returncode == 0, run.stderr
    assert states(run)["model"] == "ok"
    # 200 groups pass at 2 %, which takes 154 in a first run, and not at the default of 1 %.
    assert states(run)["prompts"] == "ok"


def test_warnings_exit_with_0_and_are_read_by_people(doctor):
    run = doctor("--max-prompts", "5")
    assert run.returncode == 0, run.stderr
    assert " warning  prompts        at most 5" in run.stdout
    assert run.stdout.endswith("Nothing would stop an audit; 2 warnings. Next: pytest audits/\n")
    assert run.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--limit", "7"], "Error: --memex-limit must be between 0 and 1, got '7'."),
        (["--preset", "carlini"], "did you mean carlini-2023?"),
    ],
)
def test_a_value_that_cannot_be_used_is_one_line(doctor, arguments, said):
    run = doctor(*arguments)
    assert run.returncode == 1
    assert said in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_settings_that_pytest_cannot_read_are_one_error(doctor, tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.pytest]\nmemex_limit = true\n")
    run = doctor()
    assert run.returncode == 1
    assert "expects a float, got bool" in run.stderr
    assert "Traceback" not in run.stderr
