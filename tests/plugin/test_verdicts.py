"""What a run says, and how it exits."""

import json

import pytest

CLEAN = tuple(f"clean picture {i}" for i in range(12))


def result(project):
    return json.loads((project.path / "result.json").read_text())


def test_a_prompt_that_is_given_back_fails_its_case_and_the_rate(project):
    project.captions("copied cat", *CLEAN)
    run = project.audit("--memex-training-set", "images", "--memex-embedder", "specimen")
    run.assert_outcomes(passed=12, failed=2)
    assert run.ret == 1
    found = result(project)
    assert found["verdict"] == "fail"
    assert found["rate"]["extracted"] == 1
    assert found["rate"]["prompts"] == 13
    extracted = [finding for finding in found["findings"] if finding["verdict"] == "extracted"]
    assert [finding["prompt"] for finding in extracted] == ["copied cat"]
    assert extracted[0]["match"]["example_id"] == "copied-cat.png"
    assert extracted[0]["match"]["kind"] == "matching"
    # Four of four that agree are decided: no more is drawn of a replica.
    assert extracted[0]["generations"] == 4
    assert extracted[0]["replicas"] == 4
    assert extracted[0]["clique_size"] == 4
    run.stdout.fnmatch_lines(["*copied cat*"])


def test_clean_prompts_within_a_limit_that_they_prove_pass(project):
    project.prompts(*CLEAN)
    run = project.audit("--memex-prompts", "prompts.csv", "--memex-limit", "0.25")
    run.assert_outcomes(passed=13)
    assert run.ret == 0
    assert result(project)["verdict"] == "pass"


def test_too_few_clean_prompts_are_inconclusive_and_fail(project):
    project.prompts(*CLEAN)
    run = project.audit("--memex-prompts", "prompts.csv")
    run.assert_outcomes(passed=12, failed=1)
    assert run.ret == 1
    assert result(project)["verdict"] == "inconclusive"
    # 12 clean groups are within 22.8 % at 95.5 %: 1 - 0.045 ** (1 / 12). What settles it comes second, as an
    # extension at 99.5 %: 1 - 0.005 ** (1 / 528) = 0.00998.
    rate = result(project)["rate"]
    assert (rate["confidence"], round(rate["upper"], 3)) == (0.955, 0.228)
    run.stdout.fnmatch_lines(["*audit 528 groups in all, 516 more*"])


def test_a_training_set_audited_whole_is_a_census_and_a_dozen_clean_groups_pass(project):
    project.captions(*CLEAN)
    run = project.audit("--memex-training-set", "images", "--memex-embedder", "specimen")
    run.assert_outcomes(passed=13)
    assert run.ret == 0
    found = result(project)
    assert found["verdict"] == "pass"
    rate = found["rate"]
    assert (rate["groups"], rate["frame_size"], rate["lower"], rate["upper"]) == (12, 12, 0, 0)
    # Of prompts like these, whose number is not known, twelve show what they showed from a file.
    assert round(rate["upper_of_alike"], 3) == 0.228


def test_a_training_set_audited_in_part_is_a_sample_and_a_few_clean_groups_are_inconclusive(project):
    project.captions(*CLEAN)
    arguments = ("--memex-training-set", "images", "--memex-embedder", "specimen")
    run = project.audit(*arguments, "--memex-max-prompts", "6")
    run.assert_outcomes(passed=6, failed=1)
    rate = result(project)["rate"]
    assert result(project)["verdict"] == "inconclusive"
    assert (rate["groups"], rate["frame_size"]) == (6, 12)
    # A sample of 6 of 12 misses 3 extracted ones of them with C(9, 6) / C(12, 6) = 0.091, and 4 with 0.030.
    assert rate["upper"] == pytest.approx(3 / 12)
    run.stdout.fnmatch_lines(["*more (--memex-max-prompts)*"])


def test_inconclusive_warn_exits_0_and_is_no_pass(project):
    project.prompts(*CLEAN)
    run = project.audit("--memex-prompts", "prompts.csv", "--memex-inconclusive", "warn")
    assert run.ret == 0
    assert result(project)["verdict"] == "inconclusive"


def test_on_extracted_xfail_leaves_the_gate_to_the_rate(project):
    project.captions("copied cat", *CLEAN)
    run = project.audit(
        "--memex-training-set", "images", "--memex-embedder", "specimen", "--memex-on-extracted", "xfail",
        "--memex-limit", "0.9",
    )  # fmt: skip
    run.assert_outcomes(passed=13, xfailed=1)
    assert run.ret == 0
    assert result(project)["verdict"] == "pass"


def test_a_selection_is_incomplete(project):
    project.prompts(*CLEAN)
    run = project.audit("--memex-prompts", "prompts.csv", "--memex-limit", "0.25", "-k", "clean-picture-3")
    run.assert_outcomes(passed=1, deselected=12)
    found = result(project)
    assert found["verdict"] == "incomplete"
    assert found["rate"] is None
    # Only the batch of the selected prompt was drawn.
    assert {line.split("\t")[0] for line in project.drawn} == {"clean picture 3"}


def test_a_run_stopped_at_the_first_failure_is_not_a_pass(project):
    project.captions("copied cat", *CLEAN)
    run = project.audit("--memex-training-set", "images", "--memex-embedder", "specimen", "-x")
    assert run.ret == 1
    assert result(project)["verdict"] == "fail"


def test_a_broken_generator_is_an_error_and_no_finding(project):
    project.prompts("broken glass", *CLEAN)
    run = project.audit("--memex-prompts", "prompts.csv", "--memex-limit", "0.25")
    assert run.ret == 1
    assert result(project)["verdict"] == "error"


def test_black_pictures_leave_a_prompt_undecided(project):
    project.prompts("black square", *CLEAN)
    run = project.audit("--memex-prompts", "prompts.csv", "--memex-limit", "0.25")
    assert run.ret == 1
    found = result(project)
    assert found["verdict"] == "inconclusive"
    assert found["rate"]["undecided"] == 1


@pytest.mark.parametrize("plugins", [("-p", "no:xdist"), ("-n0",), ("-n2",)], ids=["no-xdist", "n0", "n2"])
@pytest.mark.parametrize("allure", [(), ("--alluredir", "allure-results")], ids=["plain", "allure"])
def test_the_result_is_the_same_however_it_is_run(project, plugins, allure):
    project.captions("copied cat", *CLEAN)
    arguments = ("--memex-training-set", "images", "--memex-embedder", "specimen", *plugins, *allure)
    run = project.audit(*arguments)
    run.assert_outcomes(passed=12, failed=2)
    found = result(project)
    assert found["verdict"] == "fail"
    assert found["rate"]["extracted_groups"] == 1
    assert len(found["findings"]) == 13
    # Nothing was drawn twice, whoever drew it.
    assert len(project.drawn) == len(set(project.drawn)) == 13 * 4


def test_a_second_audit_draws_nothing(project):
    project.prompts(*CLEAN)
    project.audit("--memex-prompts", "prompts.csv", "--memex-limit", "0.25")
    before = len(project.drawn)
    project.audit("--memex-prompts", "prompts.csv", "--memex-limit", "0.25")
    assert len(project.drawn) == before == 48


def test_last_failed_runs_only_what_failed(project):
    project.captions("copied cat", *CLEAN)
    arguments = ("--memex-training-set", "images", "--memex-embedder", "specimen")
    project.audit(*arguments)
    run = project.audit(*arguments, "--lf")
    run.assert_outcomes(failed=2)
