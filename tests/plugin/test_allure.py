"""What a run leaves for Allure, with and without pytest-xdist."""

import json

import pytest

CLEAN = tuple(f"clean picture {number}" for number in range(10))
COPIED = ("copied cat", "copied dog", "copied cow", "copied hen")
OPTIONS = (
    "--memex-training-set", "images", "--memex-embedder", "specimen", "--alluredir", "allure-results",
    "--clean-alluredir",
)  # fmt: skip
XDIST = pytest.mark.parametrize("plugins", [("-p", "no:xdist"), ("-n2",)], ids=["no-xdist", "n2"])


def results(project):
    """Return Allure's results by the name of their case."""
    found = [json.loads(path.read_text()) for path in (project.path / "allure-results").glob("*-result.json")]
    return {entry["name"]: entry for entry in found}


def named(project, beginning):
    (entry,) = [entry for name, entry in results(project).items() if name.startswith(beginning)]
    return entry


def labels(entry, name):
    return [label["value"] for label in entry["labels"] if label["name"] == name]


def attached(entry):
    return [attachment["name"] for attachment in entry.get("attachments", [])]


def globally_attached(project):
    folder = project.path / "allure-results"
    kept = {}
    for path in folder.glob("*-globals.json"):
        for entry in json.loads(path.read_text())["attachments"]:
            kept[entry["name"]] = (folder / entry["source"]).read_text()
    return kept


@XDIST
def test_every_case_is_filed_by_what_was_found_and_the_run_is_said_once(project, plugins):
    project.captions("copied cat", *CLEAN)
    run = project.audit(*OPTIONS, *plugins)
    run.assert_outcomes(passed=10, failed=2)
    extracted, clean = named(project, '"copied cat": 4 of 4'), named(project, '"clean picture 3": 0 of')
    assert (labels(extracted, "parentSuite"), labels(extracted, "tag")) == (["2 Extracted"], ["extracted"])
    assert (labels(clean, "parentSuite"), labels(clean, "tag")) == (["7 Nothing given back"], [])
    assert attached(extracted) == ["evidence (mosaic)"]
    rate = named(project, "test_extraction_rate")
    assert labels(rate, "parentSuite") == ["5 Extraction rate"]
    assert attached(rate) == ["distances to training images", "extraction rate by near-copies"]
    kept = globally_attached(project)
    assert sorted(kept) == ["distances to training images", "extraction rate by near-copies", "verdict"]
    assert kept["verdict"].startswith("FAIL: ")
    for name in ("environment.properties", "categories.json", "allurerc.mjs", "memex-perf.json"):
        assert (project.path / "allure-results" / name).exists()


def test_what_a_case_is_known_by_does_not_change_when_prompts_are_inserted(project):
    project.captions("copied cat", *CLEAN)
    project.audit(*OPTIONS)
    before = {entry["historyId"]: name.partition(":")[0] for name, entry in results(project).items()}
    project.captions("a caption that stands before all others", "clean picture 10")
    project.audit(*OPTIONS)
    after = {entry["historyId"]: name.partition(":")[0] for name, entry in results(project).items()}
    assert len(before) == 12
    assert len(after) == 14
    assert {key: after[key] for key in before} == before


def test_a_case_keeps_its_history_when_its_figures_change(project):
    project.captions("copied cat", *CLEAN)
    project.audit(*OPTIONS, "--memex-generations", "4")
    first = named(project, '"clean picture 3": 0 of 4')
    project.audit(*OPTIONS, "--memex-generations", "6")
    then = named(project, '"clean picture 3": 0 of 6')
    assert first["historyId"] == then["historyId"]
    assert first["parameters"] != then["parameters"]


@XDIST
def test_evidence_beyond_the_budget_is_left_out_and_counted_where_it_is_read(project, plugins):
    project.captions(*COPIED, *CLEAN)
    run = project.audit(*OPTIONS, *plugins, "--memex-evidence-mb", "0.06")
    kept = list((project.path / "allure-results").glob("*-attachment.jpg"))
    dropped = [name for name, entry in results(project).items() if "evidence (left out)" in attached(entry)]
    assert sum(path.stat().st_size for path in kept) <= 0.06 * 2**20
    assert len(kept) + len(dropped) == 4
    assert len(kept) >= 1
    assert len(dropped) >= 1
    sheets = "1 evidence sheet was" if len(dropped) == 1 else f"{len(dropped)} evidence sheets were"
    said = f"{sheets} dropped from the Allure report: more than --memex-evidence-mb allows."
    assert said in " ".join(run.stdout.str().split())
    assert said in globally_attached(project)["verdict"]
    assert said.partition(":")[0] in (project.path / "allure-results" / "environment.properties").read_text()
    assert json.loads((project.path / "result.json").read_text())["notes"][-1] == said


def test_a_budget_of_nothing_attaches_no_picture(project):
    project.captions("copied cat", *CLEAN)
    project.audit(*OPTIONS, "--memex-evidence-mb", "0")
    assert list((project.path / "allure-results").glob("*-attachment.jpg")) == []
    assert attached(named(project, '"copied cat"')) == ["evidence (left out)"]


def test_an_extracted_prompt_that_may_be_says_in_its_description_what_its_message_does_not(project):
    project.captions("copied cat", *CLEAN)
    project.audit(*OPTIONS, "--memex-on-extracted", "xfail")
    entry = named(project, '"copied cat"')
    assert entry["status"] == "skipped"
    assert "<b>How sure:</b>" in entry["descriptionHtml"]
    project.audit(*OPTIONS)
    entry = named(project, '"copied cat"')
    assert entry["status"] == "failed"
    assert "descriptionHtml" not in entry


def test_the_ci_job_is_the_executor(project, monkeypatch):
    for name in ("GITHUB_ACTIONS", "GITLAB_CI"):
        monkeypatch.delenv(name, raising=False)
    project.captions("copied cat", *CLEAN)
    project.audit(*OPTIONS)
    assert not (project.path / "allure-results" / "executor.json").exists()
    monkeypatch.setenv("GITLAB_CI", "true")
    monkeypatch.setenv("CI_JOB_NAME", "memex")
    monkeypatch.setenv("CI_PIPELINE_IID", "7")
    project.audit(*OPTIONS)
    executor = json.loads((project.path / "allure-results" / "executor.json").read_text())
    assert executor["buildName"] == "memex #7"


def test_a_selection_without_a_rate_case_still_has_the_figures(project):
    project.captions("copied cat", *CLEAN)
    project.audit(*OPTIONS, "-k", "copied")
    kept = globally_attached(project)
    assert kept["verdict"] == "FAIL: 1 prompt gives a training image back."
    assert "1 extracted" in kept["distances to training images"]


def test_a_run_in_which_nothing_was_audited_leaves_allure_alone(project):
    (project.path / "audits" / "test_other.py").write_text("def test_other(): pass")
    run = project.audit(*OPTIONS, "audits/test_other.py")
    run.assert_outcomes(passed=1)
    names = {path.name for path in (project.path / "allure-results").iterdir()}
    assert not names & {"environment.properties", "categories.json", "allurerc.mjs", "memex-perf.json"}


def test_a_results_folder_that_cannot_be_completed_is_named(project):
    project.captions("copied cat", *CLEAN)
    (project.path / "allure-results" / "environment.properties").mkdir(parents=True)
    options = [option for option in OPTIONS if option != "--clean-alluredir"]
    run = project.audit(*options)
    run.stdout.fnmatch_lines(["*Allure's files: NOT WRITTEN, Is a directory*"])
    assert run.ret == 1
