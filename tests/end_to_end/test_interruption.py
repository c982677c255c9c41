"""Ctrl-C in the middle: what was drawn is kept, and the next run goes on."""

import json
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

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


def test_what_was_drawn_before_an_interrupt_is_kept_and_the_next_run_goes_on(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "audits").mkdir()
    for name in ("test_duplicated_prompts.py", "test_replica_rates.py"):
        shutil.copy(AUDITS / name, tmp_path / "audits" / name)
    (tmp_path / "prompts.csv").write_text("prompt\n" + "".join(f"clean picture {i}\n" for i in range(20)))

    # A process started in the background of a shell ignores SIGINT, and so do its children.
    restore = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    first = subprocess.Popen(
        COMMAND,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=restore,  # noqa: PLW1509 - no other thread
    )
    deadline = time.monotonic() + 120
    while len(drawn(tmp_path)) < 20 and time.monotonic() < deadline:
        time.sleep(0.02)
    first.send_signal(signal.SIGINT)
    out, _ = first.communicate(timeout=120)
    before = drawn(tmp_path)
    assert first.returncode == 2, out
    assert 20 <= len(before) < 80
    assert json.loads((tmp_path / "result.json").read_text())["verdict"] == "incomplete"

    second = subprocess.run(COMMAND, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert second.returncode == 0, second.stdout
    after = drawn(tmp_path)
    assert len(set(after)) == 80
    # The batch that was under way may have had pictures in flight; nothing else is drawn again.
    assert len(after) - 80 <= 8
    assert json.loads((tmp_path / "result.json").read_text())["verdict"] == "pass"
