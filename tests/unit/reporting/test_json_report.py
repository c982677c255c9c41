import json
import math
import tempfile
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memex_audit.errors import ReportError
from memex_audit.records import (
    AuditResult,
    Calibration,
    ControlResult,
    Finding,
    Match,
    MatchKind,
    Protocol,
    Provenance,
    Rate,
    RunVerdict,
    SetAside,
    Trigger,
    Verdict,
)
from memex_audit.reporting.json_report import (
    SCHEMA_FILE,
    read_result,
    record_from_dict,
    record_to_dict,
    result_to_bytes,
    result_to_json,
    write_json,
)

unhurried = settings(deadline=None, max_examples=40)
SCHEMA = json.loads(SCHEMA_FILE.read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

counts = st.integers(0, 2**40)
shares = st.floats(0, 1)
texts = st.text(max_size=20)
matches = st.builds(
    Match, example_id=texts, distance=st.floats(0, 1), kind=st.sampled_from(MatchKind), k=counts
)
seeds = st.lists(st.integers(0, 2**63 - 1), max_size=3).map(tuple)
triggers = st.builds(
    Trigger, prompt_id=texts, text=texts, kept=st.lists(texts, max_size=3).map(tuple), n_kept=counts,
    n_words=counts, replaced=counts, generations=counts, network_evaluations=counts, complete=st.booleans(),
)  # fmt: skip
findings = st.builds(
    Finding, prompt_id=texts, prompt=texts, duplication_count=counts, group_id=texts,
    verdict=st.sampled_from(Verdict), near_miss=st.booleans(), generations=counts, set_aside=counts,
    network_evaluations=counts, clique_size=counts, clique_seeds=seeds, replicas=counts, replica_seeds=seeds,
    blind_spot=shares, match=st.none() | matches, nearest=st.none() | shares, trigger=st.none() | triggers,
)  # fmt: skip
rates = st.builds(
    Rate, extracted=counts, flagged=counts, undecided=counts, near_misses=counts, prompts=counts,
    groups=counts, extracted_groups=counts, undecided_groups=counts, generations=counts, replicas=counts,
    lower=shares, upper=shares, confidence=shares, limit=shares, frame=texts, frame_size=st.none() | counts,
    method=texts, blind_spot=shares,
)  # fmt: skip
calibrations = st.builds(
    Calibration, source=st.sampled_from(["calibrated", "given", "default"]), edge_delta=shares,
    match_delta=shares, clique_size=counts, protocol=texts, negatives=counts, flagged=counts, upper=shares,
    model_fingerprint=st.none() | texts, settings_digest=st.none() | texts,
)  # fmt: skip
protocols = st.builds(
    Protocol, name=texts, looks=st.lists(counts, min_size=1, max_size=3).map(tuple), clique_size=counts,
    edge_delta=shares, match_delta=shares,
)  # fmt: skip
provenances = st.builds(
    Provenance, memex_version=texts, started=texts, model=texts, model_fingerprint=texts,
    settings=st.dictionaries(texts, st.none() | texts | counts | st.floats() | st.tuples(counts, counts)),
    settings_digest=texts, training_set=st.none() | texts, training_set_fingerprint=st.none() | texts,
    embedder=st.none() | texts, device=texts, seed=st.integers(), versions=st.dictionaries(texts, texts),
    store=texts,
)  # fmt: skip
results = st.builds(
    AuditResult, verdict=st.sampled_from(RunVerdict), rate=st.none() | rates,
    protocol=st.none() | protocols,
    calibration=st.none() | calibrations, findings=st.lists(findings, max_size=3).map(tuple),
    set_aside=st.lists(st.builds(SetAside, what=texts, reason=texts), max_size=3).map(tuple),
    controls=st.lists(
        st.builds(ControlResult, kind=st.sampled_from(["positive", "negative"]), subject=texts,
                  prompts=counts, detected=counts), max_size=2).map(tuple),
    provenance=st.none() | provenances, notes=st.lists(texts, max_size=2).map(tuple),
)  # fmt: skip


def test_the_schema_is_itself_valid():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@unhurried
@given(results, st.booleans())
def test_every_result_becomes_json_that_the_schema_accepts(result, redact):
    text = json.dumps(result_to_json(result, redact=redact), allow_nan=False)
    VALIDATOR.validate(json.loads(text))


@unhurried
@given(findings)
def test_a_finding_comes_back_exactly(finding):
    again = record_from_dict(Finding, json.loads(json.dumps(record_to_dict(finding))))
    assert again == finding
    assert type(again.verdict) is Verdict
    assert type(again.clique_seeds) is tuple


@unhurried
@given(rates)
def test_a_rate_comes_back_exactly(rate):
    assert record_from_dict(Rate, json.loads(json.dumps(record_to_dict(rate)))) == rate


@unhurried
@given(results)
def test_a_whole_result_comes_back_but_for_the_tuples_of_its_settings(result):
    result = replace(result, provenance=None)
    assert record_from_dict(AuditResult, record_to_dict(result)) == result


def test_a_record_becomes_exact_builtin_types_that_xdist_can_carry(finding):
    data = record_to_dict(replace(finding, blind_spot=np.float64(0.5), replicas=np.int64(3), slice="logos"))
    del data["trigger"], data["screen"]  # None: no words were looked for, and nothing screened
    assert {type(value) for value in data.values()} <= {str, int, float, bool, list, dict}
    assert data["blind_spot"] == 0.5
    assert type(data["verdict"]) is str


@pytest.mark.parametrize(
    ("at", "name", "value"),
    [
        ("rate", "surprise", 1),
        ("rate", "upper", 1.5),
        ("rate", "groups", -1),
        ("calibration", "source", "guessed"),
        ("set_aside", "total", "three"),
        ("provenance", "seed", None),
    ],
)
def test_the_schema_refuses_what_a_report_may_not_hold(result, at, name, value):
    data = result_to_json(result)
    VALIDATOR.validate(data)
    data[at][name] = value
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(data)


def test_the_schema_refuses_a_finding_with_more_or_less_than_it_should_have(result):
    data = result_to_json(result)
    data["findings"][0]["pixels"] = [0]
    assert not VALIDATOR.is_valid(data)
    data = result_to_json(result)
    del data["findings"][0]["verdict"]
    assert not VALIDATOR.is_valid(data)


def test_the_report_holds_the_finding_as_it_is(result):
    data = result_to_json(result)
    assert data["findings"][0]["prompt"] == "Zebra portrait by Jane Roe"
    assert data["findings"][0]["match"] == {
        "example_id": "zebra-portrait-by-jane-roe.png", "distance": 0.03125, "kind": "matching", "k": 64,
        "alteration": "", "cosine": None, "sscd": None,
    }  # fmt: skip
    assert data["rate"]["extracted_groups"] == 1
    assert data["set_aside"]["by_reason"] == {"empty caption": 1}
    assert data["set_aside"]["generations"] == 2


def test_a_redacted_report_holds_neither_caption_nor_example_id(result):
    text = json.dumps(result_to_json(result, redact=True)).lower()
    assert "zebra" not in text
    assert "jane" not in text
    (shown,) = result_to_json(result, redact=True)["findings"]
    # echo -n zebra-portrait-by-jane-roe.png | sha256sum
    assert (shown["prompt"], shown["match"]["example_id"]) == (None, "d1d7af573f9d")


def test_a_file_is_written_whole_and_nothing_else_is_left(tmp_path, result):
    path = tmp_path / "new" / "report.json"
    write_json(path, result)
    write_json(path, result)
    assert json.loads(path.read_text()) == result_to_json(result)
    assert [entry.name for entry in path.parent.iterdir()] == ["report.json"]


def test_a_write_that_fails_keeps_the_old_report(tmp_path, result):
    path = tmp_path / "report.json"
    path.write_text("old")
    broken = replace(result, rate=replace(result.rate, upper=math.nan))
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, broken)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_an_infinite_setting_and_a_lone_surrogate_do_not_lose_the_report(tmp_path, result):
    path = tmp_path / "report.json"
    provenance = replace(result.provenance, settings={"guidance": math.inf})
    findings_ = (replace(result.findings[0], prompt="a\udcff"),)
    write_json(path, replace(result, provenance=provenance, findings=findings_))
    data = json.loads(path.read_text(encoding="utf-8"))
    assert data["provenance"]["settings"] == {"guidance": "inf"}
    assert data["findings"][0]["prompt"] == "a\udcff"


def written(tmp_path, result, redact=False):
    write_json(tmp_path / "result.json", result, redact=redact)
    return tmp_path / "result.json"


def test_a_written_result_is_read_again_but_for_its_seeds(tmp_path, result):
    bare = replace(result.findings[0], clique_seeds=(), replica_seeds=())
    settings = {**result.provenance.settings, "size": [64, 64]}
    expected = replace(result, findings=(bare,), provenance=replace(result.provenance, settings=settings))
    assert read_result(written(tmp_path, result)) == expected


def test_a_redacted_result_is_read_with_empty_prompts(tmp_path, result):
    (read,) = read_result(written(tmp_path, result, redact=True)).findings
    assert read.prompt == ""
    assert read.match.example_id == "d1d7af573f9d"


@unhurried
@given(results)
def test_every_written_result_is_read_and_written_the_same(result):
    data = result_to_bytes(result)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "result.json")
        path.write_bytes(data)
        assert result_to_bytes(read_result(path)) == data


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"must be JSON written by --memex-json"),
        ('{"schema": 1', r"must be JSON written by --memex-json"),
        ("[]", "must be a result of schema 1, got schema=None"),
        ('{"schema": 2}', "must be a result of schema 1, got schema=2; audit again"),
        ('{"schema": 1}', "must hold a whole result, got KeyError: 'findings'"),
    ],
)
def test_what_is_no_result_is_refused_in_one_line(tmp_path, text, message):
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(ReportError, match=message):
        read_result(tmp_path / "result.json")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rate": {"upper": "0.01"}}, "float expected, got '0.01'"),
        ({"rate": {"groups": True}}, "int expected, got True"),
        ({"rate": {"surprise": 1}}, "surprise"),
        ({"provenance": {"versions": []}}, "dict expected"),
        ({"protocol": {"looks": "4"}}, "list expected"),
        ({"calibration": {"reference": 3}}, "str expected"),
    ],
)
def test_a_result_with_a_value_of_another_kind_is_refused(tmp_path, result, changed, message):
    data = result_to_json(result)
    for name, values in changed.items():
        data[name] |= values
    (tmp_path / "result.json").write_text(json.dumps(data))
    with pytest.raises(ReportError, match=message):
        read_result(tmp_path / "result.json")


def test_an_unknown_verdict_is_refused(tmp_path, result):
    data = result_to_json(result)
    data["findings"][0]["verdict"] = "fine"
    (tmp_path / "result.json").write_text(json.dumps(data))
    with pytest.raises(ReportError, match="'fine' is not a valid Verdict"):
        read_result(tmp_path / "result.json")


def test_a_result_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(ReportError, match=r"result\.json cannot be read: No such file or directory\.$"):
        read_result(tmp_path / "result.json")
