import json
import re
from dataclasses import replace

import allure
import pytest

from memex_audit.records import RunVerdict
from memex_audit.reporting.allure_report import attach_finding, write_categories, write_environment


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


def test_the_environment_says_the_verdict_and_what_it_was_reached_with(tmp_path, provenance):
    write_environment(tmp_path / "allure", provenance, RunVerdict.FAIL)
    entries = read_properties(tmp_path / "allure" / "environment.properties")
    assert entries["verdict"] == "fail"
    assert entries["model"] == "specimen:duplicated"
    assert entries["settings.steps"] == "20"
    assert entries["versions.torch"] == "2.14.1"
    assert "embedder" not in entries


@pytest.mark.parametrize("value", ["a\nverdict = pass", "C:\\models\\x", "caf\u00e9", "end\\", "a\r\u2028b"])
def test_no_value_can_end_its_line(tmp_path, provenance, value):
    write_environment(tmp_path, replace(provenance, model=value), RunVerdict.FAIL)
    entries = read_properties(tmp_path / "environment.properties")
    assert entries["model"] == value
    assert entries["verdict"] == "fail"


def test_no_key_can_begin_another_entry(tmp_path, provenance):
    write_environment(tmp_path, replace(provenance, versions={"a = b\nc:d": "1"}), RunVerdict.PASS)
    assert read_properties(tmp_path / "environment.properties")["versions.a = b\nc:d"] == "1"


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("replica extracted", "failed", "memex_audit.assertions.ReplicaExtracted: The model\ngives back"),
        ("rate over the limit", "failed", "memex_audit.assertions.RateExceeded: over\nit"),
        ("inconclusive", "failed", "memex_audit.assertions.AuditInconclusive: un\ndecided"),
        ("audit broken", "broken", None),
    ],
)
def test_each_ending_has_its_category(tmp_path, name, status, message):
    write_categories(tmp_path)
    categories = {entry["name"]: entry for entry in json.loads((tmp_path / "categories.json").read_text())}
    assert categories[name]["matchedStatuses"] == [status]
    if message:
        matching = [n for n, c in categories.items() if re.fullmatch(c.get("messageRegex", "(?!)"), message)]
        assert matching == [name]


def test_the_evidence_is_attached_as_a_mosaic_beside_its_text(monkeypatch, finding):
    attached = []
    monkeypatch.setattr(
        allure, "attach", lambda body, name, kind: attached.append((name, body, kind.extension))
    )
    attach_finding(finding, b"jpeg", "text")
    attach_finding(finding, None, "only text")
    assert [entry[0] for entry in attached] == ["finding", "evidence (mosaic)", "finding"]
    assert attached[1] == ("evidence (mosaic)", b"jpeg", "jpg")
