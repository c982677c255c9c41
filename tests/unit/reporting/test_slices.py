"""Slices of an audit in the terminal, on the Markdown page and in the JSON."""

import json
from dataclasses import replace

import jsonschema
import pytest
from markdown_it import MarkdownIt

from memex_audit.explain_slices import explain_slices, slices_of
from memex_audit.records import Verdict
from memex_audit.reporting.json_report import SCHEMA_FILE, read_result, result_to_json, write_json
from memex_audit.reporting.markdown_report import report_page
from memex_audit.reporting.terminal import write_summary


class Screen:
    def __init__(self):
        self.text = ""

    def write(self, content, **markup):
        self.text += content

    def write_sep(self, sep, title, **markup):
        self.text += title


@pytest.fixture
def sliced(result, finding):
    """Logos come back in 6 of 10 groups, faces in none of 40."""
    clean = replace(finding, verdict=Verdict.NOT_FLAGGED, match=None, replicas=0)
    logos = [
        replace(finding if number < 6 else clean, group_id=f"l{number}", slice="logos | ads")
        for number in range(10)
    ]
    faces = [replace(clean, group_id=f"f{number}", slice="faces") for number in range(40)]
    return replace(result, findings=(*logos, *faces))


def shown(result, **options):
    screen = Screen()
    write_summary(screen, result, width=110, **options)
    return screen.text


def test_the_terminal_says_which_slice_stands_out(sliced):
    text = " ".join(shown(sliced).split())
    assert 'slices "logos | ads" stands out, with more extracted than the rest (false discovery' in text
    assert "logos | ads 6 of 10 60 % 26 % to 88 %" in text
    assert "faces 0 of 40 0 % 0 % to 8.8 %" in text


def test_a_run_without_slices_says_nothing_of_them(result):
    assert "slices" not in shown(result)
    assert "Slices" not in report_page(result, json_name="r.json", json_sha256="0" * 64)
    assert "slices" not in result_to_json(result)


def test_a_brief_summary_has_no_table_of_slices(sliced):
    assert "logos" not in shown(sliced, brief=True)


def test_slices_alike_do_not_stand_out(sliced):
    none = replace(
        sliced, findings=tuple(replace(f, verdict=Verdict.NOT_FLAGGED, match=None) for f in sliced.findings)
    )
    assert explain_slices(slices_of(none), 0.95).startswith("none of 2 slices stands out from the rest")


def test_the_page_has_a_table_of_slices_that_a_name_cannot_break(sliced):
    page = report_page(sliced, json_name="r.json", json_sha256="0" * 64)
    html = MarkdownIt().enable("table").render(page)
    assert "<h2>Slices</h2>" in html
    rows = html[html.index("<h2>Slices</h2>") :].split("<tr>")[1:4]
    assert [row.count("<td>") for row in rows] == [0, 7, 7]
    assert "<code>logos | ads</code>" in rows[1]


def test_the_json_has_slices_that_the_schema_accepts_and_comes_back(sliced, tmp_path):
    data = result_to_json(sliced)
    schema = json.loads(SCHEMA_FILE.read_text())
    part = {"$defs": schema["$defs"], **schema["properties"]["slices"]}
    jsonschema.validate(data["slices"], part)
    assert [(entry["name"], entry["extracted"]) for entry in data["slices"]] == [
        ("logos | ads", 6),
        ("faces", 0),
    ]
    assert data["findings"][0]["slice"] == "logos | ads"
    write_json(tmp_path / "r.json", sliced)
    assert slices_of(read_result(tmp_path / "r.json")) == slices_of(sliced)
