"""`memex runs`, `show`, `compare` and `bless`, on a ledger of two checkpoints."""

import json
import re
from dataclasses import replace

import pytest
from click.testing import CliRunner

from memex_audit.cli import main
from memex_audit.ledger import Ledger
from memex_audit.rates.extraction_rate import extraction_rate
from memex_audit.rates.paired import difference_interval
from memex_audit.records import AuditResult, Finding, Frame, Protocol, Provenance, RunVerdict, Verdict
from memex_audit.reporting.json_report import write_json

PROTOCOL = Protocol(name="default", looks=(4, 16), clique_size=4, edge_delta=0.05, match_delta=0.1)
PROVENANCE = Provenance(
    memex_version="0.1.0", started="2026-01-01T00:00:00+00:00", model="/models/checkpoint-1",
    model_fingerprint="a" * 64, settings={"steps": 10}, settings_digest="d" * 16, training_set="images",
    training_set_fingerprint="t" * 64, embedder="e", device="cpu", seed=0, versions={}, store="/s",
    prompt_set="p" * 16,
)  # fmt: skip


def finding(number: int, extracted: bool) -> Finding:
    return Finding(
        prompt_id=f"{number:012x}", prompt=f"a red cat {number}", duplication_count=3, group_id=f"g{number}",
        verdict=Verdict.EXTRACTED if extracted else Verdict.NOT_FLAGGED, near_miss=False, generations=4,
        set_aside=0, network_evaluations=80, clique_size=4 * extracted, clique_seeds=(),
        replicas=4 * extracted, replica_seeds=(), blind_spot=0.7, match=None,
    )  # fmt: skip


def run_of(model: str, extracted: int, n: int = 20, **provenance) -> AuditResult:
    findings = tuple(finding(number, number < extracted) for number in range(n))
    rate = extraction_rate(
        findings, Frame(description="all", size=n), limit=0.3, confidence=0.95, blind_spot=0.7
    )
    return AuditResult(
        verdict=RunVerdict.PASS if extracted < 3 else RunVerdict.FAIL, rate=rate, protocol=PROTOCOL,
        calibration=None, findings=findings, set_aside=(), controls=(),
        provenance=replace(PROVENANCE, model=f"/models/{model}", model_fingerprint=model * 4, **provenance),
    )  # fmt: skip


@pytest.fixture
def memex(tmp_path, monkeypatch):
    """Run a command in a folder below a project with two checkpoints in its ledger."""
    (tmp_path / ".memex").mkdir()
    ledger = Ledger(tmp_path / ".memex")
    ledger.record_run(run_of("checkpoint-1", 1), created="2026-02-02")
    ledger.record_run(run_of("checkpoint-2", 7), created="2026-01-01")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")

    def call(*words: str) -> str:
        done = CliRunner().invoke(main, list(words))
        assert done.exit_code == 0, done.output
        return done.stdout

    call.ledger = ledger
    return call


def refused(*words: str) -> str:
    done = CliRunner().invoke(main, list(words))
    assert done.exit_code == 1, done.output
    assert done.output.startswith("Error: ")
    assert done.output.count("\n") == 1
    return done.output


def test_runs_lists_them_oldest_first_with_their_rates(memex):
    listed = json.loads(memex("runs", "--json"))
    assert [set(run) for run in listed] == [{"id", "model", "created", "verdict", "rate"}] * 2
    assert [(run["model"], run["created"], run["verdict"], run["rate"]) for run in listed] == [
        ("/models/checkpoint-1", "2026-02-02", "pass", 0.05),
        ("/models/checkpoint-2", "2026-01-01", "fail", 0.35),
    ]
    first, second = memex("runs").splitlines()[1:]
    assert re.search(r"pass +5 % +/models/checkpoint-1$", first)
    assert re.search(r"fail +35 % +/models/checkpoint-2$", second)


def test_without_a_run_there_is_nothing_to_list_and_that_is_said(tmp_path):
    done = CliRunner().invoke(main, ["runs", "--store", str(tmp_path)])
    assert done.exit_code == 0
    assert done.output.startswith("no run yet in ")
    assert CliRunner().invoke(main, ["runs", "--json", "--store", str(tmp_path)]).output == "[]\n"


def test_the_store_that_a_project_names_is_found(tmp_path, monkeypatch):
    (tmp_path / "pytest.ini").write_text("[pytest]\nmemex_store = elsewhere\n")
    (tmp_path / "elsewhere").mkdir()
    Ledger(tmp_path / "elsewhere").record_run(run_of("checkpoint-9", 0))
    monkeypatch.chdir(tmp_path)
    assert "checkpoint-9" in CliRunner().invoke(main, ["runs"]).output


def test_show_prints_a_run_as_it_ended_and_its_json(memex):
    shown = memex("show", "latest")
    assert "memex: FAIL" in shown
    assert '"a red cat 0"' in shown
    whole = json.loads(memex("show", "latest~1", "--json"))
    assert (whole["verdict"], len(whole["findings"])) == ("pass", 20)
    assert "red cat" not in memex("show", "latest", "--redact", "captions")
    assert "red cat" not in memex("show", "latest", "--json", "--redact", "captions")


def test_compare_says_what_is_newly_extracted_how_sure_and_what_next(memex):
    said = memex("compare", "latest~1", "latest")
    claim, evidence, sure, following = said.splitlines()
    assert claim == (
        "Regression, checkpoint-2 against checkpoint-1: 6 prompts newly extracted; the extraction rate is "
        "higher."
    )
    lower, upper = (f"{100 * bound:+.2f}".rstrip("0") for bound in difference_interval(6, 0, 20, 0.95))
    assert evidence.startswith(
        "Evidence: 7 of 20 prompt groups extracted, 1 before; 6 newly and 0 no longer, a difference of +30 "
        f"points ({lower} to {upper}, 95 % confidence); newly extracted: "
        '"a red cat 1": 0 of 4 generations agreed, now 4 of 4, "a red cat 2": '
    )
    assert sure.startswith(
        "How sure: McNemar's exact test on groups: p = 0.031 two-sided, 0.016 for a higher"
    )
    assert following.startswith("Next: look at the pictures")


def test_compare_the_other_way_round_is_no_regression(memex):
    assert memex("compare", "latest", "latest~1").startswith(
        "No regression beyond chance, checkpoint-1 against"
    )
    assert memex("compare", "latest", "latest").startswith("No change, ")


def test_compare_gives_json_and_redacts(memex):
    found = json.loads(memex("compare", "latest~1", "latest", "--json"))
    assert (found["newly"], found["no_longer"], found["pairs"], found["regressed"]) == (6, 0, 20, True)
    assert found["changes"][0]["prompt"] == "a red cat 1"
    assert "red cat" not in memex("compare", "latest~1", "latest", "--json", "--redact", "captions")
    assert "red cat" not in memex("compare", "latest~1", "latest", "--redact", "captions")


def test_compare_takes_results_and_baselines_in_files(memex, tmp_path):
    write_json(tmp_path / "result.json", run_of("checkpoint-1", 1))
    memex("bless", "latest~1", "--out", str(tmp_path / "baseline.json"))
    whole = memex("compare", "latest~1", "latest")
    assert memex("compare", str(tmp_path / "result.json"), "latest") == whole
    assert memex("compare", str(tmp_path / "baseline.json"), "latest") == whole


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 3, "settings_digest": "e" * 16}, "got root seeds 0 and 3"),
        (
            {"settings": {"steps": 20}, "settings_digest": "e" * 16},
            "other sampler settings (steps: 10 and 20)",
        ),
        ({"training_set_fingerprint": None}, "got one with a training set and one without"),
    ],
)
def test_runs_that_cannot_be_paired_are_refused_with_the_reason(memex, changes, said):
    memex.ledger.record_run(run_of("checkpoint-3", 0, **changes))
    assert said in refused("compare", "latest~1", "latest")


def test_another_protocol_is_refused_and_other_thresholds_are_said(memex):
    memex.ledger.record_run(replace(run_of("checkpoint-3", 0), protocol=replace(PROTOCOL, edge_delta=0.07)))
    said = memex("compare", "latest~1", "latest")
    assert "Note: other thresholds (edge delta 0.05 and 0.07): what changed may be theirs" in said
    memex.ledger.record_run(replace(run_of("checkpoint-3", 0), protocol=replace(PROTOCOL, looks=(500,))))
    assert "got the protocols default (4 then 16 generations" in refused("compare", "latest~2", "latest")


def test_prompts_that_only_one_run_has_are_left_out_and_counted(memex):
    memex.ledger.record_run(run_of("checkpoint-3", 1, n=12))
    said = memex("compare", "latest~1", "latest")
    assert "1 of 12 prompt groups extracted, 7 before" in said
    assert "Note: 8 prompts of the earlier audit are not in the later one." in said


def test_bless_writes_beside_the_store_and_refuses_a_part_of_a_run(memex, tmp_path):
    assert "checkpoint-1, 20 prompts, 1 extracted" in memex("bless", "latest~1")
    baseline = json.loads((tmp_path / "audits" / "baselines" / "checkpoint-1.json").read_text())
    assert baseline["model"] == "checkpoint-1"
    assert baseline["prompts"][0] == {
        "prompt_id": "000000000000", "group_id": "g0", "verdict": "extracted", "generations": 4,
        "clique_size": 4, "replicas": 4, "images": [],
    }  # fmt: skip
    memex.ledger.record_run(replace(run_of("checkpoint-3", 0), verdict=RunVerdict.INCOMPLETE))
    assert "a baseline must be of a whole run, got one that is incomplete" in refused("bless", "latest")


def test_plots_hold_a_point_a_run_that_is_like_the_latest(memex, tmp_path):
    memex.ledger.record_run(run_of("checkpoint-3", 9))
    memex.ledger.record_run(run_of("other-prompts", 9, prompt_set="q" * 16))
    memex.ledger.record_run(run_of("checkpoint-4", 9))
    plot = tmp_path / "runs.svg"
    done = CliRunner().invoke(main, ["runs", "--plot", str(plot)])
    assert "(1 runs left out: other prompts or settings, or no rate)" in done.output
    text = plot.read_text()
    assert [name in text for name in ("checkpoint-1<", "checkpoint-4<", "other-prompts")] == [
        True,
        True,
        False,
    ]
    assert "limit 30 %" in text
    memex("compare", "latest~1", "latest", "--plot", str(tmp_path / "pair.svg"))
    assert "9 of 20" in (tmp_path / "pair.svg").read_text()


def test_a_plot_of_no_rate_and_one_that_cannot_be_written_are_refused(memex, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "got none in" in refused("runs", "--plot", "x.svg", "--store", str(tmp_path / "empty"))
    (tmp_path / "below" / "folder").write_text("")
    assert "must be writable" in refused("runs", "--plot", "folder/x.svg")
