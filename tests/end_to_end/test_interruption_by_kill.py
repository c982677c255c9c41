"""SIGKILL at random moments: what was finished is kept, no half file is trusted, nothing is missing."""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
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
    assert seen["torn_packs"] > 0  # some did come in the middle of a write
    assert seen["stored_and_drawn_again"] == 0
    assert seen["drawn"] == seen["pictures"] + seen["in_flight"]
    assert seen["in_flight"] <= seen["kills_at_work"] * MOST_IN_FLIGHT
    assert seen["differing_prompts"] == 0


def test_a_mining_killed_again_and_again_gives_what_an_undisturbed_one_gives(tmp_path):
    seen = killed("mine", 16, tmp_path)
    assert seen["kills_at_work"] > 8
    assert seen["half_made"] > 0
    assert (seen["prompts"], seen["same_prompts"], seen["same_embeddings"]) == (300, True, True)
    assert seen["left_half_made"] == 0


def test_a_calibration_is_whole_whenever_its_writing_is_killed(tmp_path):
    seen = killed("calibrate", KILLS, tmp_path)
    assert seen["readable"] == seen["looks"] == KILLS + 1
