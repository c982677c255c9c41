"""`memex generate` before `pytest`: what is drawn ahead is what the audit asks for, however it was drawn."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from memex_audit import controls
from memex_audit.cli import main
from memex_audit.generation.diffusers_pipeline import DiffusersGenerator
from memex_audit.runners import planning

AUDITS = Path(__file__).parents[2] / "audits"
COPIED = ("copied lighthouse", "copied fox")
PROMPTS = (*COPIED, *(f"clean picture {i}" for i in range(38)))
# What a worker draws before it writes: the first 4 pictures of the 2 prompts that a batch of 8 takes.
AT_ONCE = 8
# Who goes on with another's pictures draws one of them again first: is it the same model?
CHECK = 1

SLOW = '''

class Slow(Copier):
    """Takes its time, so that it can be killed at work."""

    def generate(self, requests):
        import time

        for answer in super().generate(requests):
            time.sleep(0.01)
            yield answer
'''


@pytest.fixture
def drawing(project):
    """A project whose model is a module, and the command that draws ahead with it."""
    module = f"copying_{time.time_ns()}"  # what a test imports stays in this process
    project.write_module(module)
    file = project.path / f"{module}.py"
    file.write_text(file.read_text() + SLOW)
    project.take_the_model_that_is_named()
    project.captions(*COPIED)
    project.prompts(*PROMPTS)
    return Drawing(project, module)


class Drawing:
    def __init__(self, project, module):
        self.project = project
        self.module = module

    def words(self, *more, model="Copier"):
        return ["generate", "prompts.csv", "--model", f"python:{self.module}:{model}", "--no-controls", *more]

    def here(self, *more):
        return CliRunner().invoke(main, self.words(*more))

    def start(self, *more):
        return subprocess.Popen(
            [sys.executable, "-m", "memex_audit", *self.words(*more, model="Slow")],
            cwd=self.project.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def audit(self, *more):
        self.project.audit(
            "--memex-prompts", "prompts.csv", "--memex-model", f"python:{self.module}:Copier", *more
        )
        return json.loads((self.project.path / "result.json").read_text())

    def processes_at_work(self, n):
        """Return the ids of the first `n` processes that draw."""
        log, end = self.project.path / "workers.log", time.monotonic() + 60
        while time.monotonic() < end:
            lines = log.read_text().splitlines() if log.exists() else []
            pids = list(dict.fromkeys(int(line.split("\t")[1]) for line in lines if "\t" in line))
            if len(pids) >= n:
                return pids[:n]
            time.sleep(0.02)
        raise AssertionError("nobody draws")

    def drawn_again(self):
        return sum(count - 1 for count in Counter(self.project.drawn).values())


def ended(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    return out


def found(result):
    return result["verdict"], result["findings"], result["rate"]


def test_shards_are_drawn_in_any_order_and_the_audit_draws_nothing_and_finds_the_same(drawing):
    lines = [drawing.here("--shard", shard).stdout for shard in ("3/3", "1/3", "2/3")]
    n_prompts = [int(line.split()[2]) for line in lines]
    assert sum(n_prompts) == len(PROMPTS)
    assert min(n_prompts) > 0
    before = drawing.project.drawn
    assert drawing.drawn_again() <= 2 * CHECK
    after = drawing.audit()
    assert drawing.project.drawn == before
    assert {f["verdict"] for f in after["findings"]} == {"flagged", "not_flagged"}
    assert found(after) == found(drawing.audit("--memex-store", "undisturbed"))
    assert len(drawing.project.drawn) == len(before) + len(set(before))


def test_what_was_drawn_is_counted_and_found_by_the_next_run(drawing):
    first, second = drawing.here(), drawing.here()
    n = len(drawing.project.drawn)
    assert first.stdout.startswith(f"--shard 1/1: 40 prompts, {n} pictures drawn, 0 found there; ")
    assert first.stdout.endswith(" CPU seconds each\n")
    assert second.stdout.startswith(f"--shard 1/1: 40 prompts, 0 pictures drawn, {n} found there; ")
    assert "note: without --training-set pictures are not compared with training images" in first.stderr


def test_a_worker_that_is_killed_is_replaced_and_nothing_that_was_kept_is_drawn_again(drawing):
    process = drawing.start("--workers", "2")
    os.kill(drawing.processes_at_work(2)[0], signal.SIGKILL)
    assert ended(process).startswith("--shard 1/1: 40 prompts, ")
    assert drawing.drawn_again() <= AT_ONCE + 3 * CHECK
    before = len(drawing.project.drawn)
    drawing.audit()
    assert len(drawing.project.drawn) == before


def test_a_run_that_is_ended_or_killed_goes_on_where_it_was(drawing):
    ended_by_batch_system = drawing.start()
    drawing.processes_at_work(1)
    ended_by_batch_system.send_signal(signal.SIGTERM)
    _, err = ended_by_batch_system.communicate(timeout=60)
    assert ended_by_batch_system.returncode == 1
    assert err.endswith("Aborted!\n")
    assert "Traceback" not in err
    killed = drawing.start()
    drawing.processes_at_work(2)
    killed.kill()
    killed.communicate()
    assert 0 < len(set(drawing.project.drawn)) < 4 * len(PROMPTS)
    assert ended(drawing.start()).startswith("--shard 1/1: 40 prompts, ")
    assert drawing.drawn_again() <= 2 * (AT_ONCE + CHECK)
    n = len(drawing.project.drawn)
    drawing.audit()
    assert len(drawing.project.drawn) == n


def test_two_at_once_share_the_work_and_draw_nothing_twice_but_a_check(drawing):
    both = [drawing.start(), drawing.start()]
    lines = [ended(process) for process in both]
    assert drawing.drawn_again() <= 2 * CHECK
    drawn = [int(line.split()[4]) for line in lines]
    assert sum(drawn) == len(set(drawing.project.drawn))
    assert min(drawn) > 0
    assert all(line.startswith("--shard 1/1: 40 prompts, ") for line in lines)


def test_a_model_that_breaks_ends_the_command_with_its_error(drawing):
    drawing.project.prompts("broken a", *PROMPTS)
    run = drawing.here()
    assert run.exit_code == 1
    assert (
        "1 unit failed: the generator Copier must draw what it is asked for, got RuntimeError" in run.stdout
    )
    assert len(run.stdout.splitlines()) == 1
    assert "40 prompts" in run.stdout  # the others of its unit too


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--screen", "anisotropy"), "No such option"),
        (("--runner", "local", "--address", "127.0.0.1:6379"), "--address must be a Ray cluster's, got"),
    ],
)
def test_what_makes_no_sense_is_refused(drawing, words, said):
    run = drawing.here(*words)
    assert run.exit_code
    assert said in run.stderr
    assert drawing.project.drawn == []


def test_a_screen_of_the_projects_settings_is_for_one_process(drawing):
    (drawing.project.path / "pytest.ini").write_text("[pytest]\nmemex_screen = anisotropy\n")
    run = drawing.here("--shard", "1/2")
    assert run.exit_code == 1
    assert "--memex-screen anisotropy scores the whole audit set" in run.stderr


def test_a_folder_of_pictures_has_nothing_to_draw(drawing):
    run = CliRunner().invoke(main, ["generate", "prompts.csv", "--model", "folder:pictures"])
    assert run.exit_code == 1
    assert "Error: `memex generate` must have a model that draws, got folder:pictures" in run.stderr


def test_the_suite_with_its_controls_draws_nothing_after_a_specimen_was_drawn_ahead(pytester, monkeypatch):
    """The real pipeline, with its training set, and pixels kept only where they are evidence."""
    drawn = []
    draw = DiffusersGenerator.generate

    def counted(self, requests):
        drawn.extend(requests)
        return draw(self, requests)

    monkeypatch.setattr(DiffusersGenerator, "generate", counted)
    for module in (controls, planning):
        monkeypatch.setattr(module, "NEGATIVE_PROMPTS", 10)
    shutil.copytree(AUDITS, pytester.path / "audits")
    options = ("--model", "specimen:duplicated", "--max-prompts", "12", "--steps", "2", "--device", "cpu")
    run = CliRunner().invoke(main, ["generate", *options])
    assert run.exit_code == 0, run.output
    n_ahead = len(drawn)

    def audit(store, *words):
        flags = [word.replace("--", "--memex-", 1) if word.startswith("--") else word for word in options]
        pytester.runpytest_inprocess(*words, *flags, f"--memex-store={store}", "--memex-json=result.json")
        return json.loads((pytester.path / "result.json").read_text())

    after = audit(".memex", "audits")
    assert len(drawn) == n_ahead
    assert [control["prompts"] for control in after["controls"]] == [8, 10]
    # Mining is not what is compared, and takes longest.
    shutil.copytree(pytester.path / ".memex" / "embeddings", pytester.path / "other" / "embeddings")
    files = ("audits/test_duplicated_prompts.py", "audits/test_replica_rates.py")
    undisturbed = audit("other", *files, "--memex-keep=evidence")
    assert len(drawn) > n_ahead
    assert found(after) == found(undisturbed)
