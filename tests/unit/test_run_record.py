"""The run's verdict from what its cases recorded."""

from types import SimpleNamespace

import pytest

from memex_audit.rates.extraction_rate import extraction_rate
from memex_audit.records import Finding, Frame, RunVerdict, Verdict
from memex_audit.reporting.json_report import record_to_dict
from memex_audit.run_record import RunRecord


def finding(name: str = "a", verdict: Verdict = Verdict.NOT_FLAGGED) -> Finding:
    return Finding(
        prompt_id=name, prompt=name, duplication_count=1, group_id=name, verdict=verdict, near_miss=False,
        generations=4, set_aside=0, network_evaluations=8, clique_size=0, clique_seeds=(), replicas=0,
        replica_seeds=(), blind_spot=0.75, match=None,
    )  # fmt: skip


def rate_record() -> dict:
    rate = extraction_rate(
        [finding()], Frame(description="x", size=None), limit=0.99, confidence=0.95, blind_spot=0.75
    )
    return {"kind": "rate", "record": record_to_dict(rate)}


def report(nodeid: str, ending: str, *records: dict, when: str = "call") -> SimpleNamespace:
    return SimpleNamespace(nodeid=nodeid, memex_ending=ending, memex_records=list(records), when=when)


def finish(n_cases: int, *reports: SimpleNamespace) -> RunVerdict:
    record = RunRecord()
    for one in reports:
        record.take(one)
    return record.finish(n_cases).verdict


@pytest.mark.parametrize(
    ("endings", "verdict"),
    [
        (["passed", "passed"], RunVerdict.PASS),
        (["passed", "inconclusive"], RunVerdict.INCONCLUSIVE),
        (["failed", "inconclusive"], RunVerdict.FAIL),
        (["failed", "broken"], RunVerdict.ERROR),
    ],
)
def test_the_worst_ending_decides(endings, verdict):
    reports = [report(f"case {i}", ending, rate_record()) for i, ending in enumerate(endings)]
    assert finish(len(reports), *reports) is verdict


def test_a_case_that_did_not_run_leaves_the_run_incomplete():
    assert finish(2, report("case", "passed", rate_record())) is RunVerdict.INCOMPLETE


def test_a_run_without_a_rate_is_incomplete():
    passed = report("case", "passed", {"kind": "finding", "record": record_to_dict(finding())})
    assert finish(1, passed) is RunVerdict.INCOMPLETE


def test_a_fault_in_setup_counts_and_a_setup_that_passed_does_not():
    assert finish(1, report("case", "broken", when="setup")) is RunVerdict.ERROR
    assert finish(1, report("case", "passed", when="setup")) is RunVerdict.INCOMPLETE


def test_findings_are_listed_once_most_duplicated_first():
    record = RunRecord()
    entries = [{"kind": "finding", "record": record_to_dict(finding(name))} for name in ("b", "a", "b")]
    record.take(report("case", "passed", *entries))
    assert [f.prompt_id for f in record.finish(1).findings] == ["a", "b"]


@pytest.mark.parametrize(
    ("dropped", "note"),
    [
        ([], []),
        (["a"], ["1 evidence sheet was"]),
        # A prompt that two cases ask about is one.
        (["a", "b", "a"], ["2 evidence sheets were"]),
    ],
    ids=["none", "one", "two"],
)
def test_evidence_that_was_dropped_is_counted_over_all_cases(dropped, note):
    record = RunRecord()
    for prompt_id in dropped:
        entry = {"kind": "evidence_left_out", "record": {"prompt_id": prompt_id}}
        record.take(report(f"case {prompt_id}", "passed", entry))
    rest = " dropped from the Allure report: more than --memex-evidence-mb allows."
    assert list(record.finish(1).notes) == [beginning + rest for beginning in note]
