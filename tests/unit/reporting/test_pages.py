"""The page for the record and the summary of a GitHub step: what they say, and what they never let in."""

from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from memex_audit.explain import quoted
from memex_audit.records import ControlResult, RunVerdict, SetAside, Unit, Verdict
from memex_audit.reporting.markdown_report import report_page
from memex_audit.reporting.step_summary import MOST_BYTES, append_step_summary, step_summary

SHA256 = "0123456789abcdef" * 4


def page(result, **options):
    return report_page(result, json_name="result.json", json_sha256=SHA256, **options)


PAGES = pytest.mark.parametrize("made", [page, step_summary], ids=["report", "step-summary"])


def parsed(markdown):
    renderer = MarkdownIt("gfm-like", {"html": True})
    renderer.linkify.set({"fuzzy_link": False, "fuzzy_email": False})
    tokens = renderer.parse(markdown)
    return [inner for token in tokens for inner in (token, *(token.children or ()))]


def structure(markdown):
    """Return what a page is made of but its words."""
    return [(t.type, t.tag, t.level, t.attrs) for t in parsed(markdown) if not t.type.startswith("text")]


def named(result, finding, text):
    """Put a text into every place of a result that a stranger can fill."""
    match = replace(finding.match, example_id=text)
    findings = tuple(
        replace(finding, verdict=verdict, prompt=text, match=match, near_miss=verdict is Verdict.NOT_FLAGGED)
        for verdict in Verdict
    )
    provenance = replace(
        result.provenance, model=text, training_set=text, embedder=text, device=text,
        settings={"scheduler": text}, versions={"torch": text},
    )  # fmt: skip
    return replace(
        result,
        findings=findings,
        provenance=provenance,
        notes=(text,),
        rate=replace(result.rate, frame=text),
        controls=(ControlResult(kind="positive", subject=text, prompts=8, detected=8),),
        set_aside=(SetAside(what=text, reason=text),),
    )


@PAGES
def test_no_caption_changes_what_a_page_is_made_of(made, hostile_caption, result, finding):
    hostile = made(named(result, finding, hostile_caption))
    assert structure(hostile) == structure(made(named(result, finding, "a cat")))
    assert all(line.isprintable() for line in hostile.split("\n"))
    hostile.encode("utf-8")


@PAGES
def test_a_caption_is_shown_as_it_is(made, hostile_caption, result, finding):
    shown = [token.content for token in parsed(made(named(result, finding, hostile_caption)))]
    assert quoted(hostile_caption, 120) in shown


def test_the_page_says_what_a_reader_who_was_not_there_needs(result):
    text = page(result)
    for said in (
        "# Memorization audit: FAIL",
        "**1 prompt gives a training image back; the extraction rate may be within the limit of 1 % or over "
        "it.**",
        "1 of 320 prompt groups extracted; true rate among prompts like these at least 0.016 %, at most",
        "blind to prompts that replicate in fewer than 75 % of generations. Only the verdict PASS is a pass.",
        "- **Model**: `specimen:duplicated`",
        "- **Model fingerprint**: `ab` (SHA-256 over its files)",
        "- **Training set**: `/data/a b`",
        "- **Started**: `2026-01-01T00:00:00Z`",
        "- **Frame**: duplicated groups; N: 5,000 prompt groups",
            "- **Unit of the rate**: prompt group\n",
        "- **Audited**: 330 prompts, 320 prompt groups, 1,400 generations",
        "- **Limit**: 1 %. A pass needs an upper bound within it (95 % confidence, one-sided exact ",
        "- **Protocol**: default: 4 generations a prompt, then up to 16 where some agree",
        "calibrated: 0 of 300 negative prompts flagged",
        "`steps 20, size (64, 64), guidance 7.5`; root seed 0",
        "`memex-audit 0.1.0, torch 2.14.1` on `cpu`",
        "- **Note**: a note",
        "positive control: 8 of 8 prompts extracted",
        "- **Extracted**: 1 prompt",
        "9 of 16 generations near a training image, nearest l2 0.031, 64 near-copies: "
        '`"Zebra portrait by Jane Roe"`, training image `zebra-portrait-by-jane-roe.png`',
        "1 empty caption; 2 generations blank, broken or of another size",
        "## What a pass does not prove",
        "is in `result.json`",
        f"SHA-256 of that file: `{SHA256}`",
    ):  # fmt: skip
        assert said in text


def test_the_page_of_a_fine_tune_names_its_lora_and_why_images_are_counted(result):
    rate = replace(
        result.rate, unit=Unit.TRAINING_IMAGE, unit_reason="it has 1 caption", groups=12, frame_size=12,
        prompts=1, captions=1, method="census of training images, no sampling error",
    )  # fmt: skip
    provenance = replace(result.provenance, lora="my|lora", lora_weight=0.8)
    text = page(replace(result, rate=rate, provenance=provenance))
    assert "- **LoRA**: `my|lora` with weight 0.8" in text
    assert "- **Distinct captions of the training set**: 1" in text
    assert "- **Unit of the rate**: training image (it has 1 caption)" in text
    assert "- **Audited**: 1 prompt, 12 training images, 1,400 generations" in text
    assert "within it (census of training images, no sampling error)." in text


def test_the_page_says_where_power_was_shown(result):
    control = ControlResult(
        kind="positive", subject="specimen:duplicated, planted replicas", prompts=8, detected=8
    )
    mine = replace(result, controls=(control,), provenance=replace(result.provenance, model="./mine"))
    assert "- Power was shown on the specimen only; on the audited model itself it was not" in page(mine)
    assert "- That this audit finds replicas was not shown" in page(replace(mine, controls=()))


def test_a_run_that_came_nowhere_still_gets_its_page(result):
    bare = replace(
        result, verdict=RunVerdict.ERROR, rate=None, protocol=None, calibration=None, findings=(),
        set_aside=(), controls=(), provenance=None,
    )  # fmt: skip
    text = page(bare)
    assert "# Memorization audit: ERROR" in text
    assert "No rate was computed: no rate case ran." in text
    assert "- **Model**: unknown: no case came far enough" in text
    assert "- No prompt was extracted, flagged, undecided or a near miss." in text
    assert "## What was set aside\n\n- Nothing." in text
    assert "ERROR" in step_summary(bare)


@PAGES
def test_at_most_so_many_findings_of_a_kind_are_listed(made, result, finding):
    text = made(replace(result, findings=(finding,) * 1000))
    assert "more in the JSON" in text
    assert text.count("Jane Roe") < 25


@PAGES
def test_redacted_pages_hold_neither_caption_nor_example_id(made, result, finding, near_miss):
    others = tuple(replace(finding, verdict=verdict) for verdict in Verdict)
    text = made(replace(result, findings=(finding, near_miss, *others)), redact=True).lower()
    assert "zebra" not in text
    assert "jane" not in text
    assert "prompt 0123456789ab" in text


def test_the_summary_of_a_step_starts_with_the_verdict_and_a_table(result):
    lines = step_summary(result).splitlines()
    assert lines[0] == "## Memorization audit: FAIL"
    assert lines[4] == (
        "| prompt groups | extracted | undecided | lower bound | upper bound | limit | bounds | blind below |"
    )
    assert (
        lines[6]
        == "| 320 | 1 | 0 | 0.016 % | 1.5 % | 1 % | 95 % confidence, one-sided exact binomial | 75 % |"
    )


def test_only_a_pass_says_what_a_pass_does_not_show(result):
    assert "Not shown by a pass" not in step_summary(result)
    assert "Not shown by a pass" in step_summary(replace(result, verdict=RunVerdict.PASS))


def test_the_summary_of_a_step_is_cut_where_it_would_be_too_long(result, monkeypatch):
    whole = step_summary(result)
    monkeypatch.setattr("memex_audit.reporting.step_summary.MOST_BYTES", 500)
    cut = step_summary(result)
    assert len(cut.encode()) <= 500
    assert cut.endswith("\nCut here: the whole result is in the JSON.\n")
    assert whole.startswith(cut.removesuffix("\nCut here: the whole result is in the JSON.\n"))


def test_the_longest_summary_of_a_step_is_far_below_what_github_drops(result, finding):
    longest = named(result, finding, "\U0001f600" * 10_000)
    longest = replace(longest, findings=longest.findings * 1000)
    assert len(step_summary(longest).encode()) < MOST_BYTES


def test_the_summary_is_added_to_what_the_step_has_written(result, tmp_path):
    path = tmp_path / "summary.md"
    path.write_text("Before.")
    append_step_summary(path, result)
    assert path.read_text() == "Before.\n" + step_summary(result)


def test_a_summary_that_would_be_dropped_whole_is_left_as_it_is(result, tmp_path):
    path = tmp_path / "summary.md"
    path.write_bytes(b"x" * (1024 * 1024 - 500))
    append_step_summary(path, result)
    assert path.stat().st_size == 1024 * 1024 - 500


def test_an_endpoint_has_no_files_and_what_a_filter_refused_is_counted_apart(result, finding):
    asked = replace(result.provenance, model="openai+https://api.example.org/v1?model=pictor")
    refused = replace(finding, set_aside=7, refused=4, absent=2)
    text = page(replace(result, provenance=asked, findings=(refused,)))
    assert "- **Model fingerprint**: `ab` (SHA-256 over its address and name)" in text
    assert (
        "4 generations refused by a content filter; 2 generations not in the folder; 1 generations blank, "
        "broken or of another size" in text
    )
