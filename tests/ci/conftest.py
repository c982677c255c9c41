"""Run the shell steps of CI files here: a composite action, a workflow's job, a GitLab job."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}", re.DOTALL)

GENERATOR = '''
import numpy as np
import pytest

from memex_audit.records import Generation


class Copier:
    """Draws the same picture for prompts that start with "copied", and noise for any other."""

    fingerprint = "f" * 64
    settings = {"kind": "copier"}
    seeded = True
    shareable = True
    evaluations_per_image = 1

    def generate(self, requests):
        for request in requests:
            seed = 1 if request.prompt.startswith("copied") else request.seed
            pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
            yield Generation(request=request, pixels=pixels)


@pytest.fixture(scope="session")
def memex_generator():
    return Copier()
'''
# Stands first on the path: what would be installed is written down, everything else is run.
PYTHON = f"""#!/bin/sh
if [ "$1 $2" = "-m pip" ]; then printf '%s\\n' "$@" >>"$RUNNER_TEMP/pip.log"; exit 0; fi
exec {sys.executable} "$@"
"""


@dataclass
class Done:
    """What running a file's steps came to."""

    failed: list[str] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    # What each step wrote, and what on standard error.
    log: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    exit_code: int = 0
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    used: dict[str, dict[str, str]] = field(default_factory=dict)
    # Files that each action that was used could see.
    seen: dict[str, list[str]] = field(default_factory=dict)

    @property
    def everything(self) -> str:
        return "\n".join([*self.log.values(), *self.errors.values()])

    @property
    def last_line(self) -> str:
        return list(self.log.values())[-1].splitlines()[-1]


class Workspace:
    """A small project with prompts and a generator of its own, and what a runner gives a step."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "project"
        self.temp = folder / "temp"
        (self.path / "audits").mkdir(parents=True)
        self.temp.mkdir()
        shims = folder / "bin"
        shims.mkdir()
        (shims / "python").write_text(PYTHON)
        (shims / "python").chmod(0o755)
        (self.path / "conftest.py").write_text(GENERATOR)
        for name in ("test_duplicated_prompts.py", "test_replica_rates.py"):
            shutil.copy(ROOT / "audits" / name, self.path / "audits" / name)
        self.environment = {
            "PATH": os.pathsep.join([str(shims), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "HOME": str(folder),
            "RUNNER_TEMP": str(self.temp),
            "GITHUB_ACTION_PATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
        }

    def prompts(self, *prompts: str, limit: str = "0.25") -> None:
        """Write prompts.txt, and name it in the settings of pytest."""
        (self.path / "prompts.txt").write_text("".join(f"{prompt}\n" for prompt in prompts))
        (self.path / "pytest.ini").write_text(
            f"[pytest]\nmemex_model = none\nmemex_prompts = prompts.txt\nmemex_limit = {limit}\n"
        )

    @property
    def files(self) -> list[str]:
        """Every file below the workspace and the runner's folder for temporary files."""
        places = (self.path, self.temp)
        return sorted(
            str(path.relative_to(place)) for place in places for path in place.rglob("*") if path.is_file()
        )

    @property
    def installed(self) -> list[str]:
        """What pip was given."""
        log = self.temp / "pip.log"
        return log.read_text().splitlines() if log.exists() else []

    def run_steps(
        self,
        steps: list[dict[str, Any]],
        *,
        inputs: dict[str, str],
        env: dict[str, str] | None = None,
        private: bool = True,
        matched_key: str = "",
    ) -> Done:
        """Run the steps of an action or job, as a runner of GitHub does."""
        done = Done()
        known = {
            "inputs": inputs,
            "github": {"run_id": "7", "run_attempt": "1", "event": {"repository": {"private": private}}},
        }
        known["env"] = {name: str(substitute(value, known)) for name, value in (env or {}).items()}
        for number, step in enumerate(steps):
            key = step.get("id", str(number))
            done.outputs[key] = {}
            known["steps"] = steps_so_far(done, steps)
            condition = step.get("if", "success()")
            alive = not done.failed or "always()" in condition
            if not (alive and evaluate(EXPRESSION.sub(r"\1", condition), known)):
                continue
            done.ran.append(key)
            if "uses" in step:
                action = step["uses"].partition("@")[0]
                done.used[action] = {k: substitute(v, known) for k, v in step.get("with", {}).items()}
                done.seen[action] = self.files
                if action == "actions/cache/restore":
                    done.outputs[key] = {"cache-matched-key": matched_key}
            else:
                self._run_shell(step, key, known, done)
        return done

    def _run_shell(self, step: dict[str, Any], key: str, known: dict[str, Any], done: Done) -> None:
        output, script = self.temp / f"output-{key}", self.temp / f"script-{key}.sh"
        output.write_text("")
        script.write_text(step["run"])
        summary = self.temp / "summary.md"
        summary.touch()
        given = {
            **known["env"],
            **{variable: substitute(value, known) for variable, value in step.get("env", {}).items()},
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(summary),
        }
        run = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", script],
            cwd=self.path, env={**self.environment, **given}, capture_output=True, text=True, timeout=300,
            check=False,
        )  # fmt: skip
        done.log[key], done.errors[key] = run.stdout, run.stderr
        done.outputs[key] = dict(line.split("=", 1) for line in output.read_text().splitlines())
        for path in (output, script):
            path.unlink()
        if run.returncode:
            done.failed.append(step["name"])
            done.exit_code = run.returncode

    def run_gitlab(self, job: dict[str, Any], variables: dict[str, str], shell: str = "sh") -> Done:
        """Run the scripts of a GitLab job, as its runner does: in one shell that ends at the first error."""
        first = "set -eo pipefail" if shell == "bash" else "set -e"
        script = "\n".join([first, *job["before_script"], *job["script"]])
        given = {name: str(value) for name, value in job["variables"].items()} | variables
        run = subprocess.run(
            [shell, "-c", script], cwd=self.path, env={**self.environment, **given}, capture_output=True,
            text=True, timeout=300, check=False,
        )  # fmt: skip
        return Done(exit_code=run.returncode, log={"script": run.stdout}, errors={"script": run.stderr})


def steps_so_far(done: Done, steps: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the context `steps`."""
    named = {step["id"]: step for step in steps if "id" in step}
    return {
        key: {
            "outputs": done.outputs.get(key, {}),
            "outcome": ("success" if key in done.ran else "skipped"),
        }
        for key in named
    }


def substitute(value: object, known: dict[str, Any]) -> str:
    """Fill the expressions of a text in."""

    def fill(match: re.Match[str]) -> str:
        found = evaluate(match[1], known)
        return str(found).lower() if isinstance(found, bool) else str(found)

    return EXPRESSION.sub(fill, str(value))


def evaluate(expression: str, known: dict[str, Any]) -> Any:
    """Evaluate an expression of GitHub Actions, as far as these files use them."""
    python = re.sub(r"\b(always|success)\(\)", "True", expression)
    python = python.replace("&&", " and ").replace("||", " or ").replace(" true", " True")
    parts = re.split(r"('[^']*')", " ".join(python.split()))
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"\b[a-z_]+(?:\.[A-Za-z_-]+)+", lambda m: f"look({m[0]!r})", parts[i])

    def look(path: str) -> Any:
        found: Any = known
        for part in path.split("."):
            found = found.get(part, "") if isinstance(found, dict) else ""
        return found

    return eval("".join(parts), {"look": look})


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture(scope="session")
def action() -> dict[str, Any]:
    """The composite action."""
    return yaml.safe_load((ROOT / "action.yml").read_text())


@pytest.fixture
def run_action(workspace: Workspace, action: dict[str, Any]):
    """Run the composite action with inputs, those left out at their defaults."""

    def run(*, private: bool = True, matched_key: str = "", **given: str) -> Done:
        inputs = {name: entry["default"] for name, entry in action["inputs"].items()}
        given = {name.replace("_", "-"): value for name, value in given.items()}
        assert given.keys() <= inputs.keys()
        return workspace.run_steps(
            action["runs"]["steps"], inputs=inputs | given, private=private, matched_key=matched_key
        )

    return run
