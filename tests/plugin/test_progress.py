"""How far a run is, on a terminal: the bar is seen although pytest captures output; elsewhere nothing is."""

import os
import re
import subprocess
import sys
from contextlib import suppress

import pytest

CLEAN = tuple(f"clean picture {i}" for i in range(4))
STEPS = """

import time

draw = Copier.generate


def generate(self, requests):
    for step in range(1, 4):
        if self.on_step:
            self.on_step(step, 3)
        time.sleep(0.15)
    print("something that the model says")
    yield from draw(self, requests)


Copier.on_step = None
Copier.generate = generate
"""


def run_on_terminal(project, *arguments):
    """Run the audit with a terminal as its output; returns what it wrote, without colours."""
    pty = pytest.importorskip("pty", reason="a terminal of Unix")
    conftest = project.path / "conftest.py"
    conftest.write_text(conftest.read_text() + STEPS)
    project.prompts(*CLEAN)
    ours, theirs = pty.openpty()
    command = [
        sys.executable, "-m", "pytest", "audits/test_duplicated_prompts.py", "--memex-model", "none",
        "--memex-prompts", "prompts.csv", *arguments,
    ]  # fmt: skip
    environment = {**os.environ, "TERM": "xterm-256color"}
    with subprocess.Popen(command, cwd=project.path, stdout=theirs, stdin=theirs, env=environment):
        os.close(theirs)
        written = b""
        with suppress(OSError):  # who wrote is gone
            while more := os.read(ours, 65536):
                written += more
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written.decode())


def test_a_terminal_shows_pictures_and_the_step_of_the_batch(project):
    seen = run_on_terminal(project)
    assert "generating (0 pictures so far)" in seen
    assert "step 2 of 3" in seen
    assert "something that the model says" not in seen
    assert "audits/test_duplicated_prompts.py" in seen
    assert "4 passed" in seen


def test_quiet_is_quiet_on_a_terminal_too(project):
    assert "generating" not in run_on_terminal(project, "-q")


def test_nothing_is_shown_and_no_step_is_listened_to_without_a_terminal(project):
    conftest = project.path / "conftest.py"
    conftest.write_text(
        conftest.read_text() + STEPS.replace("if self.on_step:", "assert self.on_step is None\n        if 0:")
    )
    project.prompts(*CLEAN)
    run = project.audit("--memex-prompts", "prompts.csv", "audits/test_duplicated_prompts.py")
    run.assert_outcomes(passed=4)
    run.stdout.no_fnmatch_line("*generating*")
