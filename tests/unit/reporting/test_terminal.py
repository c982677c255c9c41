from dataclasses import replace

import pytest

from memex_audit.config import Settings
from memex_audit.records import AuditPrompt, Frame, PromptSet, RunVerdict, SetAside, Verdict
from memex_audit.reporting.redaction import kind_of_reason
from memex_audit.reporting.terminal import header_line, summary_lines


def test_the_verdict_comes_first_and_the_rate_after_it(result):
    lines = summary_lines(result)
    assert lines[0] == "verdict: FAIL - a case failed"
    assert lines[1].startswith("rate: 1 of 320 prompt groups extracted; true rate among prompts like these")


@pytest.mark.parametrize("verdict", ["inconclusive", "incomplete"])
def test_what_is_no_pass_says_so(result, verdict):
    assert "no pass" in summary_lines(replace(result, verdict=RunVerdict(verdict)))[0]


def test_near_misses_stand_before_extracted_prompts(result, finding, near_miss):
    lines = summary_lines(replace(result, findings=(finding, near_miss)))
    kinds = [line.split(":")[0] for line in lines]
    assert kinds.index("near miss") < kinds.index("extracted")


def test_at_most_20_of_a_kind_are_listed_and_the_others_counted(result, finding):
    lines = summary_lines(replace(result, findings=(finding,) * 23))
    extracted = [line for line in lines if line.startswith("extracted:")]
    assert len(extracted) == 21
    assert extracted[-1] == "extracted: and 3 more"


def test_what_was_set_aside_is_counted_by_reason(result):
    entries = [SetAside(what=f"{i}.png", reason=f"empty caption of {i}.png") for i in range(3)]
    entries.append(SetAside(what="x.png", reason="cannot be decoded: truncated"))
    lines = summary_lines(replace(result, set_aside=tuple(entries)))
    assert (
        "set aside: 3 empty caption; 1 cannot be decoded; 2 generations blank, broken or of another size"
        in lines
    )


def test_nothing_set_aside_takes_no_line(result, finding):
    lines = summary_lines(replace(result, set_aside=(), findings=(replace(finding, set_aside=0),)))
    assert not any(line.startswith("set aside") for line in lines)


def test_a_calibrated_run_prints_the_false_alarms_to_expect(result, finding):
    lines = summary_lines(replace(result, findings=(finding,) * 320))
    (line,) = [line for line in lines if line.startswith("calibration:")]
    # ceil(320 * 0.00994) = ceil(3.18)
    assert "flagged 0 of 300 negatives (<= 0.99 %): expect at most 4 false alarms in 320 prompts" in line


@pytest.mark.parametrize(("source", "said"), [("default", "shipped defaults"), ("given", "given by options")])
def test_an_uncalibrated_run_says_so(result, source, said):
    lines = summary_lines(replace(result, calibration=replace(result.calibration, source=source)))
    assert any(f"uncalibrated, {said}" in line for line in lines)


def test_what_a_pass_does_not_prove_is_the_last_line(result):
    assert summary_lines(result)[-1].startswith("not shown by a pass:")
    assert "fewer than 75 % of generations" in summary_lines(result)[-1]


def test_a_run_that_came_nowhere_is_reported_without_an_invented_number(result):
    bare = replace(
        result,
        verdict=RunVerdict.ERROR,
        rate=None,
        calibration=None,
        findings=(),
        controls=(),
        provenance=None,
    )
    lines = summary_lines(bare)
    assert "rate: not computed: no rate case ran" in lines
    assert "calibration: unknown, no case came far enough" in lines
    assert any("no control ran" in line for line in lines)


def test_redacted_lines_hold_neither_caption_nor_example_id(result, finding, near_miss):
    others = tuple(replace(finding, verdict=verdict) for verdict in Verdict)
    text = "\n".join(summary_lines(replace(result, findings=(finding, near_miss, *others)), redact=True))
    assert "zebra" not in text.lower()
    assert "prompt 0123456789ab" in text


def test_no_line_holds_a_control_character(result, finding):
    hostile = replace(finding, prompt="a\x1b[2J\nverdict: PASS", match=None)
    aside = SetAside(what="x", reason="a\x1b[2Jb")
    for line in summary_lines(replace(result, findings=(hostile,), set_aside=(aside,))):
        assert line.isprintable()


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("picture without a caption: no a-red-cat.txt", "picture without a caption"),
        ("file_name and text must be strings, got 'a' and None", "file_name and text must be strings"),
        ("3 of 5 rows cannot be read: truncated", "3 of 5 rows cannot be read"),
        ("empty caption of a-red-cat.png", "empty caption"),
        (": ", "unknown"),
    ],
)
def test_the_kind_of_a_reason_holds_no_name(reason, kind):
    assert kind_of_reason(reason) == kind


def test_the_header_says_what_is_audited():
    prompts = tuple(
        AuditPrompt(prompt_id=str(i), text="t", group_id=str(i // 2), duplication_count=2) for i in range(4)
    )
    line = header_line(Settings(), PromptSet(prompts=prompts, frame=Frame(description="the frame", size=9)))
    assert line == (
        "memex: specimen:deduplicated, 4 prompts in 2 groups (the frame), protocol default, "
        "limit 1 % at 95 % confidence"
    )


def test_the_header_says_uncalibrated(result):
    default = replace(result.calibration, source="default")
    assert header_line(Settings(), None, default).endswith(", uncalibrated")
    assert "uncalibrated" not in header_line(Settings(), None, result.calibration)
