import json
import re
from dataclasses import replace

import pytest

from memex_audit.records import RunVerdict, Unit
from memex_audit.reporting.allure_files import (
    allure_config,
    environment_of,
    executor_of,
    metrics_of,
    write_allure_files,
    write_categories,
    write_environment,
)

NOW = 1_767_225_660.5  # 2026-01-01T00:01:00.5Z, a minute after the result's start
GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://forge.example",
    "GITHUB_REPOSITORY": "team/model",
    "GITHUB_RUN_ID": "987",
    "GITHUB_RUN_NUMBER": "12",
    "GITHUB_WORKFLOW": "audit",
}
GITLAB = {
    "GITLAB_CI": "true",
    "CI_PROJECT_URL": "https://lab.example/team/model",
    "CI_PIPELINE_IID": "34",
    "CI_JOB_NAME": "memex",
    "CI_JOB_URL": "https://lab.example/team/model/-/jobs/5",
}


def read_properties(path):
    """Read as Java does: one entry a line, key to the first unescaped separator, escapes undone."""
    entries = {}
    for line in path.read_text("ascii").splitlines():
        key, value = re.fullmatch(r"((?:\\.|[^\\ =:])*)\s*[=:]\s*(.*)", line).groups()
        entries[unescaped(key)] = unescaped(value)
    return entries


def unescaped(text):
    def one(found):
        return chr(int(found[1], 16)) if found[1] else found[2]

    return re.sub(r"\\(?:u([0-9a-f]{4})|(.))", one, text)


def config_of(text):
    """Return what an allurerc.mjs exports."""
    return json.loads(text.partition("export default ")[2].rstrip().removesuffix(";"))


def test_the_environment_begins_with_the_verdict_and_the_rate_and_says_what_they_rest_on(tmp_path, result):
    write_environment(tmp_path, replace(result, notes=()))
    entries = read_properties(tmp_path / "environment.properties")
    assert list(entries.items())[:7] == [
        ("verdict", "fail"),
        ("extraction rate", "1 of 320 prompt groups"),
        ("at most", "1.5 %, limit 1 % (95 % confidence, one-sided exact binomial)"),
        ("near misses", "0"),
        ("model", "specimen:duplicated"),
        ("thresholds", "calibrated"),
        (
            "protocol",
            "default: 4, then 16 generations; clique of 4 of 16 within tile-l2 0.12; match within l2 0.15",
        ),
    ]
    assert entries["settings.steps"] == "20"
    assert entries["versions.torch"] == "2.14.1"
    assert "embedder" not in entries


def test_a_rate_of_training_images_says_what_it_counts(result, rate):
    census = replace(
        rate, unit=Unit.TRAINING_IMAGE, groups=13, extracted_groups=2, upper=2 / 13,
        method="census of training images, no sampling error",
    )  # fmt: skip
    entries = dict(environment_of(replace(result, rate=census)))
    assert entries["extraction rate"] == "2 of 13 training images"
    assert entries["at most"] == "15 %, limit 1 % (census of training images, no sampling error)"


def test_notes_stand_among_the_entries_that_are_shown_at_once(result):
    names = [name for name, _ in environment_of(replace(result, notes=("one", "two")))]
    assert names[:6] == ["verdict", "extraction rate", "at most", "near misses", "note 1", "note 2"]


def test_a_run_that_came_nowhere_invents_no_number(result):
    bare = replace(
        result, verdict=RunVerdict.ERROR, rate=None, protocol=None, calibration=None, findings=(),
        provenance=None, notes=(),
    )  # fmt: skip
    assert list(environment_of(bare)) == [
        ("verdict", "error"),
        ("extraction rate", "not computed: no rate case ran"),
        ("near misses", "0"),
    ]
    assert metrics_of(bare, now=NOW) == []


@pytest.mark.parametrize("value", ["a\nverdict = pass", "C:\\models\\x", "caf\u00e9", "end\\", "a\r\u2028b"])
def test_no_value_can_end_its_line(tmp_path, result, provenance, value):
    write_environment(tmp_path, replace(result, provenance=replace(provenance, model=value)))
    entries = read_properties(tmp_path / "environment.properties")
    assert entries["model"] == value
    assert entries["verdict"] == "fail"


def test_no_key_can_begin_another_entry(tmp_path, result, provenance):
    named = replace(provenance, versions={"a = b\nc:d": "1"})
    write_environment(tmp_path, replace(result, provenance=named))
    assert read_properties(tmp_path / "environment.properties")["versions.a = b\nc:d"] == "1"


MESSAGES = [
    ("replica extracted", "failed", "memex_audit.assertions.ReplicaExtracted: The model\ngives back"),
    ("rate over the limit", "failed", "memex_audit.assertions.RateExceeded: over\nit"),
    ("inconclusive", "failed", "memex_audit.assertions.AuditInconclusive: un\ndecided"),
    ("control failed", "failed", "memex_audit.assertions.ControlFailed: it\ndoes not"),
    ("training set duplicated", "failed", "memex_audit.assertions.TrainingSetDuplicated: so\nmany"),
    ("audit broken", "broken", "RuntimeError: gone"),
]


@pytest.mark.parametrize(("name", "status", "message"), MESSAGES)
def test_each_ending_has_its_category_in_allure_2(tmp_path, name, status, message):
    write_categories(tmp_path)
    matching = [
        entry["name"]
        for entry in json.loads((tmp_path / "categories.json").read_text())
        if status in entry["matchedStatuses"] and re.fullmatch(entry.get("messageRegex", ".*"), message)
    ]
    assert matching == [name]


def category_of(status, message="", tags=()):
    """Return the first category of the config that fits, as Allure 3 chooses."""
    for category in config_of(allure_config("allure-results"))["categories"]:
        for matcher in category["matchers"]:
            tag = matcher.get("labels", {}).get("tag")
            if (
                status in matcher.get("statuses", [status])
                and re.search(matcher.get("message", ""), message)
                and (tag is None or any(re.search(tag, one) for one in tags))
            ):
                return category["name"]
    return None


@pytest.mark.parametrize(("name", "status", "message"), MESSAGES)
def test_each_ending_has_its_category_in_allure_3(name, status, message):
    assert category_of(status, message) == name


@pytest.mark.parametrize(
    ("tags", "status", "name"),
    [
        (["near miss"], "passed", "near miss"),
        (["flagged", "near miss"], "passed", "near miss"),
        (["extracted"], "skipped", "replica extracted"),
        (["flagged"], "passed", "flagged, no training image matched"),
        ([], "passed", None),
    ],
)
def test_in_allure_3_a_case_that_passes_has_a_category_by_its_tag(tags, status, name):
    assert category_of(status, tags=tags) == name


def test_near_misses_are_the_first_category_and_the_list_is_sorted_by_suite(tmp_path):
    write_categories(tmp_path / "allure-results")
    config = config_of((tmp_path / "allure-results" / "allurerc.mjs").read_text())
    assert config["categories"][0]["name"] == "near miss"
    assert config["plugins"]["awesome"]["options"] == {
        "singleFile": True, "groupBy": ["parentSuite"], "defaultSortBy": "name,asc",
    }  # fmt: skip


def test_a_config_of_the_user_is_left_alone(tmp_path):
    (tmp_path / "allurerc.mjs").write_text("export default {};")
    write_categories(tmp_path)
    assert (tmp_path / "allurerc.mjs").read_text() == "export default {};"


def test_a_folder_cannot_end_the_comment_that_names_it():
    text = allure_config("results\nprocess.exit()\u2028//")
    assert all(line.startswith("//") for line in re.split(r"[\n\u2028]", text.partition("export")[0]) if line)


def test_the_executor_is_the_github_run():
    assert executor_of(GITHUB) == {
        "name": "GitHub Actions",
        "type": "github",
        "url": "https://forge.example/team/model",
        "buildOrder": 12,
        "buildName": "audit #12",
        "buildUrl": "https://forge.example/team/model/actions/runs/987",
    }


def test_the_executor_is_the_gitlab_job():
    assert executor_of(GITLAB) == {
        "name": "GitLab CI",
        "type": "gitlab",
        "url": "https://lab.example/team/model",
        "buildOrder": 34,
        "buildName": "memex #34",
        "buildUrl": "https://lab.example/team/model/-/jobs/5",
    }


@pytest.mark.parametrize(
    "ci", [{}, {"GITHUB_ACTIONS": "false"}, {"GITLAB_CI": ""}], ids=["no", "off", "empty"]
)
def test_outside_of_ci_there_is_no_executor(ci):
    assert executor_of(ci) is None


def test_a_run_number_that_is_none_does_not_lose_the_report():
    assert executor_of({"GITHUB_ACTIONS": "true", "GITHUB_RUN_NUMBER": "x"})["buildOrder"] == 0


def test_the_metrics_have_what_allure_3_asks_of_a_sample(result):
    metrics = metrics_of(result, now=NOW)
    figures = {entry["key"]: (entry["value"], entry["unit"], entry["better"]) for entry in metrics}
    assert figures == {
        "memex.extraction_rate": (0.3125, "%", "lower"),
        "memex.upper_bound": (1.47, "%", "lower"),
        "memex.near_misses": (0, "", "lower"),
        "memex.generations": (1400, "", "neutral"),
        "memex.network_evaluations": (360, "", "neutral"),
    }
    assert len({entry["id"] for entry in metrics}) == len(metrics)
    assert {entry["stop"] - entry["start"] for entry in metrics} == {60_500}
    assert {entry["stop"] for entry in metrics} == {1_767_225_660_500}


def test_all_files_are_written_whole_beside_the_results(tmp_path, result):
    write_allure_files(tmp_path / "new", result, GITHUB, now=NOW)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "allurerc.mjs", "categories.json", "environment.properties", "executor.json", "memex-perf.json",
    ]  # fmt: skip
    assert json.loads((tmp_path / "new" / "executor.json").read_text())["buildOrder"] == 12
    assert len(json.loads((tmp_path / "new" / "memex-perf.json").read_text())) == 5
