"""Ctrl-C or SIGKILL in the middle: what was drawn is kept, and the next run goes on."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

AUDITS = Path(__file__).parents[2] / "audits"
CONFTEST = """
import time
from pathlib import Path

import numpy as np
import pytest

from memex_audit.records import Generation


class Slow:
    fingerprint, settings, seeded, shareable, evaluations_per_image = "5" * 64, {}, True, True, 1

    def generate(self, requests):
        for request in requests:
            time.sleep(0.05)
            with Path("drawn.log").open("a") as log:
                log.write(f"{request.prompt}\\t{request.seed}\\n")
            pixels = np.random.default_rng(request.seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
            yield Generation(request=request, pixels=pixels)


@pytest.fixture(scope="session")
def memex_generator():
    return Slow()
"""
COMMAND = (
    sys.executable, "-m", "pytest", "audits", "-q", "--memex-prompts", "prompts.csv", "--memex-limit", "0.25",
    "--memex-json", "result.json", "--memex-model", "none", "--memex-batch-size", "8",
)  # fmt: skip


def drawn(folder: Path) -> list[str]:
    log = folder / "drawn.log"
    return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def project(tmp_path):
    """Return a folder with audits over twenty prompts, and a slow generator."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "audits").mkdir()
    for name in ("test_duplicated_prompts.py", "test_replica_rates.py"):
        shutil.copy(AUDITS / name, tmp_path / "audits" / name)
    (tmp_path / "prompts.csv").write_text("prompt\n" + "".join(f"clean picture {i}\n" for i in range(20)))
    return tmp_path


def test_what_was_drawn_before_an_interrupt_is_kept_and_the_next_run_goes_on(project):
    # A process started in the background of a shell ignores SIGINT, and so do its children.
    restore = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    first = subprocess.Popen(
        COMMAND,
        cwd=project,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=restore,  # noqa: PLW1509 - no other thread
    )
    deadline = time.monotonic() + 120
    while len(drawn(project)) < 20 and time.monotonic() < deadline:
        time.sleep(0.02)
    first.send_signal(signal.SIGINT)
    out, _ = first.communicate(timeout=120)
    before = drawn(project)
    assert first.returncode == 2, out
    assert 20 <= len(before) < 80
    assert json.loads((project / "result.json").read_text())["verdict"] == "incomplete"

    second = subprocess.run(COMMAND, cwd=project, capture_output=True, text=True, timeout=300, check=False)
    assert second.returncode == 0, second.stdout
    after = drawn(project)
    assert len(set(after)) == 80
    # The batch that was under way may have had pictures in flight; nothing else is drawn again.
    assert len(after) - 80 <= 8
    assert json.loads((project / "result.json").read_text())["verdict"] == "pass"


def test_whole_runs_killed_with_their_workers_end_as_an_undisturbed_one(project):
    delays = random.Random(7)
    for workers in ((), ("-n2",), ()):
        before = len(drawn(project))
        run = subprocess.Popen(
            (*COMMAND, *workers), cwd=project, stdout=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + 120
        while len(drawn(project)) == before and run.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(delays.uniform(0, 0.8))
        assert run.poll() is None
        os.killpg(run.pid, signal.SIGKILL)
        run.wait(timeout=60)
    assert not (project / "result.json").exists()

    last = subprocess.run(COMMAND, cwd=project, capture_output=True, text=True, timeout=300, check=False)
    assert last.returncode == 0, last.stdout
    found = json.loads((project / "result.json").read_text())
    lines = drawn(project)
    assert len(set(lines)) == 20 * 4
    assert len(lines) - 20 * 4 <= (1 + 2 + 1) * 8  # a batch a process that was killed

    shutil.rmtree(project / ".memex")
    undisturbed = subprocess.run(COMMAND, cwd=project, capture_output=True, timeout=300, check=False)
    assert undisturbed.returncode == 0
    expected = json.loads((project / "result.json").read_text())
    assert found["verdict"] == expected["verdict"] == "pass"
    assert (found["findings"], found["rate"]) == (expected["findings"], expected["rate"])
