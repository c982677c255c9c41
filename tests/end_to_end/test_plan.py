"""`memex plan` in a project of its own: settings of pytest, a real model, real pictures."""

import json
import os
import subprocess
import sys


def test_a_plan_times_the_model_of_the_projects_settings_and_keeps_no_picture(tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest]\nmemex_model = "specimen:duplicated"\nmemex_limit = 0.05\nmemex_steps = 2\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "memex_audit", "plan", "--json"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    plan = json.loads(done.stdout)
    assert (plan["model"], plan["limit"], plan["evaluations_a_generation"]) == (
        "specimen:duplicated",
        0.05,
        4,
    )
    seconds = plan["seconds_a_generation"]
    assert 0 < seconds < 60
    entry = plan["like_these"][0]
    assert entry["groups"] == 61
    assert entry["hours"][0] == 61 * plan["generations_a_prompt"]["least"] * seconds / 3600
    assert not list(tmp_path.rglob("*.parquet"))
