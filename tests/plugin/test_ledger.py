"""The ledger of runs as `pytest audits/` writes it, and what becomes of one that cannot be used."""

import json
import sqlite3
from contextlib import closing

import pytest

from memex_audit import ledger_file
from memex_audit.ledger import Ledger
from memex_audit.records import RunVerdict

CLEAN = tuple(f"clean picture {i}" for i in range(8))
OPTIONS = ("--memex-prompts", "prompts.csv", "--memex-limit", "0.5")


@pytest.fixture
def ledger(project):
    project.prompts(*CLEAN)
    return Ledger(project.path / ".memex")


def result(project):
    return json.loads((project.path / "result.json").read_text())


def query(ledger, text):
    with closing(sqlite3.connect(ledger.path)) as connection:
        return connection.execute(text).fetchall()


def test_a_run_is_written_down_whole_with_what_was_judged_of_each_prompt(project, ledger):
    assert project.audit(*OPTIONS).ret == 0
    (run,) = ledger.runs()
    assert (run.model, run.verdict, run.rate) == ("none", "pass", 0.0)
    assert run.model_fingerprint == "f" * 64
    kept, reported = ledger.result(run.id), result(project)
    assert kept.verdict is RunVerdict.PASS
    assert [finding.prompt for finding in kept.findings] == [f["prompt"] for f in reported["findings"]]
    assert kept.provenance.prompt_set == reported["provenance"]["prompt_set"] == run.prompt_set
    judged = query(
        ledger, "SELECT prompt_id, generations, clique_size, replicas FROM findings ORDER BY position"
    )
    assert judged == [
        (f["prompt_id"], f["generations"], f["clique_size"], f["replicas"]) for f in reported["findings"]
    ]


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_a_run_is_written_once_however_many_workers_there_are(project, ledger, workers):
    assert project.audit(*OPTIONS, workers).ret == 0
    (run,) = ledger.runs()
    assert len(ledger.result(run.id).findings) == len(CLEAN)


def test_reruns_of_the_same_model_settings_and_prompts_are_found_and_others_are_not(project, ledger):
    for _ in range(2):
        project.audit(*OPTIONS)
    project.audit(*OPTIONS, "--memex-seed", "1")
    project.prompts(*CLEAN[:5])
    project.audit(*OPTIONS)
    first = ledger.runs()[0]
    again = ledger.runs(
        model_fingerprint=first.model_fingerprint,
        settings_digest=first.settings_digest,
        prompt_set=first.prompt_set,
    )
    assert again == ledger.runs()[:2]


def test_a_selection_of_cases_is_of_the_same_prompt_set(project, ledger):
    project.audit(*OPTIONS)
    project.audit(*OPTIONS, "-k", "picture-3")
    whole, part = ledger.runs()
    assert part.verdict == "incomplete"
    assert part.prompt_set == whole.prompt_set


def test_with_redact_captions_no_caption_is_in_the_ledger(project, ledger):
    project.captions("copied cat", *CLEAN)
    project.audit(
        "--memex-training-set", "images", "--memex-embedder", "specimen", "--memex-redact", "captions"
    )  # fmt: skip
    kept = b"".join(path.read_bytes() for path in (project.path / ".memex").glob("ledger.sqlite*"))
    assert b"extracted" in kept
    for text in (b"copied cat", b"copied-cat", b"clean picture", b"clean-picture"):
        assert text not in kept


def test_a_suite_that_asks_no_case_of_the_model_writes_no_run(project, ledger):
    (project.path / "audits" / "test_set.py").write_text(
        "def test_prompts(memex): assert memex.prompts.prompts"
    )
    project.audit("audits/test_set.py", *OPTIONS)
    assert ledger.runs() == ()
    assert not ledger.path.exists()


def noted(project):
    return " ".join(result(project)["notes"])


def test_a_locked_ledger_costs_the_run_nothing_else_and_is_said(project, ledger, monkeypatch):
    project.audit(*OPTIONS)
    monkeypatch.setattr(ledger_file, "BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(ledger.path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        run = project.audit(*OPTIONS)
        other.rollback()
    assert run.ret == 0
    assert result(project)["verdict"] == "pass"
    assert "this run is not in the ledger: the ledger" in noted(project)
    assert "is locked by another process" in noted(project)
    run.stdout.fnmatch_lines(["notes*this run is not in the ledger*"])
    assert len(ledger.runs()) == 1


def as_version_1(ledger):
    """Take back what version 2 brought."""
    with closing(sqlite3.connect(ledger.path)) as connection:
        connection.execute("DROP INDEX reruns")
        connection.execute("ALTER TABLE runs DROP COLUMN prompt_set")
        connection.execute("PRAGMA user_version = 1")
        connection.commit()


def test_a_ledger_of_an_older_version_is_brought_to_this_one_with_its_runs(project, ledger):
    project.audit(*OPTIONS)
    project.audit(*OPTIONS, "-k", "picture-3")
    whole, part = ledger.runs()
    as_version_1(ledger)
    assert project.audit(*OPTIONS).ret == 0
    first, second, third = ledger.runs()
    assert first == whole
    assert second.id == part.id
    assert second.prompt_set is None  # of a part of the prompts nobody wrote down which the others were
    assert third.prompt_set == first.prompt_set
    assert query(ledger, "PRAGMA user_version") == [(2,)]


def test_a_ledger_of_a_newer_version_is_left_alone_and_the_run_keeps_its_other_outputs(project, ledger):
    project.audit(*OPTIONS)
    query(ledger, "PRAGMA user_version = 99")
    before = ledger.path.read_bytes()
    run = project.audit(*OPTIONS)
    assert run.ret == 0
    assert result(project)["verdict"] == "pass"
    assert "must be of version 2 at most, got version=99" in noted(project)
    assert ledger.path.read_bytes() == before


@pytest.mark.parametrize("fault", ["no database", "cut short", "another program's"])
def test_a_damaged_ledger_is_kept_under_another_name_and_a_new_one_begun(project, ledger, fault):
    for _ in range(3):
        project.audit(*OPTIONS)
    damage(ledger.path, fault)
    damaged = ledger.path.read_bytes()
    run = project.audit(*OPTIONS)
    assert run.ret == 0
    (kept,) = (project.path / ".memex").glob("ledger.damaged-*.sqlite")
    assert kept.read_bytes() == damaged
    assert f"it is kept as {kept}, and a new one was begun" in noted(project)
    run.stdout.fnmatch_lines(["*the ledger was damaged*"])
    assert [run.verdict for run in ledger.runs()] == ["pass"]


def damage(path, fault):
    if fault == "no database":
        path.write_bytes(b"\x00\x01 this is no database" * 200)
    elif fault == "cut short":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.unlink()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE songs (name TEXT)")


def test_two_damaged_ledgers_are_both_kept(project, ledger):
    project.audit(*OPTIONS)
    for _ in range(2):
        damage(ledger.path, "no database")
        project.audit(*OPTIONS)
    assert len(list((project.path / ".memex").glob("ledger.damaged-*.sqlite"))) == 2


def test_a_ledger_that_is_no_file_costs_the_run_nothing_else(project, ledger):
    ledger.path.mkdir(parents=True)
    run = project.audit(*OPTIONS)
    assert run.ret == 0
    assert result(project)["verdict"] == "pass"
    assert "this run is not in the ledger" in noted(project)


def test_runs_are_in_the_order_they_ended_in_when_the_clock_jumps_back(project, ledger):
    project.audit(*OPTIONS)
    (first,) = ledger.runs()
    kept = ledger.result(first.id)
    later = [ledger.record_run(kept, created=f"{year}-01-01T00:00:00+00:00") for year in (2031, 1970, 2000)]
    assert [run.id for run in ledger.runs()] == [first.id, *later]
    assert ledger.find("latest").created.startswith("2000")
