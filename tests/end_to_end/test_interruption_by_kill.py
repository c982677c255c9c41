"""SIGKILL at random moments: what was finished is kept, no half file is trusted, nothing is missing."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
AUDITS = HERE.parents[1] / "audits"
KILLS = 30
# A batch of each of two processes, and what had been drawn of a prompt whose last picture was not there yet.
MOST_IN_FLIGHT = 5 + 9 + 8 + 9


def killed(kind: str, kills: int, folder: Path) -> dict:
    command = [sys.executable, HERE / "killed_at_random.py", kind, str(kills), "20260101", folder]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_of_drawings_killed_thirty_times_each_picture_is_stored_once_and_none_is_missing(tmp_path):
    seen = killed("fill", KILLS, tmp_path)
    assert seen["kills_at_work"] >= 0.8 * KILLS  # the others came when everything was drawn
    assert seen["partial_files"] > 0  # some did come in the middle of a write
    assert seen["stored_and_drawn_again"] == 0
    assert seen["drawn"] == seen["pictures"] + seen["in_flight"]
    assert seen["in_flight"] <= seen["kills_at_work"] * MOST_IN_FLIGHT
    assert seen["differing_prompts"] == 0
    assert seen["left_partial_files"] == 0


def test_a_mining_killed_again_and_again_gives_what_an_undisturbed_one_gives(tmp_path):
    seen = killed("mine", 16, tmp_path)
    assert seen["kills_at_work"] > 8
    assert seen["half_made"] > 0
    assert (seen["prompts"], seen["same_prompts"], seen["same_embeddings"]) == (300, True, True)
    assert seen["left_half_made"] == 0


def test_a_calibration_is_whole_whenever_its_writing_is_killed(tmp_path):
    seen = killed("calibrate", KILLS, tmp_path)
    assert seen["readable"] == seen["looks"] == KILLS + 1


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


@pytest.fixture
def project(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "audits").mkdir()
    for name in ("test_duplicated_prompts.py", "test_replica_rates.py"):
        shutil.copy(AUDITS / name, tmp_path / "audits" / name)
    (tmp_path / "prompts.csv").write_text("prompt\n" + "".join(f"clean picture {i}\n" for i in range(24)))
    return tmp_path


def drawn(folder: Path) -> list[str]:
    log = folder / "drawn.log"
    return log.read_text().splitlines() if log.exists() else []


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
    assert len(set(lines)) == 24 * 4
    assert len(lines) - 24 * 4 <= (1 + 2 + 1) * 8  # a batch a process that was killed

    shutil.rmtree(project / ".memex")
    undisturbed = subprocess.run(COMMAND, cwd=project, capture_output=True, timeout=300, check=False)
    assert undisturbed.returncode == 0
    expected = json.loads((project / "result.json").read_text())
    assert found["verdict"] == expected["verdict"] == "pass"
    assert (found["findings"], found["rate"]) == (expected["findings"], expected["rate"])
