"""Claims of several processes on the same names."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from memex_audit import claims as claims_module
from memex_audit.claims import Claims

# Waits for the claim, notes when it has it and when it lets go, as often as asked.
CONTENDER = """
import sys, time
from pathlib import Path
from memex_audit.claims import Claims
folder, log, times = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
for _ in range(times):
    with Claims(folder).hold(["b", "a"]):
        with log.open("a") as file: file.write("in\\n")
        time.sleep(0.005)
        with log.open("a") as file: file.write("out\\n")
"""
HOLDER = """
import sys, time
from pathlib import Path
from memex_audit.claims import Claims
with Claims(Path(sys.argv[1])).hold(["a"]):
    print("held", flush=True)
    time.sleep(60)
"""


def start(script: str, *arguments: object) -> "subprocess.Popen[str]":
    words = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def claim_of_another_host(folder: Path, name: str, *, age: float) -> Path:
    """Make the claim of an owner that nothing here can know to be gone."""
    with Claims(folder).attempt(name):
        (path,) = folder.glob(f"{name}-*.claim")
        text = path.read_text()
    owner = json.loads(text) | {"host": "elsewhere"}
    path.write_text(json.dumps(owner))
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def test_one_process_holds_a_claim_at_a_time(tmp_path):
    log = tmp_path / "log"
    contenders = [start(CONTENDER, tmp_path / "claims", log, 15) for _ in range(3)]
    for contender in contenders:
        contender.communicate(timeout=60)
    assert [contender.returncode for contender in contenders] == [0, 0, 0]
    assert log.read_text().split() == ["in", "out"] * 45
    assert list((tmp_path / "claims").iterdir()) == []


def test_a_claim_of_a_killed_process_is_free_at_once(tmp_path):
    holder = start(HOLDER, tmp_path)
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    with Claims(tmp_path).attempt("a") as had:
        assert not had
    holder.send_signal(signal.SIGKILL)
    holder.communicate(timeout=10)
    with Claims(tmp_path).attempt("a") as had:
        assert had


def test_a_claim_of_another_machine_is_free_when_its_lease_is_over(tmp_path):
    claims = Claims(tmp_path, lease=30)
    claim_of_another_host(tmp_path, "young", age=20)
    with claims.attempt("young") as had:
        assert not had
    claim_of_another_host(tmp_path, "old", age=40)
    with claims.attempt("old") as had:
        assert had


def test_a_live_claim_is_renewed(tmp_path):
    with Claims(tmp_path, lease=0.4).hold(["a"]):
        (path,) = tmp_path.glob("*.claim")
        os.utime(path, (1, 1))
        deadline = time.monotonic() + 10
        while path.stat().st_mtime == 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert path.stat().st_mtime > 1


def test_the_age_of_a_claim_is_told_by_the_file_system_and_not_by_this_clock(tmp_path, monkeypatch):
    claim_of_another_host(tmp_path, "a", age=0)
    monkeypatch.setattr(time, "time", lambda: 4e9)
    with Claims(tmp_path, lease=30).attempt("a") as had:
        assert not had


def test_who_lost_its_claim_does_not_release_that_of_the_next(tmp_path):
    with Claims(tmp_path, lease=30).hold(["a"]):
        (path,) = tmp_path.glob("*.claim")
        path.unlink()
        claim_of_another_host(tmp_path / "other", "a", age=0).rename(path)
    assert path.exists()


@pytest.mark.parametrize("name", ["", "a/b", "..", "ünï\0code", "x" * 300, "\ud800"])
def test_any_text_is_a_name(tmp_path, name):
    claims = Claims(tmp_path)
    with claims.hold([name, "another"]), claims.attempt(name) as had:
        assert not had
    with claims.attempt(name) as had:
        assert had


def test_a_name_that_is_given_twice_is_held_once(tmp_path):
    with Claims(tmp_path).hold(["a", "a"]):
        assert len(list(tmp_path.glob("*.claim"))) == 1


def test_a_takeover_that_was_cut_short_blocks_nobody_for_long(tmp_path):
    claims = Claims(tmp_path, lease=30)
    path = claim_of_another_host(tmp_path, "a", age=40)
    guard = path.with_suffix(".takeover")
    guard.write_text("")
    os.utime(guard, (1, 1))
    with claims.attempt("a") as had:
        assert not had
    with claims.attempt("a") as had:
        assert had


def test_a_claim_of_another_machine_is_waited_for_until_its_lease_is_over_and_no_longer(tmp_path):
    claim_of_another_host(tmp_path, "a", age=29)
    began = time.monotonic()
    with Claims(tmp_path, lease=30).hold(["a"]):
        waited = time.monotonic() - began
    assert 0.5 < waited < 1 + claims_module.LONGEST_WAIT_S + 1


def test_who_waits_for_seconds_says_once_for_how_many_claims_and_for_whom(tmp_path, monkeypatch):
    monkeypatch.setattr(claims_module, "SAID_AFTER_S", 0.1)
    said = []
    claims = Claims(tmp_path, lease=30, waiting=lambda n, machine: said.append((n, machine)))
    claim_of_another_host(tmp_path, "b", age=29.2)
    claim_of_another_host(tmp_path, "c", age=29)
    with claims.hold(["a", "b", "c"]):
        assert said == [(2, "elsewhere")]


def test_who_does_not_wait_for_long_says_nothing(tmp_path):
    said = []
    claims = Claims(tmp_path, lease=30, waiting=lambda *told: said.append(told))
    claim_of_another_host(tmp_path, "a", age=29.7)
    with claims.hold(["a"]):
        assert said == []


def test_a_full_disk_leaves_no_claim_that_others_would_wait_for(tmp_path):
    script = """
import resource, signal, sys
from pathlib import Path
from memex_audit.claims import Claims
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
with Claims(Path(sys.argv[1])).hold(["a"]):
    pass
"""
    run = start(script, tmp_path)
    run.communicate(timeout=30)
    assert run.returncode == 1
    assert list(tmp_path.iterdir()) == []
