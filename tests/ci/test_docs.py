"""What the documentation shows of CI: its workflows are checked, and its inputs exist."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from memex_audit.gate import EXIT_CODES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "ci.md").read_text()
WORKFLOWS = [
    block for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if block.startswith("jobs:")
]


def inputs_of(path: Path) -> set[str]:
    read = yaml.safe_load(path.read_text())
    return set(read["inputs"] if "inputs" in read else read[True]["workflow_call"]["inputs"])


@pytest.mark.parametrize("block", WORKFLOWS)
def test_actionlint_finds_nothing_in_a_workflow_of_the_page(block):
    # A label of the reader's own, and the names that stand for a repository and a commit.
    actionlint = shutil.which("actionlint")
    assert actionlint, "actionlint must be installed: pip install -e '.[dev]'"
    run = subprocess.run(
        [actionlint, "-no-color", "-ignore", 'label "gpu" is unknown', "-"], input=f"on: push\n{block}",
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout


def test_the_inputs_on_the_page_exist():
    action, audit = (yaml.safe_load(block)["jobs"]["audit"] for block in WORKFLOWS)
    step = action["steps"][-1]
    assert set(step["with"]) <= inputs_of(ROOT / "action.yml")
    assert set(audit["with"]) <= inputs_of(ROOT / ".github" / "workflows" / "audit.yml")


def test_the_exit_codes_on_the_page_are_those_of_the_command():
    listed = dict(re.findall(r"^\| (\d) \| `(\w+)`", PAGE, re.MULTILINE))
    assert {verdict.value: str(code) for verdict, code in EXIT_CODES.items()} == {
        verdict: code for code, verdict in listed.items()
    }
