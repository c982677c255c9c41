"""What a reader of the Allure report sees: built by npm's `allure`, opened in headless Chromium."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.browser

COPIED, HOSTILE, NEAR = (
    "copied zanzibar",
    'copied <img src=x onerror="document.title=1">',
    "near miss of a narwhal",
)
DOCS = Path(__file__).parents[2] / "docs" / "reports.md"
GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://forge.invalid",
    "GITHUB_REPOSITORY": "team/model",
    "GITHUB_RUN_ID": "987",
    "GITHUB_RUN_NUMBER": "12",
    "GITHUB_WORKFLOW": "nightly",
}
DRAWN = "[...document.images].filter(one => one.complete && one.naturalWidth > 500)"
DESCRIPTION = "[...document.querySelectorAll('iframe')].map(one => one.srcdoc)"
CONFIGURED = ("generate", "--config", "allure-results/allurerc.mjs", "allure-results")


@pytest.fixture(scope="module")
def outputs(project):
    return project.audit("outputs", **GITHUB)


@pytest.fixture(scope="module")
def untouched(outputs, build_report):
    return build_report(outputs, *CONFIGURED)


@pytest.fixture(scope="module")
def report(untouched, tmp_path_factory):
    """The report as docs/reports.md says to finish it."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copytree(untouched.parent, folder / "allure-report")
    finish(folder)
    return folder / "allure-report" / "index.html"


def finish(folder):
    """Run the command of docs/reports.md that takes the analytics script out of allure-report/."""
    (command,) = re.findall(r"^sed .*$", DOCS.read_text(), re.MULTILINE)
    subprocess.run(command, shell=True, cwd=folder, check=True)


@pytest.fixture
def front(page, report):
    page.open(report.as_uri())
    page.wait_for_text("7 Nothing given back")
    return page


def open_case(page, name):
    page.click("[data-testid=tree-leaf]", name)
    page.wait_for_text("Test body")


def attached(outputs, kind):
    return list((outputs / "allure-results").glob(f"*-attachment.{kind}"))


def test_the_front_page_says_the_verdict_the_rate_its_bound_and_the_ci_job(front, outputs):
    rate = json.loads((outputs / "result.json").read_text())["rate"]
    assert (rate["extracted_groups"], rate["groups"], rate["near_misses"]) == (2, 60, 1)
    metadata = front.text.partition("Metadata")[2].partition("Show more")[0].split("\n")
    shown = dict(zip(metadata[2::2], metadata[3::2], strict=False))
    assert shown["verdict"] == "fail"
    assert shown["extraction rate"] == "2 of 60 prompt groups"
    assert rate["upper"] == 2 / 60
    assert shown["at most"] == "3.3 %, limit 1 % (census of all 60 groups, no sampling error)"
    assert shown["near misses"] == "1"
    assert shown["executor"] == "GitHub Actions · nightly #12"


def test_near_misses_stand_first_then_what_was_extracted(front):
    listed = front.text.partition("Sort by")[2]
    places = [
        listed.index(text)
        for text in ("1 Near misses", "2 Extracted", '"copied <img', COPIED, "5 Extraction rate", "7 Nothing")
    ]
    assert places == sorted(places)
    front.click("button", "Categories")
    front.wait_for_text("replica extracted")
    text = front.text
    assert text.index("near miss\n") < text.index(NEAR) < text.index("replica extracted")


def test_a_failing_prompt_is_named_with_its_figures_its_evidence_and_the_command_that_repeats_it(front):
    open_case(front, COPIED)
    text = front.text
    assert '"copied zanzibar lighthouse at dusk": 4 of 4 generations near a training image' in text
    assert "The model gives back training image copied-zanzibar-lighthouse-at-dusk.png" in text
    assert re.search(r"Repeat: pytest 'audits/test_duplicated_prompts\.py::[^']*-[0-9a-f]{12}\]'", text)
    assert "Category: replica extracted" in text


def test_the_evidence_sheet_of_a_failing_prompt_is_drawn(front, outputs):
    open_case(front, COPIED)
    front.click("button", "evidence (mosaic)")
    sheet = front.wait_for(f"{DRAWN}.filter(one => one.alt.endsWith('.jpg')).map(one => one.alt)[0]")
    assert sheet in [path.name for path in attached(outputs, "jpg")]
    # The four generations that decided, the training image and the difference, each 112 pixels and a gap.
    with Image.open(outputs / "allure-results" / str(sheet)) as picture:
        assert picture.size[0] == 8 + 6 * 120


def test_the_rate_case_shows_both_figures(front):
    open_case(front, "test_extraction_rate_is_within_the_limit")
    assert "2 of 60 prompt groups extracted" in json.dumps(front.evaluate(DESCRIPTION))
    for shown, name in enumerate(("distances to training images", "extraction rate by near-copies"), 1):
        front.click("button", name)
        front.wait_for(f"{DRAWN}.filter(one => one.alt.endsWith('.svg')).length === {shown}")


def test_a_caption_with_markup_is_shown_and_does_nothing(front):
    open_case(front, HOSTILE)
    assert HOSTILE in front.text
    assert front.evaluate("document.title") != "1"
    assert front.evaluate("[...document.images].filter(one => one.src.endsWith('/x')).length") == 0


def test_the_metrics_are_listed_with_their_units(page, report):
    page.open(f"{report.as_uri()}#metrics")
    page.wait_for_text("extraction rate, upper bound")
    assert re.search(r"network evaluations\s+1\s+[\d,]+", page.text)
    assert re.search(r"extraction rate\s+1\s+3\.333 %", page.text)


def outside(page, report):
    """Return what a page asks for from outside while it is opened and read."""
    page.requested.clear()
    page.open(report.as_uri())
    page.wait_for("document.readyState === 'complete' && document.body.innerText.includes('Allure Report')")
    return [url for url in page.requested if url.startswith("http")]


def test_a_report_fetches_an_analytics_script_and_nothing_else(page, untouched):
    fetched = outside(page, untouched)
    assert fetched
    assert all(url.startswith("https://www.googletagmanager.com/") for url in fetched)


def test_a_finished_report_fetches_nothing(page, report):
    assert outside(page, report) == []
    page.wait_for_text("7 Nothing given back")


def test_an_inserted_prompt_is_the_only_new_one_of_the_next_report(
    page, project, outputs, untouched, build_report
):
    assert untouched.exists()
    project.add("a clean prompt that was not there before")
    again = project.audit("again")
    shutil.copy(outputs / "allure-history.jsonl", again)
    built = build_report(again, *CONFIGURED)
    finish(again)
    page.open(built.as_uri())
    page.wait_for_text("7 Nothing given back")
    counts = page.text.partition("Total\n")[2]
    assert counts.startswith("62\nNew tests\n1\n")


def test_without_its_config_the_report_is_built_as_well(page, outputs, build_report, tmp_path):
    shutil.copytree(outputs / "allure-results", tmp_path / "allure-results")
    built = build_report(tmp_path, "awesome", "allure-results", "--single-file", "--output", "allure-report")
    finish(tmp_path)
    page.open(built.as_uri())
    page.wait_for_text("1 Near misses")
    assert "2 of 60 prompt groups" in page.text
