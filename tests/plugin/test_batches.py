import json

import pytest

from memex_audit.training_set.prompts import prompt_id_of

CLEAN = [f"clean picture {number}" for number in range(60)]
ONLY_PROMPTS = "audits/test_duplicated_prompts.py"
BATCHES = ("--memex-granularity", "batch", "--memex-prompts", "prompts.csv", "--memex-limit", "0.5")
# Says of some prompts what an audit says of a model, without one.
JUDGED = """
import pytest
from memex_audit.assertions import AuditInconclusive, ReplicaExtracted

def test_prompt(memex, duplicated_prompt):
    with open("asked.log", "a") as log:
        print(duplicated_prompt.prompt_id, file=log)
    memex.finding(duplicated_prompt)
    kind = duplicated_prompt.text.partition(" ")[0]
    if kind == "bad":
        raise ReplicaExtracted(f"bad: {duplicated_prompt.prompt_id}")
    if kind == "open":
        raise AuditInconclusive(f"open: {duplicated_prompt.prompt_id}")
    if kind == "faulty":
        raise RuntimeError("the case is broken")
    if kind == "skip":
        pytest.skip("left out")
    assert kind != "wrong", "plainly wrong"
"""


def together(kind, n):
    """Return captions before which no batch ends."""
    texts = (f"{kind} picture {number}" for number in range(1000))
    return [text for text in texts if int(prompt_id_of(text), 16) % 16][:n]


def result(project):
    return json.loads((project.path / "result.json").read_text())


def judged(project, *captions, arguments=()):
    project.prompts(*captions)
    (project.path / "audits" / "test_duplicated_prompts.py").write_text(JUDGED)
    return project.audit(ONLY_PROMPTS, *BATCHES, *arguments)


def asked(project):
    return (project.path / "asked.log").read_text().split()


def words(run):
    return " ".join(run.stdout.str().replace("\nE  ", "\n").split())


def test_both_granularities_say_the_same_but_for_how_many_cases_there_are(project):
    project.captions(*[f"copied picture {n}" for n in range(4)], *CLEAN[:40], "black picture")
    training_set = ("--memex-training-set", "images", "--memex-embedder", "specimen", "--memex-limit", "0.5")
    one = project.audit(*training_set, "--junitxml", "prompt.xml")
    by_prompt = result(project)
    several = project.audit(*training_set, "--memex-granularity", "batch", "--junitxml", "batch.xml")
    by_batch = result(project)
    assert by_prompt["verdict"] == "fail"
    assert sum(finding["verdict"] == "extracted" for finding in by_prompt["findings"]) == 4
    for data in (by_prompt, by_batch):
        del data["provenance"]["started"]
    assert by_prompt == by_batch
    one_case_a_prompt, fewer_cases = one.parseoutcomes(), several.parseoutcomes()
    assert one_case_a_prompt["failed"] == 5  # one is undecided
    assert sum(fewer_cases.values()) < sum(one_case_a_prompt.values()) / 3
    assert one.ret == several.ret == 1
    suite = [
        line.partition("</properties>")[0].partition("<properties>")[2]
        for line in ((project.path / name).read_text() for name in ("prompt.xml", "batch.xml"))
    ]
    assert "memex_upper" in suite[0]
    assert suite[0] == suite[1]


def test_one_prompt_of_a_batch_does_not_hide_the_others(project):
    kinds = ("clean", "clean", "clean", "bad", "open", "wrong", "bad", "faulty", "clean")
    captions = [together(kind, 9)[place] for place, kind in enumerate(kinds)]
    run = judged(project, *captions)
    assert len(asked(project)) == len(set(asked(project))) == 9
    # Whoever's error is the worst is shown where it was raised, and the others with it.
    said = words(run)
    assert "RuntimeError: the case is broken" in said
    assert "2 give a training image back" in said
    assert "1 is inconclusive" in said
    assert f'"{captions[5]}"' in said
    assert result(project)["verdict"] == "error"
    assert len(result(project)["findings"]) == 9


def test_a_batch_fails_once_and_says_how_to_repeat_its_prompts_alone(project):
    bad, (clean, *_), (question, *_) = (together(kind, 7) for kind in ("bad", "clean", "open"))
    run = judged(project, clean, *bad, question)
    run.assert_outcomes(failed=1)
    said = words(run)
    assert "Of 9 prompts 7 give a training image back, 1 is inconclusive." in said
    assert bad[4] in said
    assert "and 3 more" in said
    assert bad[6] not in said
    selected = " or ".join(map(prompt_id_of, [*bad, question]))
    assert f"--memex-granularity prompt -k '{selected}'" in said
    (project.path / "asked.log").unlink()
    again = project.audit(
        ONLY_PROMPTS, *BATCHES[2:], "--memex-granularity", "prompt", "-k", selected, "--memex-store", ".memex"
    )
    again.assert_outcomes(failed=8, deselected=1)
    assert set(asked(project)) == set(map(prompt_id_of, [*bad, question]))


def test_the_policies_hold_for_each_prompt_and_the_worst_ends_the_case(project):
    captions = ("bad one", "open two", "clean three")
    run = judged(project, *captions, arguments=("--memex-on-extracted", "xfail"))
    run.assert_outcomes(failed=1)
    assert "Of 3 prompts 1 is inconclusive, 1 failed as expected" in words(run)
    both = ("--memex-on-extracted", "xfail", "--memex-inconclusive", "warn")
    run = judged(project, *captions, arguments=both)
    run.assert_outcomes(xfailed=1, warnings=1)
    assert "InconclusiveAudit: Of 3 prompts 1 is inconclusive." in words(run)
    run = judged(project, "open two", "clean three", arguments=both)
    run.assert_outcomes(passed=1, warnings=1)
    run = judged(project, "skip one", "clean three", arguments=both)
    run.assert_outcomes(passed=1)
    run = judged(project, "skip one", "skip two", arguments=both)
    run.assert_outcomes(skipped=1)


def test_an_error_that_ends_the_audit_is_met_once(project):
    project.prompts(*CLEAN[:20])
    conftest = project.path / "conftest.py"
    conftest.write_text(
        conftest.read_text().replace("yield Generation(request=request, pixels=pixels)", "yield 7")
    )
    run = project.audit(*BATCHES)
    assert run.parseoutcomes()["failed"] == 1
    assert "GeneratorError" in run.stdout.str()
    assert result(project)["verdict"] == "error"


def test_a_fixture_of_the_users_own_that_takes_the_prompt_makes_a_case_a_prompt(project):
    project.prompts(*CLEAN[:5])
    (project.path / "audits" / "test_duplicated_prompts.py").write_text(
        "import pytest\n"
        "@pytest.fixture\n"
        "def text(duplicated_prompt):\n"
        "    return duplicated_prompt.text\n"
        "def test_prompt(memex, duplicated_prompt, text):\n"
        "    assert memex.finding(duplicated_prompt).prompt == text\n"
    )
    project.audit(ONLY_PROMPTS, *BATCHES).assert_outcomes(passed=5)


def test_a_case_is_found_by_any_of_its_prompts_and_what_is_left_out_makes_the_run_incomplete(project):
    project.prompts(*CLEAN)
    listed = project.audit(ONLY_PROMPTS, *BATCHES, "--collect-only", "-q")
    cases = [line for line in listed.outlines if "[batch+" in line]
    assert 2 <= len(cases) <= 12
    assert project.drawn == []
    wanted = prompt_id_of(CLEAN[41])
    run = project.audit(*BATCHES, "-k", wanted)
    run.assert_outcomes(passed=1, deselected=len(cases))
    assert result(project)["verdict"] == "incomplete"
    assert wanted in {finding["prompt_id"] for finding in result(project)["findings"]}
    assert len(result(project)["findings"]) < len(CLEAN)


def test_the_last_failed_batch_is_run_alone_though_a_prompt_was_put_in(project):
    captions = [*CLEAN[:30], "bad one", *CLEAN[30:]]
    first = judged(project, *captions)
    first.assert_outcomes(failed=1, passed=sum(first.parseoutcomes().values()) - 1)
    run = judged(project, *captions, "clean and new", arguments=("--lf",))
    assert run.parseoutcomes()["failed"] == 1
    assert "passed" not in run.parseoutcomes()


def test_two_workers_share_out_whole_batches(project):
    project.prompts(*CLEAN)
    listed = project.audit(ONLY_PROMPTS, *BATCHES, "--collect-only", "-q")
    n_cases = sum("[batch+" in line for line in listed.outlines)
    run = project.audit("-n2", *BATCHES)
    run.assert_outcomes(passed=n_cases + 1)
    assert result(project)["verdict"] == "pass"
    assert len(result(project)["findings"]) == len(CLEAN)
    assert len(project.drawn) == len(set(project.drawn)) == 4 * len(CLEAN)
    assert all(len(processes) == 1 for processes in project.drawn_by.values())


def test_with_captions_redacted_no_caption_is_in_a_batch_or_its_failure(project):
    run = judged(
        project,
        "bad marmalade",
        "open marmalade",
        "clean marmalade",
        arguments=("--memex-redact", "captions"),
    )
    assert "marmalade" not in run.stdout.str()
    assert f"prompt ({prompt_id_of('bad marmalade')})" in words(run)


def test_in_allure_a_batch_is_named_and_filed_by_the_worst_of_its_prompts(project):
    copied = together("copied", 3)
    project.captions(*copied, *together("clean", 5))
    run = project.audit(
        ONLY_PROMPTS, "--memex-granularity", "batch", "--memex-training-set", "images",
        "--memex-embedder", "specimen", "--alluredir", "allure-results",
    )  # fmt: skip
    run.assert_outcomes(failed=1)
    (path,) = (project.path / "allure-results").glob("*-result.json")
    case = json.loads(path.read_text())
    assert case["name"] == "8 prompts: 3 extracted, 5 nothing given back"
    labels = {(label["name"], label["value"]) for label in case["labels"]}
    assert {("parentSuite", "2 Extracted"), ("severity", "blocker"), ("tag", "extracted")} <= labels
    names = {one["name"] for one in case["attachments"]}
    assert names == {f'evidence of "{caption}" (mosaic)' for caption in copied}
    assert all(caption in case["descriptionHtml"] for caption in copied)
    assert "ReplicaExtracted" in case["statusDetails"]["message"]
    assert case["status"] == "failed"


@pytest.mark.parametrize("granularity", ["batches", ""])
def test_another_granularity_is_refused(project, granularity):
    project.prompts(*CLEAN[:2])
    run = project.audit("--memex-prompts", "prompts.csv", "--memex-granularity", granularity)
    assert run.ret == pytest.ExitCode.USAGE_ERROR
