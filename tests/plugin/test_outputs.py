"""What a run writes beside the terminal: JSON, a page of Markdown, JUnit, the summary of a GitHub step."""

import hashlib
import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

CLEAN = tuple(f"clean picture {i}" for i in range(12))
TRAINED = ("--memex-training-set", "images", "--memex-embedder", "specimen")

# Gives back the training image of every prompt, whatever stands in it.
ECHO = """
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from memex_audit.records import Generation


class Echo:
    fingerprint = "e" * 64
    settings = {}
    seeded = True
    shareable = True
    evaluations_per_image = 1

    def generate(self, requests):
        rows = [json.loads(line) for line in Path("images/metadata.jsonl").read_text().splitlines()]
        names = {row["text"]: row["file_name"] for row in rows}
        for request in requests:
            picture = Image.open(Path("images", names[request.prompt])).convert("RGB")
            noise = np.random.default_rng(request.seed).integers(-3, 4, (32, 32, 3))
            pixels = np.clip(np.asarray(picture).astype(int) + noise, 0, 255).astype(np.uint8)
            yield Generation(request=request, pixels=pixels)


@pytest.fixture(scope="session")
def memex_generator():
    return Echo()
"""


def properties(element):
    return {entry.get("name"): entry.get("value") for entry in element.iter("property")}


def suite_of(path):
    (suite,) = ET.parse(path).getroot().iter("testsuite")
    return suite


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_junit_holds_the_verdict_and_the_rate_as_properties_of_the_suite(project, workers):
    project.captions("copied cat", *CLEAN)
    project.audit(*TRAINED, "--junitxml", "junit.xml", workers)
    suite = suite_of(project.path / "junit.xml")
    found = properties(suite.find("properties"))
    assert found["memex_verdict"] == "fail"
    assert found["memex_model_fingerprint"] == "f" * 64
    assert found["memex_extracted_groups"] == "1"
    assert found["memex_groups"] == "13"
    assert found["memex_limit"] == "0.01"
    case = next(case for case in suite.iter("testcase") if "copied-cat" in case.get("name"))
    assert properties(case)["memex_verdict"] == "extracted"
    failure = case.find("failure")
    assert failure.get("message").startswith("ReplicaExtracted: 4 of 4 generations near a training image")
    for part in ("gives back training image copied-cat.png", "Evidence", "How sure", "Next", "Repeat"):
        assert part in failure.text


def test_a_suite_that_does_not_audit_gets_no_property_and_no_step_summary(pytester, monkeypatch):
    summary = pytester.path / "summary.md"
    summary.touch()
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    pytester.makepyfile("def test_sum(): assert 1 + 1 == 2")
    pytester.runpytest_subprocess("--junitxml", "junit.xml").assert_outcomes(passed=1)
    assert summary.read_text() == ""
    assert suite_of(pytester.path / "junit.xml").find("properties") is None


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_a_step_of_github_actions_gets_its_summary_once(project, monkeypatch, workers):
    summary = project.path / "summary.md"
    summary.touch()
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    project.captions("copied cat", *CLEAN)
    project.audit(*TRAINED, workers)
    assert summary.read_text().count("## Memorization audit: FAIL") == 1
    assert '`"copied cat"`, training image `copied-cat.png`' in summary.read_text()


def test_a_step_summary_that_cannot_be_written_breaks_nothing(project, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "/nowhere/summary.md")
    project.prompts(*CLEAN)
    run = project.audit("--memex-prompts", "prompts.csv", "--memex-limit", "0.25")
    assert run.ret == 0
    run.stdout.fnmatch_lines(["*step summary: NOT WRITTEN, No such file or directory"])


def test_the_report_can_be_asked_for_in_the_ini_file(project):
    project.prompts(*CLEAN)
    project.pytester.makeini("[pytest]\nmemex_report = ini.md\nmemex_prompts = prompts.csv\n")
    project.audit("--memex-limit", "0.25")
    page = (project.path / "ini.md").read_text()
    assert "# Memorization audit: PASS" in page
    assert "default: 4 generations a prompt, then up to 8, 16, 32 where some agree" in page
    assert hashlib.sha256((project.path / "result.json").read_bytes()).hexdigest() in page
    project.audit("--memex-limit", "0.25", "--memex-report", "option.md")
    assert (project.path / "option.md").exists()


def test_a_report_is_no_matter_of_one_case(project):
    project.prompts(*CLEAN)
    rates = project.path / "audits" / "test_replica_rates.py"
    text = rates.read_text().replace("def test_ex", '@pytest.mark.memex(report="x.md")\ndef test_ex')
    rates.write_text("import pytest\n" + text)
    run = project.audit("--memex-prompts", "prompts.csv")
    assert run.ret == 4
    run.stderr.fnmatch_lines(["*takes no argument 'report'*"])


def test_a_run_whose_result_could_not_be_written_is_no_success(project):
    project.prompts(*CLEAN)
    (project.path / "result.json").mkdir()
    run = project.audit("--memex-prompts", "prompts.csv", "--memex-limit", "0.25")
    run.assert_outcomes(passed=13)
    assert run.ret == 1
    run.stdout.fnmatch_lines(["written      result.json: NOT WRITTEN, Is a directory"])


def test_the_json_says_how_prompts_were_decided(project):
    project.prompts(*CLEAN)
    project.audit("--memex-prompts", "prompts.csv", "--memex-limit", "0.25")
    protocol = json.loads((project.path / "result.json").read_text())["protocol"]
    assert protocol == {
        "name": "default", "looks": [4, 8, 16, 32], "flag_at": [4, 5, 6, 8], "clean_at": [1, 1, 3, 7],
        "clique_size": 8, "edge_delta": 0.1, "match_delta": 0.1, "unit": "prompt group",
    }  # fmt: skip


def test_no_output_holds_a_caption_where_they_are_redacted(project, monkeypatch):
    summary = project.path / "summary.md"
    summary.touch()
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    project.captions("copied cat", *CLEAN)
    cases = project.path / "audits" / "test_duplicated_prompts.py"
    # Written as the README does, without a word on redaction.
    assert "redact" not in cases.read_text()
    run = project.audit(
        *TRAINED, "--memex-redact", "captions", "-vv", "-rA", "--junitxml", "junit.xml", "--memex-report",
        "page.md",
    )  # fmt: skip
    written = [project.path / name for name in ("result.json", "page.md", "junit.xml", "summary.md")]
    for text in (run.stdout.str(), *(path.read_text() for path in written)):
        assert "copied cat" not in text
        assert "copied-cat" not in text
        assert "clean picture" not in text


def test_a_hostile_caption_breaks_and_injects_nothing(project, hostile_caption):
    # As a training set gives it: without spaces around it, never empty, and in UTF-8.
    caption = hostile_caption.replace("\udcff", "\ufffd").strip() or "x"
    (project.path / "conftest.py").write_text(ECHO)
    folder = project.path / "images"
    folder.mkdir()
    rows = []
    for number, text in enumerate((caption, "a quiet lawn")):
        coarse = np.random.default_rng(number).integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
        rows.append(json.dumps({"file_name": f"{number}.png", "text": text}) + "\n")
    (folder / "metadata.jsonl").write_text("".join(rows))
    run = project.audit(*TRAINED, "--junitxml", "junit.xml", "--memex-report", "page.md")
    run.assert_outcomes(failed=3)
    assert "\x1b" not in run.stdout.str()
    found = json.loads((project.path / "result.json").read_text())
    assert caption in [finding["prompt"] for finding in found["findings"]]
    cases = list(suite_of(project.path / "junit.xml").iter("testcase"))
    assert len(cases) == 3
    for case in cases:
        assert {child.tag for child in case} <= {"properties", "failure"}
        assert case.get("name").isascii()
    headings = [line for line in (project.path / "page.md").read_text().split("\n") if line.startswith("#")]
    assert headings == [
        "# Memorization audit: FAIL", "## What was audited", "## How it was decided", "## Controls",
        "## Findings", "## What was set aside", "## What a pass does not prove", "## What next",
        "## The data behind this page",
    ]  # fmt: skip
