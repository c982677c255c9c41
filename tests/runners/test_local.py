"""The local runner: real processes, killed for real, whatever they compute on."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from written_work import WrittenWork, units

from memex_audit.errors import RunnerError
from memex_audit.runners.local import LocalRunner

HERE = Path(__file__).parent


def test_one_worker_is_this_very_process(tmp_path):
    work = WrittenWork(tmp_path)
    receipts = list(LocalRunner(work).run(units("a", "b", "c")))
    assert [receipt.unit for receipt in receipts] == ["unit-0", "unit-1", "unit-2"]
    assert all(name.endswith(f"-{os.getpid()}") for name in map(str, tmp_path.glob("done-*")))


def test_what_another_holds_comes_last_and_is_waited_for_only_then(tmp_path):
    work = WrittenWork(tmp_path)
    receipts = list(LocalRunner(work).run(units("held", "b", "held", "c")))
    assert [receipt.unit for receipt in receipts] == ["unit-1", "unit-3", "unit-0", "unit-2"]


def test_a_killed_process_is_replaced_and_its_unit_done_once(tmp_path):
    work = WrittenWork(tmp_path)
    given = units("a", "killed", "c", "d", "killed", "f", "g", "h")
    receipts = list(LocalRunner(work, 2).run(given))
    assert Counter(work.noted("done")) == Counter(unit.name for unit in given)
    assert sorted(receipt.unit for receipt in receipts) == [unit.name for unit in given]
    assert set(work.noted("begun")) == {"0", "1"}
    assert len(work.noted("begun")) >= 3  # two, and one in the place of the first that was killed


def test_an_error_that_nobody_foresaw_is_the_units_and_the_others_are_done(tmp_path):
    work = WrittenWork(tmp_path)
    receipts = list(LocalRunner(work, 2).run(units("a", "broken", "c")))
    assert [r.failure for r in receipts if r.failure] == ["ZeroDivisionError: by nought"]
    assert sorted(work.noted("done")) == ["unit-0", "unit-2"]


def test_a_unit_that_kills_whoever_does_it_ends_the_run(tmp_path):
    work = WrittenWork(tmp_path)
    with pytest.raises(RunnerError, match=r"got 3 that ended \(SIGKILL\) over the same 1 things \(deadly"):
        list(LocalRunner(work, 2).run(units("a", "deadly")))
    assert multiprocessing.active_children() == []


DRIVER = """
import sys
from pathlib import Path
from memex_audit.runners.local import LocalRunner
from written_work import WrittenWork, units
if __name__ == "__main__":
    for receipt in LocalRunner(WrittenWork(Path(sys.argv[1])), 2).run(units(*["slow"] * 60)):
        print(receipt.unit, flush=True)
"""


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_the_process_that_started_them(tmp_path, how):
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    path = os.pathsep.join([str(HERE.parent / "adapters"), os.environ.get("PYTHONPATH", "")])
    driver = subprocess.Popen(
        [sys.executable, script, tmp_path],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    driver.stdout.readline()
    pids = {int(path.name.rpartition("-")[2]) for path in tmp_path.glob("begun-*")}
    driver.send_signal(how)
    driver.wait(30)
    driver.stdout.close()
    assert len(pids) == 2
    end = time.monotonic() + 15
    while any(map(alive, pids)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(map(alive, pids))
