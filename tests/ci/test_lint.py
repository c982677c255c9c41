"""CI files, as their linters and a reader who looks for holes see them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "memex_audit" / "templates"
WORKFLOWS = (*sorted((ROOT / ".github" / "workflows").glob("*.yml")), TEMPLATES / "github-workflow.yml")
ACTION, AUDIT = ROOT / "action.yml", ROOT / ".github" / "workflows" / "audit.yml"
DEPENDENCIES = ROOT / ".github" / "workflows" / "dependencies.yml"
USES = re.compile(r"^\s*(?:- )?uses: (\S+)(.*)$", re.MULTILINE)


def load(path: Path) -> dict:
    # `on` is a boolean to YAML 1.1.
    return {("on" if key is True else key): value for key, value in yaml.safe_load(path.read_text()).items()}


def steps_of(path: Path) -> list[dict]:
    read = load(path)
    if "runs" in read:
        return read["runs"]["steps"]
    return [step for job in read["jobs"].values() for step in job["steps"]]


def tool(name: str) -> str:
    path = shutil.which(name)
    assert path, f"{name} must be installed: pip install -e '.[dev]'"
    return path


def action_as_workflow() -> str:
    """Return the composite action's steps as a job: actionlint reads workflows only."""
    action = load(ACTION)
    inputs = action["inputs"].items()
    declared = {name: {"type": "string", "default": entry["default"]} for name, entry in inputs}
    return yaml.safe_dump(
        {
            "on": {"workflow_call": {"inputs": declared}},
            "jobs": {"action": {"runs-on": "ubuntu-latest", "steps": action["runs"]["steps"]}},
        },
        width=10_000,
    )


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actionlint_and_shellcheck_find_nothing_in_a_workflow(path):
    lint(path.read_text())


def test_actionlint_and_shellcheck_find_nothing_in_the_action():
    lint(action_as_workflow())


def lint(workflow: str) -> None:
    command = [tool("actionlint"), "-no-color", f"-shellcheck={tool('shellcheck')}", "-"]
    run = subprocess.run(command, input=workflow, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_shellcheck_finds_nothing_in_the_gitlab_job():
    (job,) = yaml.safe_load((TEMPLATES / "gitlab-ci.yml").read_text()).values()
    script = "\n".join([*job["before_script"], *job["script"]])
    names = "\n".join(f"export {name}" for name in job["variables"])
    command = [tool("shellcheck"), "--shell=sh", "-"]
    run = subprocess.run(command, input=f"{names}\n{script}", capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("path", [ACTION, *WORKFLOWS], ids=lambda path: path.name)
def test_an_action_is_pinned_by_its_commit_with_its_version_beside_it(path):
    found = USES.findall(path.read_text())
    assert found
    for action, comment in found:
        if action.startswith("./"):
            continue
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), f"{action}{comment}"


def test_the_same_action_has_the_same_commit_everywhere():
    pins: dict[str, set[str]] = {}
    for path in (ACTION, *WORKFLOWS):
        for action, _ in USES.findall(path.read_text()):
            name, _, commit = action.partition("@")
            pins.setdefault("/".join(name.split("/")[:2]), set()).add(commit)
    assert {name: commits for name, commits in pins.items() if len(commits) > 1} == {}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_only_read_and_leaves_no_token_behind(path):
    read = load(path)
    assert read["permissions"] == {"contents": "read"}
    for job in read["jobs"].values():
        assert job.get("permissions", {"contents": "read"}) == {"contents": "read"}
        assert job["timeout-minutes"]
    checkouts = [step for step in steps_of(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@pytest.mark.parametrize("path", [ACTION, *WORKFLOWS], ids=lambda path: path.name)
def test_no_expression_stands_in_a_script(path):
    scripts = [step["run"] for step in steps_of(path) if "run" in step]
    assert scripts or path == AUDIT
    assert not [script for script in scripts if "${{" in script]


def test_inputs_are_texts_in_kebab_case_with_a_default_and_a_description():
    for entries in (load(ACTION)["inputs"], load(AUDIT)["on"]["workflow_call"]["inputs"]):
        for name, entry in entries.items():
            assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
            assert isinstance(entry["default"], str)
            assert entry["description"]
            assert entry.get("type", "string") == "string"


def test_the_reusable_workflow_offers_and_passes_on_what_the_action_takes():
    offered, taken = load(AUDIT)["on"]["workflow_call"]["inputs"], load(ACTION)["inputs"]
    # Python is set up by the workflow, and memex-audit installed there always.
    passed_on = taken.keys() - {"python", "install"}
    assert passed_on <= offered.keys()
    assert {name: offered[name]["default"] for name in passed_on} == {
        name: taken[name]["default"] for name in passed_on
    }
    (step,) = [step for step in steps_of(AUDIT) if step.get("uses") == "./.memex-audit"]
    assert step["with"] == {name: f"${{{{ inputs.{name} }}}}" for name in passed_on}


def test_the_reusable_workflow_takes_the_action_from_where_it_itself_is():
    checkout = steps_of(AUDIT)[1]
    assert checkout["with"]["repository"] == "${{ job.workflow_repository }}"
    assert checkout["with"]["ref"] == "${{ job.workflow_sha }}"


@pytest.mark.parametrize("path", [ACTION, TEMPLATES / "github-workflow.yml"], ids=lambda path: path.name)
def test_results_are_kept_whatever_happens_and_the_verdict_comes_last(path):
    steps = steps_of(path)
    (upload,) = [step for step in steps if step.get("uses", "").startswith("actions/upload-artifact@")]
    (save,) = [step for step in steps if step.get("uses", "").startswith("actions/cache/save@")]
    assert "always()" in upload["if"]
    assert "always()" in save["if"]
    assert steps[-1]["name"] == "Verdict"
    assert "always()" in steps[-1]["if"]


def test_the_gitlab_job_keeps_results_and_store_whatever_happens():
    (job,) = yaml.safe_load((TEMPLATES / "gitlab-ci.yml").read_text()).values()
    assert job["artifacts"]["when"] == "always"
    assert job["artifacts"]["reports"] == {"junit": "results/junit.xml"}
    assert job["cache"]["when"] == "always"
    assert job["cache"]["paths"] == [".memex"]


def test_a_service_of_advisories_that_does_not_answer_is_no_clean_bill():
    (audit,) = [s["run"] for s in steps_of(DEPENDENCIES) if "pip-audit" in s.get("run", "")]
    assert "--strict" in audit
    assert "schedule" in load(DEPENDENCIES)["on"]
