"""The ledger: what is read back is what was written, runs by name, disks that WAL is for."""

import sqlite3
from dataclasses import replace

import pytest

from memex_audit.errors import LedgerError
from memex_audit.ledger import Ledger
from memex_audit.ledger_file import is_local, opened
from memex_audit.rates.extraction_rate import extraction_rate
from memex_audit.records import (
    AuditResult,
    Calibration,
    ControlResult,
    Finding,
    Frame,
    ImageExtracted,
    Match,
    MatchKind,
    Protocol,
    Provenance,
    RunVerdict,
    SetAside,
    Verdict,
)


def finding(prompt: str, **changes) -> Finding:
    whole = Finding(
        prompt_id=f"{len(prompt):012x}", prompt=prompt, duplication_count=3, group_id="g", near_miss=False,
        verdict=Verdict.EXTRACTED, generations=16, set_aside=1, network_evaluations=320, clique_size=15,
        clique_seeds=(1, 2**63 - 1), replicas=16, replica_seeds=(1, 2, 3), blind_spot=0.1 + 0.2,
        match=Match(example_id="a/b", distance=1 / 3, kind=MatchKind.RETRIEVED, k=7), nearest=5e-324,
        images_extracted=1, images=(ImageExtracted(example_id="x", seeds=2, distance=0.01),),
    )  # fmt: skip
    return replace(whole, **changes)


PROVENANCE = Provenance(
    memex_version="0.1.0", started="2026-01-01T00:00:00+00:00", model="a model", lora="l", lora_weight=0.7,
    model_fingerprint="f" * 64, settings={"steps": 10, "size": [32, 32], "guidance": float("inf"), "x": None},
    settings_digest="d" * 16, training_set=None, training_set_fingerprint=None, embedder=None, device="cpu",
    seed=2**62, versions={"torch": "2"}, store="/s", prompt_set="p" * 16,
)  # fmt: skip


def audited(*findings: Finding, **changes) -> AuditResult:
    findings = findings or (finding("a red cat"),)
    rate = extraction_rate(
        findings, Frame(description="all", size=9), limit=0.3, confidence=0.9, blind_spot=0.5
    )
    whole = AuditResult(
        verdict=RunVerdict.FAIL, rate=rate, findings=findings, notes=("noted",),
        protocol=Protocol(name="default", looks=(4, 16), clique_size=4, edge_delta=0.05, match_delta=0.1),
        calibration=Calibration(
            source="calibrated", edge_delta=0.05, match_delta=0.1, clique_size=4, protocol="default",
            looks=(4, 16),
        ),
        set_aside=(SetAside(what="a.png", reason="broken"),),
        controls=(ControlResult(kind="positive", subject="s", prompts=4, detected=4),),
        provenance=PROVENANCE,
    )  # fmt: skip
    return replace(whole, **changes)


def test_what_is_read_back_is_what_was_written(tmp_path, hostile_caption):
    written = audited(finding(hostile_caption), finding("another", match=None, nearest=None, images=()))
    ledger = Ledger(tmp_path)
    assert ledger.result(ledger.record_run(written)) == written


def test_a_run_without_a_rate_is_kept_too(tmp_path):
    written = audited(rate=None, protocol=None, calibration=None, controls=(), findings=(), notes=())
    ledger = Ledger(tmp_path)
    assert ledger.result(ledger.record_run(written)) == written
    assert ledger.runs()[0].rate is None


def test_a_run_of_which_nothing_is_known_is_refused(tmp_path):
    with pytest.raises(LedgerError, match="a run must have a provenance to be written down, got none"):
        Ledger(tmp_path).record_run(audited(provenance=None))


@pytest.fixture
def three(tmp_path):
    ledger = Ledger(tmp_path)
    return ledger, [ledger.record_run(audited(), created=f"200{i}-01-01") for i in range(3)]


def test_a_run_is_named_by_its_id_its_beginning_or_counted_back_from_the_latest(three):
    ledger, ids = three
    names = (ids[0], ids[1][:6], "latest", "latest~0", "latest~1", "latest~2")
    found = [ledger.find(name).id for name in names]
    assert found == [ids[0], ids[1], ids[2], ids[2], ids[1], ids[0]]


@pytest.mark.parametrize("name", ["zzzz", "", "a", "latest~3", "latest~x", "latest~-1"])
def test_a_name_of_no_run_is_refused(three, name):
    with pytest.raises(LedgerError, match=r"`memex runs` lists them"):
        three[0].find(name)


def test_a_beginning_of_several_ids_is_refused_with_them(three):
    ledger, ids = three
    with sqlite3.connect(ledger.path) as connection:
        connection.execute("UPDATE runs SET id = 'abc1' WHERE id = ?", (ids[0],))
        connection.execute("UPDATE runs SET id = 'abc2' WHERE id = ?", (ids[1],))
    with pytest.raises(LedgerError, match="2 of its runs begin with it: abc1, abc2"):
        ledger.find("abc")


def test_an_empty_ledger_has_no_run_to_name(tmp_path):
    assert Ledger(tmp_path).runs() == ()
    with pytest.raises(LedgerError, match="has no run yet"):
        Ledger(tmp_path).find("latest")
    with pytest.raises(LedgerError, match="there is no ledger"):
        Ledger(tmp_path).result("abc")


def test_reading_a_damaged_ledger_leaves_it_alone(three):
    ledger, _ = three
    ledger.path.write_bytes(b"no database" * 500)
    with pytest.raises(
        LedgerError, match=r"is damaged .* the next audit keeps it aside and begins a new one"
    ):
        ledger.runs()
    assert ledger.path.read_bytes() == b"no database" * 500


def test_reading_another_programs_database_leaves_it_alone(tmp_path):
    ledger = Ledger(tmp_path)
    with sqlite3.connect(ledger.path) as connection:
        connection.execute("CREATE TABLE songs (name TEXT)")
    connection.close()
    before = ledger.path.read_bytes()
    with pytest.raises(LedgerError, match="is another program's database; the next audit keeps it aside"):
        ledger.runs()
    assert ledger.path.read_bytes() == before


def test_a_record_that_another_version_wrote_is_named(three):
    ledger, ids = three
    with sqlite3.connect(ledger.path) as connection:
        connection.execute("UPDATE findings SET record = '{}' WHERE run = 1")
    with pytest.raises(LedgerError, match=f"run {ids[0]} of .* must be a whole result, got TypeError"):
        ledger.result(ids[0])


MOUNTS = r"""22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 22 0:40 / /shared rw - nfs4 server:/export rw
31 22 0:41 / /shared/scratch rw shared:5 - xfs /dev/sdb rw
32 22 0:42 / /with\040space rw - fuse.sshfs host: rw
"""


@pytest.mark.parametrize(
    ("path", "local"),
    [
        ("/home/me/.memex/ledger.sqlite", True),
        ("/shared/ledger.sqlite", False),
        ("/shared/scratch/ledger.sqlite", True),
        ("/sharedby/nobody/ledger.sqlite", True),
        ("/with space/ledger.sqlite", False),
    ],
)
def test_a_disk_is_local_by_the_file_system_that_is_mounted_there(tmp_path, path, local):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert is_local(type(mounts)(path), mounts) is local


def test_a_disk_of_which_nothing_is_known_is_not_taken_for_a_local_one(tmp_path):
    assert not is_local(tmp_path, tmp_path / "missing")


@pytest.mark.parametrize(("local", "mode"), [(True, "wal"), (False, "delete")])
def test_wal_is_for_local_disks(tmp_path, monkeypatch, local, mode):
    monkeypatch.setattr("memex_audit.ledger_file.is_local", lambda _: local)
    connection = opened(tmp_path / "ledger.sqlite", write=True)
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == mode
    connection.close()


def test_a_failed_step_to_a_new_version_leaves_the_ledger_as_it_was(three, monkeypatch):
    ledger, ids = three

    def fails(connection):
        connection.execute("DROP TABLE runs")
        raise sqlite3.OperationalError("disk full")

    from memex_audit import ledger_file

    steps = ledger_file.MIGRATIONS
    monkeypatch.setattr(ledger_file, "MIGRATIONS", (*steps, fails))
    with pytest.raises(LedgerError, match="disk full"):
        ledger.runs()
    monkeypatch.setattr(ledger_file, "MIGRATIONS", steps)
    assert [run.id for run in ledger.runs()] == ids
