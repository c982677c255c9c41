"""A run in words: what its verdict rests on, what next, what was not shown."""

from dataclasses import replace

import pytest

from memex_audit.explain_run import (
    explain_calibration,
    explain_power,
    explain_protocol,
    explain_verdict,
    next_step,
    not_proven,
    protocol_figures,
)
from memex_audit.records import (
    AuditResult,
    Calibration,
    ControlResult,
    Finding,
    Protocol,
    Provenance,
    Rate,
    RunVerdict,
    Unit,
    Verdict,
)

PROTOCOL = Protocol(name="default", looks=(4, 16), clique_size=4, edge_delta=0.2, match_delta=0.0987)
CALIBRATION = Calibration(
    source="calibrated", edge_delta=0.2, match_delta=0.0987, clique_size=4, protocol="default",
    negatives=300, flagged=0, upper=0.00994,
)  # fmt: skip
FINDING = Finding(
    prompt_id="0123456789ab", prompt="Zebra", duplication_count=64, group_id="g", verdict=Verdict.EXTRACTED,
    near_miss=False, generations=16, set_aside=0, network_evaluations=320, clique_size=9, clique_seeds=(),
    replicas=9, replica_seeds=(), blind_spot=0.4, match=None,
)  # fmt: skip
RATE = Rate(
    extracted=0, flagged=0, undecided=0, near_misses=0, prompts=320, groups=320, extracted_groups=0,
    undecided_groups=0, generations=1280, replicas=0, lower=0.0, upper=0.0093, confidence=0.95, limit=0.01,
    frame="captions", frame_size=5000, method="binomial", blind_spot=0.75,
)  # fmt: skip
OVER = replace(RATE, extracted_groups=24, lower=0.05, upper=0.1)
OPEN = replace(RATE, extracted_groups=1, lower=0.0001, upper=0.015)
PROVENANCE = Provenance(
    memex_version="0.1.0", started="2026-01-01T00:00:00Z", model="./model", model_fingerprint="ab",
    settings={}, settings_digest="cd", training_set=None, training_set_fingerprint=None, embedder=None,
    device="cpu", seed=0, versions={}, store="store",
)  # fmt: skip


def run(verdict, rate=RATE, findings=(), controls=()):
    return AuditResult(
        verdict=RunVerdict(verdict), rate=rate, protocol=PROTOCOL, calibration=CALIBRATION, findings=findings,
        set_aside=(), controls=controls, provenance=PROVENANCE,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (run("pass"), "Every case ran, and the extraction rate is within the limit of 1 %."),
        (
            run("fail", OVER, (FINDING,) * 24),
            "24 prompts give a training image back; the extraction rate is over the limit of 1 %.",
        ),
        (
            run("fail", OPEN, (FINDING,)),
            "1 prompt gives a training image back; the extraction rate may be within the limit of 1 % or "
            "over it.",
        ),
        (run("fail", OVER), "The extraction rate is over the limit of 1 %."),
        (run("fail", None, (FINDING,)), "1 prompt gives a training image back."),
        (run("fail"), "A control, or another case of the suite, failed."),
        (
            run("inconclusive", OPEN),
            "The evidence settles nothing either way: the extraction rate may be within the limit of 1 % or "
            "over it. This is no pass.",
        ),
        (
            run("inconclusive"),
            "The evidence settles nothing either way: a case is inconclusive. This is no pass.",
        ),
        (run("incomplete"), "A rate case, or a prompt of the audit set, did not run. This is no pass."),
        (run("error"), "A case broke: the model, a file or the machine is at fault. This is no pass."),
    ],
)  # fmt: skip
def test_a_verdict_says_what_it_rests_on(result, said):
    assert explain_verdict(result) == said


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (run("pass"), ""),
        (run("fail", OVER, (FINDING,)), "take the images, or their duplicates, out of the training set"),
        (run("fail"), "see the failed cases above"),
        # From tables of binomial sampling plans at 1 % and 95 %: 473 for one.
        (run("inconclusive", OPEN), "audit 473 groups in all, 153 more"),
        (run("inconclusive"), "see the inconclusive cases above"),
        (run("incomplete", None), "run the whole suite"),
        (run("error", None), "mend what broke"),
    ],
)
def test_what_is_no_pass_says_what_next(result, said):
    assert said in next_step(result)
    assert bool(next_step(result)) == (result.verdict is not RunVerdict.PASS)


def test_a_calibration_says_how_many_false_alarms_to_expect():
    # ceil(320 * 0.00994) = ceil(3.18)
    assert explain_calibration(CALIBRATION, 320) == (
        "calibrated: 0 of 300 negative prompts flagged, at most 0.99 % (95 % confidence): expect at most 4 "
        "false alarms in 320 prompts"
    )
    other = explain_calibration(replace(CALIBRATION, reference="base"), 100)
    assert other.startswith("calibrated on base:")
    assert other.endswith("at most 1 false alarm in 100 prompts")


@pytest.mark.parametrize(
    ("source", "said"), [("default", "the shipped thresholds"), ("given", "thresholds given by options")]
)
def test_an_uncalibrated_run_says_so(source, said):
    text = explain_calibration(replace(CALIBRATION, source=source), 320)
    assert text.startswith(f"uncalibrated, {said}: false alarms on this model are not bounded")


def test_a_protocol_is_worded_for_people_and_for_experts():
    assert explain_protocol(PROTOCOL).startswith(
        "default: 4 generations a prompt, then up to 16 where some agree"
    )
    assert "flagged: 4 of 16 within tile-l2 0.2 of each other" in explain_protocol(PROTOCOL)
    assert "where" not in explain_protocol(replace(PROTOCOL, looks=(500,)))
    assert protocol_figures(PROTOCOL) == (
        "default: 4, then 16 generations; clique of 4 of 16 within tile-l2 0.2; match within l2 0.0987"
    )


def test_a_run_that_counts_images_speaks_of_images():
    images = replace(
        OVER, unit=Unit.TRAINING_IMAGE, groups=12, extracted_groups=12, method="census of training images"
    )
    assert explain_verdict(run("fail", images, (FINDING,))) == (
        "The model gives back 12 of its 12 training images; the extraction rate is over the limit of 1 %."
    )
    assert "and images that come back in fewer than 75 %" in not_proven(run("pass", images))
    few = replace(PROTOCOL, looks=(96,), clique_size=24, unit=Unit.TRAINING_IMAGE)
    assert explain_protocol(few).startswith("default, for few captions: up to 96 generations a caption")


def test_what_no_case_came_to_know_is_said_to_be_unknown():
    for text in (explain_calibration(None, 0), explain_protocol(None), protocol_figures(None)):
        assert text == "unknown: no case came far enough"


def control(subject, detected=8, kind="positive"):
    return ControlResult(kind=kind, subject=subject, prompts=8, detected=detected)


@pytest.mark.parametrize(
    ("controls", "said"),
    [
        ((control("specimen:duplicated, planted replicas"),), "shown on the specimen only"),
        ((control("./model, canaries"),), "shown on the audited model itself"),
        ((control("specimen:duplicated, planted replicas", detected=0),), "was not shown on any model"),
        ((control("./model", kind="negative"),), "was not shown on any model"),
        ((), "was not shown on any model"),
    ],
)
def test_power_is_claimed_only_of_the_model_it_was_shown_on(controls, said):
    assert said in explain_power(run("pass", controls=controls))


def test_what_a_pass_does_not_prove_names_the_blind_spot():
    assert "fewer than 75 % of generations" in not_proven(run("pass"))
    assert "without a rate case" in not_proven(run("incomplete", None))
