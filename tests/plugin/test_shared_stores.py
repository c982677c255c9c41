"""Several runs on one store: on one machine, killed in the middle, and beside runs of another machine."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from memex_audit.claims import Claims
from memex_audit.generation.packs import Packs
from memex_audit.generation.store import CLAIMS, key_of

CLEAN = tuple(f"clean picture {i}" for i in range(10))
OPTIONS = ("--memex-prompts", "prompts.csv", "--memex-limit", "0.5", "--memex-batch-size", "8")
COMMAND = (
    sys.executable, "-m", "pytest", "audits", "-W", "default", "--memex-model", "none", *OPTIONS,
)  # fmt: skip


def result(project, name="result.json"):
    return json.loads((project.path / name).read_text())


def model_folder(project, store=".memex"):
    """Return the folder of the only model and settings of a store."""
    (folder,) = (project.path / store / "units").glob("*/*")
    return folder


def stored(project):
    """Return every picture of the store, as a prompt's key and the picture's number."""
    packs = Packs(model_folder(project))
    packs.refresh()
    return [
        (place.prompt, number)
        for place in packs.all_places()
        for number in range(place.first, place.last + 1)
    ]


def start(project, *more, stdout=subprocess.DEVNULL):
    """Start a run as the leader of a group of processes, its workers among them."""
    return subprocess.Popen(
        (*COMMAND, *more), cwd=project.path, stdout=stdout, text=True, start_new_session=True
    )


def wait_until(what, seconds=60):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform == "win32", reason="needs groups of processes")
def test_a_run_killed_beside_another_costs_what_was_on_its_way_and_the_result_is_that_of_an_undisturbed_run(
    project,
):
    project.prompts(*CLEAN)
    conftest = (project.path / "conftest.py").read_text()
    slow = conftest.replace(
        "            random = np.random.default_rng(request.seed)",
        "            import time\n\n            time.sleep(0.1)\n"
        "            random = np.random.default_rng(request.seed)",
    )
    assert slow != conftest
    (project.path / "conftest.py").write_text(slow)
    killed = start(project, "-n2", "--memex-json", "killed.json")
    selected = ("-k", "picture-0 or picture-3 or picture-7", "--memex-json", "beside.json")
    beside = start(project, *selected, stdout=subprocess.PIPE)
    wait_until(lambda: list(project.path.glob(".memex/units/*/*/*.jsonl")) and len(project.drawn) > 12)
    os.killpg(beside.pid, signal.SIGSTOP)  # so that nothing moves while it is looked at
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait(timeout=30)
    on_their_way = len(project.drawn) - len(stored(project))
    os.killpg(beside.pid, signal.SIGCONT)
    said, _ = beside.communicate(timeout=120)
    assert beside.returncode == 0, said
    assert not (project.path / "killed.json").exists()

    (project.path / "conftest.py").write_text(conftest)
    project.audit(*OPTIONS)
    n_pictures = 4 * len(CLEAN)
    assert len(stored(project)) == len(set(stored(project))) == n_pictures
    # Who adds to pictures of others draws one of them again, to compare the models: at most each of two runs.
    assert n_pictures <= len(project.drawn) <= n_pictures + on_their_way + 2
    project.audit(*OPTIONS, "--memex-store", "undisturbed", "--memex-json", "undisturbed.json")
    assert result(project)["verdict"] == "pass"
    assert result(project)["findings"] == result(project, "undisturbed.json")["findings"]
    assert not list(project.path.glob(".memex/**/*.claim"))


# -- beside another machine


CLAIMED = "a picture of elsewhere"
EASY = ("--memex-limit", "0.9")


@pytest.fixture
def claimed_elsewhere(project):
    """Have a prompt that a process of another machine claimed, and last renewed so many seconds ago."""

    def claim(age):
        project.prompts(*CLEAN[:2])
        project.audit(*OPTIONS)
        folder = model_folder(project) / CLAIMS
        with Claims(folder).attempt(key_of(CLAIMED)) as had:
            assert had
            (path,) = folder.glob("*.claim")
            owner = json.loads(path.read_text())
        path.write_text(json.dumps(owner | {"host": "node7 5d0b pid:[4]"}))
        then = time.time() - age
        os.utime(path, (then, then))
        project.prompts(*CLEAN[:2], CLAIMED)

    return claim


def test_a_prompt_of_another_machine_is_waited_for_until_its_lease_is_over_and_who_waits_is_told(
    project, claimed_elsewhere
):
    claimed_elsewhere(age=118)
    conftest = (project.path / "conftest.py").read_text()
    (project.path / "conftest.py").write_text(
        conftest + '\npatch.setattr(import_module("memex_audit.claims"), "SAID_AFTER_S", 0.2)\n'
    )
    began = time.monotonic()
    run = project.audit(*OPTIONS, *EASY, "-o", "log_cli=true")
    assert time.monotonic() - began > 1
    assert run.ret == 0
    said = [line for line in run.stdout.lines if "waiting for" in line]
    assert len(said) == 1
    assert said[0].endswith(
        "waiting for 1 prompt: a process on node7 draws for them; if it is gone, its claim ends 120 s after "
        "it was last renewed"
    )
    assert len(stored(project)) == 3 * 4
    assert not list(project.path.glob(".memex/**/*.claim"))


def test_a_prompt_of_another_machine_whose_lease_is_over_is_drawn_at_once(project, claimed_elsewhere):
    claimed_elsewhere(age=121)
    began = time.monotonic()
    assert project.audit(*OPTIONS, *EASY).ret == 0
    assert time.monotonic() - began < 30
    assert len(stored(project)) == 3 * 4
