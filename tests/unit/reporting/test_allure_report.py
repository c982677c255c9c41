from dataclasses import replace
from types import SimpleNamespace

import allure
import pytest

from memex_audit.records import Verdict
from memex_audit.reporting.allure_report import (
    EvidenceBudget,
    attach_finding,
    attach_rate,
    attach_to_report,
    describe_case,
    paragraphs,
)


@pytest.fixture
def case(monkeypatch):
    """A running test as Allure sees it: what was said of it, and what was attached."""
    seen = SimpleNamespace(attached=[], globally=[], labels=[], parameters={}, title=None, description=None)
    dynamic = {
        "label": lambda kind, *values: seen.labels.extend((str(kind), value) for value in values),
        "tag": lambda *values: seen.labels.extend(("tag", value) for value in values),
        "severity": lambda value: seen.labels.append(("severity", value.value)),
        "parent_suite": lambda value: seen.labels.append(("parentSuite", value)),
        "title": lambda value: setattr(seen, "title", value),
        "description_html": lambda value: setattr(seen, "description", value),
        "parameter": lambda name, value, excluded: seen.parameters.update({name: (value, excluded)}),
    }
    for name, function in dynamic.items():
        monkeypatch.setattr(allure.dynamic, name, function)
    for name, kept in (("attach", seen.attached), ("global_attach", seen.globally)):
        monkeypatch.setattr(
            allure, name, lambda body, name, kind, kept=kept: kept.append((name, body, kind.extension))
        )
    return seen


def test_the_evidence_is_attached_as_a_mosaic_and_its_text_stands_in_the_description(case, finding):
    assert attach_finding(finding, b"jpeg", "Claim.\nNext: look.", EvidenceBudget(100))
    assert case.attached == [("evidence (mosaic)", b"jpeg", "jpg")]
    assert case.description == "<p>Claim.</p>\n<p><b>Next:</b> look.</p>"
    assert case.labels == [("tag", "extracted")]


def test_where_the_failure_says_it_the_description_does_not(case, finding):
    attach_finding(finding, b"jpeg", None, EvidenceBudget(100))
    assert case.description is None


def test_a_near_miss_is_tagged_and_filed_before_what_was_extracted(case, near_miss, finding):
    near = replace(near_miss, nearest=0.09)
    attach_finding(near, b"jpeg", "text", EvidenceBudget(100))
    describe_case(near, redact=False)
    assert ("tag", "near miss") in case.labels
    assert ("severity", "critical") in case.labels
    (missed,) = [value for name, value in case.labels if name == "parentSuite"]
    case.labels.clear()
    describe_case(finding, redact=False)
    assert ("severity", "blocker") in case.labels
    (extracted,) = [value for name, value in case.labels if name == "parentSuite"]
    assert missed < extracted


def test_suites_sort_what_must_be_seen_before_what_gave_nothing_back(case, finding):
    kinds = [
        replace(finding, near_miss=True, verdict=Verdict.NOT_FLAGGED),
        finding,
        *(replace(finding, verdict=v) for v in (Verdict.FLAGGED, Verdict.UNDECIDED, Verdict.NOT_FLAGGED)),
    ]
    for kind in kinds:
        describe_case(kind, redact=False)
    suites = [value for name, value in case.labels if name == "parentSuite"]
    assert suites == sorted(suites)
    assert len(set(suites)) == 5


def test_a_case_is_named_by_its_prompt_and_its_figures_do_not_enter_its_history(case, finding):
    describe_case(finding, redact=False)
    assert case.title == (
        '"Zebra portrait by Jane Roe": 9 of 16 generations near a training image, nearest l2 0.031, '
        "64 near-copies"
    )
    assert case.parameters == {
        "near-copies": (64, True),
        "generations": (16, True),
        "replicas": (9, True),
        "nearest l2": (0.0312, True),
    }


def test_a_case_without_a_distance_shows_none(case, finding):
    describe_case(replace(finding, nearest=None), redact=False)
    assert "nearest l2" not in case.parameters


def test_a_redacted_case_is_named_by_its_id(case, finding):
    describe_case(finding, redact=True)
    assert case.title.startswith("prompt 0123456789ab: ")
    assert "zebra" not in str(case).lower()


def test_a_sheet_beyond_the_budget_is_left_out_and_a_line_says_so(case, finding):
    budget = EvidenceBudget(2500)
    sheets = [b"x" * 1000, b"x" * 1000, b"x" * 1000, b"x" * 400]
    assert [attach_finding(finding, sheet, "t", budget) for sheet in sheets] == [True, True, False, True]
    assert [name for name, _, _ in case.attached] == [
        "evidence (mosaic)", "evidence (mosaic)", "evidence (left out)", "evidence (mosaic)",
    ]  # fmt: skip
    assert "--memex-evidence-mb" in case.attached[2][1]


def test_the_rate_case_has_both_figures_and_says_the_rate(case, rate, finding, result):
    attach_rate(rate, [finding], result.protocol, count_flagged=False)
    assert [(name, kind) for name, _, kind in case.attached] == [
        ("distances to training images", "svg"),
        ("extraction rate by near-copies", "svg"),
    ]
    assert "match delta 0.15" in case.attached[0][1]
    assert "1 of 320 prompt groups extracted" in case.description


def test_the_report_as_a_whole_says_the_verdict_the_rate_and_every_note(case, result):
    attach_to_report(replace(result, notes=("2 evidence sheets were dropped",)), confidence=0.95)
    name, said, _ = case.globally[0]
    assert name == "verdict"
    assert said.startswith("FAIL: 1 prompt gives a training image back")
    assert said.endswith("\nNote: 2 evidence sheets were dropped")
    assert [kind for _, _, kind in case.globally] == ["txt", "svg", "svg"]


def test_a_run_that_came_nowhere_has_no_figure(case, result):
    attach_to_report(replace(result, rate=None, protocol=None, findings=()), confidence=0.95)
    assert [name for name, _, _ in case.globally] == ["verdict"]


def test_no_text_is_markup_and_a_command_is_set_apart():
    text = "It draws <b>\"x\"</b> & more.\nHow sure: a < b.\nRepeat: pytest 'a[<i>]'"
    assert paragraphs(text) == (
        "<p>It draws &lt;b&gt;&quot;x&quot;&lt;/b&gt; &amp; more.</p>\n"
        "<p><b>How sure:</b> a &lt; b.</p>\n"
        "<p>Repeat:</p><pre>pytest &#x27;a[&lt;i&gt;]&#x27;</pre>"
    )
