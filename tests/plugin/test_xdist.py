import json

import pytest

from memex_audit.training_set.prompts import prompt_id_of
from memex_audit.work_units import plan_work_units

CLEAN = [f"clean picture {number}" for number in range(16)]
ONLY_PROMPTS = "audits/test_duplicated_prompts.py"


def result(project):
    return json.loads((project.path / "result.json").read_text())


def words(run):
    """Return what was printed as running text, without what pytest puts before a failure's lines."""
    return " ".join(run.stdout.str().replace("\nE  ", "\n").split())


def slow(project):
    """Make drawing take long enough that no worker is through before the other has begun."""
    conftest = project.path / "conftest.py"
    conftest.write_text(
        conftest.read_text().replace(
            "        for request in requests:\n            random",
            "        __import__('time').sleep(0.05)\n        for request in requests:\n            random",
        )
    )


def test_two_workers_share_out_the_units_and_draw_each_whole(project):
    project.prompts(*CLEAN)
    slow(project)
    run = project.audit("-n2", "--memex-prompts", "prompts.csv", ONLY_PROMPTS)
    run.assert_outcomes(passed=16)
    texts = {prompt_id_of(text): text for text in CLEAN}
    order = [prompt_id_of(text) for text in CLEAN]
    units = plan_work_units([f"a.py::t[{prompt_id}]" for prompt_id in order], 2)
    assert len(units) == 8
    by = [set.union(*(project.drawn_by[texts[prompt_id]] for prompt_id in unit)) for unit in units]
    # One process a unit, and two processes in all.
    assert [len(processes) for processes in by] == [1] * 8
    assert len(set.union(*by)) == 2


def test_with_the_rate_case_beside_them_nothing_is_drawn_twice(project):
    project.prompts(*CLEAN)
    slow(project)
    run = project.audit("-n2", "--memex-prompts", "prompts.csv", "--memex-limit", "0.25")
    run.assert_outcomes(passed=17)
    assert len(project.drawn) == len(set(project.drawn)) == 64
    assert result(project)["verdict"] == "pass"


@pytest.mark.parametrize("dist", ["loadfile", "worksteal", "each"])
def test_another_distribution_that_was_asked_for_is_left_alone(project, dist):
    project.prompts(*CLEAN)
    run = project.audit(
        "-n2", "--dist", dist, "--memex-prompts", "prompts.csv", "--memex-limit", "0.25", "-v"
    )
    assert run.ret == 0
    assert "AuditScheduling" not in run.stdout.str()
    assert len(project.drawn) == len(set(project.drawn)) == 64


def test_a_suite_without_audits_is_scheduled_as_ever(pytester):
    pytester.makepyfile("import pytest\n@pytest.mark.parametrize('n', range(40))\ndef test_a(n): pass")
    run = pytester.runpytest_subprocess("-n2")
    run.assert_outcomes(passed=40)


def test_a_worker_that_crashes_is_replaced_and_the_audit_goes_on(project):
    project.prompts(*CLEAN)
    (project.path / "audits" / "test_crash.py").write_text(
        "import os, pathlib\n"
        "def test_crash():\n"
        "    if not pathlib.Path('crashed').exists():\n"
        "        pathlib.Path('crashed').touch()\n"
        "        os._exit(1)\n"
    )
    run = project.audit("-n2", "--memex-prompts", "prompts.csv", "--memex-limit", "0.25")
    run.assert_outcomes(passed=17, failed=1)
    assert len(project.drawn) == len(set(project.drawn)) == 64


def test_more_workers_than_devices_are_refused_with_the_reason(project):
    project.prompts(*CLEAN)
    (project.path / "exclusive").touch()
    run = project.audit("-n2", "--memex-device", "cpu", "--memex-prompts", "prompts.csv")
    run.stdout.fnmatch_lines(["*each worker must have a device of its own, got 2 workers for cpu*"])
    # Each worker says it once; what would end the same way is left out.
    outcomes = run.parseoutcomes()
    assert outcomes["failed"] <= 2
    assert outcomes["failed"] + outcomes["skipped"] == 17
    assert result(project)["verdict"] == "error"
    assert project.drawn == []


def test_one_worker_may_use_a_generator_that_is_not_shareable(project):
    project.prompts(*CLEAN)
    (project.path / "exclusive").touch()
    run = project.audit("-n1", "--memex-device", "cpu", "--memex-prompts", "prompts.csv", ONLY_PROMPTS)
    run.assert_outcomes(passed=16)


@pytest.mark.parametrize("plugins", [("-p", "no:xdist"), ("-n2",)], ids=["no-xdist", "n2"])
def test_a_model_that_is_not_there_is_one_error_and_not_one_a_prompt(project, plugins):
    project.prompts(*CLEAN)
    (project.path / "conftest.py").unlink()
    run = project.audit("--memex-prompts", "prompts.csv", *plugins)
    outcomes = run.parseoutcomes()
    assert outcomes["failed"] <= 2
    assert outcomes["failed"] + outcomes["skipped"] == 17
    assert "a model must be a folder" in words(run)
    assert run.ret == 1
    assert result(project)["verdict"] == "error"


def test_a_generator_of_ones_own_is_told_its_device(project):
    project.prompts(*CLEAN)
    conftest = project.path / "conftest.py"
    text = conftest.read_text().replace("def memex_generator():", "def memex_generator(memex_device):")
    conftest.write_text(
        text.replace("return Copier()", "Path('device').write_text(memex_device)\n    return Copier()")
    )
    project.audit("--memex-device", "cpu", "--memex-prompts", "prompts.csv", ONLY_PROMPTS)
    assert (project.path / "device").read_text() == "cpu"
