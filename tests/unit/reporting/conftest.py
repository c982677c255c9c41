from dataclasses import replace

import pytest

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
    Verdict,
)

CAPTION = "Zebra portrait by Jane Roe"
EXAMPLE = "zebra-portrait-by-jane-roe.png"

FINDING = Finding(
    prompt_id="0123456789ab",
    prompt=CAPTION,
    duplication_count=64,
    group_id="g1",
    verdict=Verdict.EXTRACTED,
    near_miss=False,
    generations=16,
    set_aside=2,
    network_evaluations=360,
    clique_size=9,
    clique_seeds=(1, 2**62),
    replicas=9,
    replica_seeds=(1, 2**62),
    blind_spot=0.4,
    match=Match(example_id=EXAMPLE, distance=0.03125, kind=MatchKind.MATCHING, k=64),
    nearest=0.03125,
)
RATE = Rate(
    extracted=1,
    flagged=0,
    undecided=0,
    near_misses=0,
    prompts=330,
    groups=320,
    extracted_groups=1,
    undecided_groups=0,
    generations=1400,
    replicas=9,
    lower=0.00016,
    upper=0.0147,
    confidence=0.95,
    limit=0.01,
    frame="duplicated groups",
    frame_size=5000,
    method="binomial (Clopper-Pearson), one-sided",
    blind_spot=0.75,
)
PROVENANCE = Provenance(
    memex_version="0.1.0",
    started="2026-01-01T00:00:00Z",
    model="specimen:duplicated",
    model_fingerprint="ab",
    settings={"steps": 20, "size": (64, 64), "guidance": 7.5},
    settings_digest="cd",
    training_set="/data/a b",
    training_set_fingerprint=None,
    embedder=None,
    device="cpu",
    seed=0,
    versions={"torch": "2.14.1"},
    store="/store",
)
CALIBRATION = Calibration(
    source="calibrated",
    edge_delta=0.12,
    match_delta=0.15,
    clique_size=4,
    protocol="default",
    negatives=300,
    flagged=0,
    upper=0.00994,
)
PROTOCOL = Protocol(name="default", looks=(4, 16), clique_size=4, edge_delta=0.12, match_delta=0.15)
RESULT = AuditResult(
    verdict=RunVerdict.FAIL,
    rate=RATE,
    protocol=PROTOCOL,
    calibration=CALIBRATION,
    findings=(FINDING,),
    set_aside=(SetAside(what=EXAMPLE, reason=f"empty caption of {EXAMPLE}"),),
    controls=(ControlResult(kind="positive", subject="planted replicas", prompts=8, detected=8),),
    provenance=PROVENANCE,
    notes=("a note",),
)


@pytest.fixture
def finding():
    return FINDING


@pytest.fixture
def rate():
    return RATE


@pytest.fixture
def result():
    return RESULT


@pytest.fixture
def provenance():
    return PROVENANCE


@pytest.fixture
def near_miss():
    return replace(
        FINDING, verdict=Verdict.NOT_FLAGGED, near_miss=True, replicas=1, clique_size=0, match=None
    )
