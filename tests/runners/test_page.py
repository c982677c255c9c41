"""The scripts of docs/how-to/many-machines.md are run, with a model that is at hand."""

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "many-machines.md").read_text(encoding="utf-8")
ARRAY, TORCHRUN = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)

MODEL = """
import numpy as np

from memex_audit.records import Generation


class Noise:
    fingerprint, settings, seeded, shareable, evaluations_per_image = "n" * 64, {}, True, True, 1

    def generate(self, requests):
        for request in requests:
            pixels = np.random.default_rng(request.seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
            yield Generation(request=request, pixels=pixels)
"""


def run(folder, script, **environment):
    """Run a script of the page under bash: on the CPU, and with a model and prompts of this folder."""
    (folder / "noise.py").write_text(MODEL)
    (folder / "prompts.csv").write_text("prompt\n" + "".join(f"prompt {i}\n" for i in range(20)))
    for said, here in (
        ("prompts.parquet", "prompts.csv"),
        ("--model ./my-model", "--model python:noise:Noise --no-controls"),
        ("--training-set ./my-images", "--max-prompts 320"),
        ("/shared/memex", str(folder / "store")),
        ("cuda:$LOCAL_RANK", "cpu"),
    ):
        script = script.replace(said, here)
    commands = str(Path(sys.executable).parent)
    done = subprocess.run(
        ["bash", "-euc", script], cwd=folder, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PATH": f"{commands}:{os.environ['PATH']}", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(re.findall(r"--shard (\d/\d): (\d+) prompts, \d+ pictures drawn", done.stdout))


def test_the_tasks_of_the_array_draw_every_prompt_once(tmp_path):
    n = {}
    for task in "12":
        n |= run(tmp_path, ARRAY, SLURM_ARRAY_TASK_ID=task, SLURM_ARRAY_TASK_COUNT="2")
    assert set(n) == {"1/2", "2/2"}
    assert sum(map(int, n.values())) == 20


def test_the_ranks_of_torchrun_draw_every_prompt_once(tmp_path):
    n = run(tmp_path, TORCHRUN)
    assert set(n) == {"1/2", "2/2"}
    assert sum(map(int, n.values())) == 20
