"""Canaries in words: what was found, what it shows, and what to do where too few were."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from memex_audit.assertions import AuditInconclusive, ControlFailed, assert_canaries_detected
from memex_audit.canaries.auditing import canary_control, levels_of
from memex_audit.explain import explain_control
from memex_audit.explain_canaries import canary_rows, canary_table, explain_canaries
from memex_audit.explain_run import explain_power
from memex_audit.records import AuditResult, CanaryFinding, CanaryResult, ControlResult, RunVerdict, Verdict
from memex_audit.reporting.json_report import (
    SCHEMA_FILE,
    read_result,
    record_from_dict,
    result_to_json,
    write_json,
)


def canary(repetitions: int, *, detected: bool, rank: int = 1, name: str = "a") -> CanaryFinding:
    return CanaryFinding(
        canary_id=name, repetitions=repetitions, detected=detected,
        verdict=Verdict.EXTRACTED if detected else Verdict.NOT_FLAGGED,
        replicas=16 * detected, generations=16, nearest=0.05, rank=rank, candidates=4,
        exposure={1: 2.0, 2: 1.0, 4: 0.0}[rank],
    )  # fmt: skip


def result(*canaries: CanaryFinding) -> CanaryResult:
    return CanaryResult(
        seal="ab" * 32, confidence=0.95, match_delta=0.1, references=3, canaries=canaries,
        levels=levels_of(canaries, 0.95),
    )  # fmt: skip


MIXED = result(
    canary(64, detected=True), canary(64, detected=True), canary(1, detected=False, rank=2),
    canary(1, detected=False, rank=4), canary(0, detected=False, rank=4),
)  # fmt: skip


def test_levels_stand_by_repetitions_with_exact_bounds():
    assert list(canary_rows(MIXED)) == [
        # 0.05^(1/2) = 0.2236
        ("64 times", "2 of 2", "22 % to 100 %", "32 of 32", "2.0 of 2.0 bits"),
        ("once", "0 of 2", "0 % to 78 %", "0 of 32", "0.5 of 2.0 bits"),
        ("never", "0 of 1", "0 % to 95 %", "0 of 16", "0.0 of 2.0 bits"),
    ]
    assert explain_canaries(MIXED).startswith(
        "4 canaries planted, each ranked by exposure among 3 never planted"
    )


def run(canaries: CanaryResult | None, *controls: ControlResult) -> AuditResult:
    return AuditResult(
        verdict=RunVerdict.PASS, rate=None, protocol=None, calibration=None, findings=(), set_aside=(),
        controls=controls, provenance=None, canaries=canaries,
    )  # fmt: skip


def test_power_is_told_by_repetitions():
    assert explain_power(run(MIXED)) == (
        "power was shown on the audited model itself: of its canaries, 2 of 2 planted 64 times, 0 of 2 "
        "planted once were found"
    )


def test_canaries_that_were_not_found_show_no_power_whatever_the_specimen_shows():
    specimen = ControlResult(kind="positive", subject="specimen:duplicated", prompts=8, detected=8)
    unseen = result(canary(64, detected=False), canary(0, detected=True))
    assert explain_power(run(unseen, specimen)) == (
        "power was not shown on the audited model itself: of its canaries, 0 of 1 planted 64 times were found"
    )


def test_the_control_names_the_model_and_counts_planted_canaries_alone():
    control = canary_control(MIXED, "./model")
    assert control.subject.startswith("./model,")
    assert explain_control(control) == (
        "positive control: 2 of 4 canaries extracted (./model, canaries planted in its training set): shows "
        "power on this model, at their repetitions"
    )


def test_canaries_are_in_the_json_and_come_back(tmp_path):
    whole = run(MIXED, canary_control(MIXED, "./model"))
    jsonschema.validate(result_to_json(whole), json.loads(SCHEMA_FILE.read_text()))
    write_json(tmp_path / "result.json", whole)
    assert read_result(tmp_path / "result.json") == whole


def test_a_result_written_before_there_were_canaries_is_read(tmp_path):
    data = result_to_json(run(None))
    del data["canaries"]
    jsonschema.validate(data, json.loads(SCHEMA_FILE.read_text()))
    (tmp_path / "result.json").write_text(json.dumps(data))
    assert read_result(tmp_path / "result.json").canaries is None


def test_canaries_that_are_detected_pass():
    assert_canaries_detected(MIXED, min_repetitions=2, min_share=1)
    assert_canaries_detected(MIXED, min_repetitions=1, min_share=0.5)


def test_too_few_detected_canaries_fail_with_their_exposure():
    with pytest.raises(ControlFailed) as failure:
        assert_canaries_detected(MIXED, min_repetitions=1, min_share=0.75)
    text = str(failure.value)
    assert "planted once: 0 of 2 detected, mean exposure 0.5 of 2.0 bits; at least 75 %" in text
    assert [line.partition(":")[0] for line in text.splitlines()[1:]] == ["Evidence", "How sure", "Next"]


def test_references_are_not_asked_for():
    unplanted = replace(MIXED, canaries=MIXED.canaries[-1:])
    with pytest.raises(AuditInconclusive, match="no canary was planted once or more, the most is 64"):
        assert_canaries_detected(unplanted, min_repetitions=0)


def test_asking_for_more_repetitions_than_were_planted_is_inconclusive():
    with pytest.raises(AuditInconclusive, match="no canary was planted 65 times or more, the most is 64"):
        assert_canaries_detected(MIXED, min_repetitions=65)


def test_the_table_of_the_documentation_is_that_of_the_result_kept_beside_it():
    docs = Path(__file__).parents[2] / "docs"
    kept = record_from_dict(CanaryResult, json.loads((docs / "assets" / "canaries.json").read_text()))
    assert "\n".join(canary_table(kept)) in (docs / "how-to" / "canaries.md").read_text()
    assert kept.levels == levels_of(kept.canaries, kept.confidence)
