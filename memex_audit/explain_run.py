"""A whole run -> words: each is worded once, here, for terminal, Markdown, step summary and model card."""

import math

from memex_audit.explain import LOOK_CLOSER, percent
from memex_audit.explain_canaries import power_of_canaries
from memex_audit.explain_rate import blind_to, units, what_settles
from memex_audit.explain_untargeted import untargeted_claim, untargeted_next
from memex_audit.rates.verdicts import rate_verdict, untargeted_verdict
from memex_audit.records import AuditResult, Calibration, Protocol, RunVerdict, Unit, Verdict


def explain_verdict(result: AuditResult) -> str:
    """Say in one sentence what the verdict of a run rests on."""
    match result.verdict:
        case RunVerdict.PASS:
            return f"Every case ran, and {_claims(result)}."
        case RunVerdict.FAIL:
            return _failure(result)
        case RunVerdict.INCONCLUSIVE:
            rate_is_open = result.rate and rate_verdict(result.rate) is RunVerdict.INCONCLUSIVE
            claim = _rate_claim(result) if rate_is_open else _open_claim(result)
            return f"The evidence settles nothing either way: {claim}. This is no pass."
        case RunVerdict.INCOMPLETE:
            return "A rate case, or a prompt of the audit set, did not run. This is no pass."
        case _:
            return "A case broke: the model, a file or the machine is at fault. This is no pass."


def as_sentence(text: str) -> str:
    """Begin with a capital and end with a full stop.

    >>> as_sentence("no control ran")
    'No control ran.'
    """
    return f"{text[0].upper()}{text[1:]}."


def _open_claim(result: AuditResult) -> str:
    found = result.untargeted
    if found and untargeted_verdict(found) is RunVerdict.INCONCLUSIVE:
        return untargeted_claim(found).removeprefix("Inconclusive: ")
    return "a case is inconclusive"


def _claims(result: AuditResult) -> str:
    """Say what of the two gates a verdict rests on: the rate of prompts, and what came back unasked."""
    said = [_rate_claim(result)] if result.rate else []
    if result.untargeted:
        claim = untargeted_claim(result.untargeted).removeprefix("Inconclusive: ")
        said.append(claim[0].lower() + claim[1:])
    return "; ".join(said)


def _failure(result: AuditResult) -> str:
    extracted = sum(finding.verdict is Verdict.EXTRACTED for finding in result.findings)
    said = []
    if result.rate and result.rate.unit is Unit.TRAINING_IMAGE and result.rate.extracted_groups:
        rate = result.rate
        said.append(f"the model gives back {rate.extracted_groups:,} of its {units(rate, rate.groups)}")
    elif extracted:
        prompts = "1 prompt gives" if extracted == 1 else f"{extracted:,} prompts give"
        said.append(f"{prompts} a training image back")
    if result.rate and rate_verdict(result.rate) is not RunVerdict.PASS:
        said.append(_rate_claim(result))
    found = result.untargeted
    if found and (found.extracted or untargeted_verdict(found) is RunVerdict.FAIL):
        claim = untargeted_claim(found)
        said.append(claim[0].lower() + claim[1:])
    return as_sentence("; ".join(said) or "a control, or another case of the suite, failed")


def _rate_claim(result: AuditResult) -> str:
    rate = result.rate
    if rate is None:
        return ""
    limit = percent(rate.limit)
    return {
        RunVerdict.PASS: f"the extraction rate is within the limit of {limit}",
        RunVerdict.FAIL: f"the extraction rate is over the limit of {limit}",
    }.get(rate_verdict(rate), f"the extraction rate may be within the limit of {limit} or over it")


_NEXT = {
    RunVerdict.PASS: "",
    RunVerdict.FAIL: "see the failed cases above: each says what it would take",
    RunVerdict.INCONCLUSIVE: "see the inconclusive cases above: each says what would settle it",
    RunVerdict.INCOMPLETE: "run the whole suite, without -k, -x or a single file; what was drawn is kept",
    RunVerdict.ERROR: "mend what broke and run again; what was drawn is kept",
}


def next_step(result: AuditResult) -> str:
    """Say what to do about a run that is no pass; nothing for one that is."""
    extracted = any(finding.verdict is Verdict.EXTRACTED for finding in result.findings)
    if result.verdict is RunVerdict.FAIL and extracted:
        return f"{LOOK_CLOSER}; take the images, or their duplicates, out of the training set and train again"
    rate = result.rate
    if result.verdict is RunVerdict.INCONCLUSIVE and rate and rate_verdict(rate) is result.verdict:
        return what_settles(rate)
    if result.untargeted and result.verdict in (RunVerdict.FAIL, RunVerdict.INCONCLUSIVE):
        return untargeted_next(result.untargeted)
    return _NEXT[result.verdict]


def explain_calibration(calibration: Calibration | None, n_prompts: int) -> str:
    """Say where the thresholds come from, and how many false alarms they are worth in so many prompts."""
    if calibration is None:
        return "unknown: no case came far enough"
    if not calibration.calibrated:
        whence = "thresholds given by options" if calibration.source == "given" else "the shipped thresholds"
        return f"uncalibrated, {whence}: false alarms on this model are not bounded (memex calibrate)"
    alarms = math.ceil(round(n_prompts * calibration.upper, 9))
    measured_on = f" on {calibration.reference}" if calibration.reference else ""
    return (
        f"calibrated{measured_on}: {calibration.flagged:,} of {calibration.negatives:,} negative prompts "
        f"flagged, at most {percent(calibration.upper)} (95 % confidence): expect at most {alarms:,} false "
        f"alarm{'' if alarms == 1 else 's'} in {n_prompts:,} prompts"
    )


def explain_protocol(protocol: Protocol | None) -> str:
    """Say how a prompt is decided."""
    if protocol is None:
        return "unknown: no case came far enough"
    if protocol.unit is Unit.TRAINING_IMAGE:
        return (
            f"{protocol.name}, for few captions: up to {protocol.looks[-1]} generations a caption in one "
            f"look; extracted: a training image with 2 seeds within l2 {protocol.match_delta:.3g}; flagged: "
            f"{protocol.clique_size} within tile-l2 {protocol.edge_delta:.3g} of each other"
        )
    first, *later = protocol.looks
    onward = f", then up to {', '.join(map(str, later))} where some agree or one is near a training image"
    return (
        f"{protocol.name}: {first} generations a prompt{onward if later else ''}; flagged: "
        f"{_flagging(protocol)} within tile-l2 {protocol.edge_delta:.3g} of each other; extracted: 2 seeds "
        f"within l2 {protocol.match_delta:.3g} of one training image of the caption, or the flagged ones of "
        "any"
    )


def protocol_figures(protocol: Protocol | None) -> str:
    """Give the figures of a protocol, for those who know what they mean."""
    if protocol is None:
        return "unknown: no case came far enough"
    looks = ", then ".join(map(str, protocol.looks))
    return (
        f"{protocol.name}: {looks} generations; clique of {_flagging(protocol)} within tile-l2 "
        f"{protocol.edge_delta:.3g}; match within l2 {protocol.match_delta:.3g}"
    )


def _flagging(protocol: Protocol) -> str:
    """Say how many generations make a prompt flagged, at each look where some do."""
    flags = [
        f"{flag} of {n}" for n, flag in zip(protocol.looks, protocol.flag_at, strict=False) if flag <= n
    ] or [f"{protocol.clique_size} of {protocol.looks[-1]}"]
    return " or ".join([", ".join(flags[:-1]), flags[-1]] if flags[1:] else flags)


# Of the positive control of an untargeted extraction.
UNDER_NOISE = "training images under noise"


def explain_power(result: AuditResult) -> str:
    """Say on what it was shown that this audit finds replicas: the model itself, the specimen, or nothing."""
    if result.canaries:
        return power_of_canaries(result.canaries)
    shown_on = [c.subject for c in result.controls if c.kind == "positive" and c.detected]
    if any(UNDER_NOISE in subject for subject in shown_on):
        return (
            "it was shown that training images are found again under noise; that the audited model's own "
            "replicas are was not: that takes canaries planted in its training set"
        )
    if not shown_on:
        return "that this audit finds replicas was not shown on any model in this run"
    model = result.provenance.model if result.provenance else None
    if any(_audits(subject, model) for subject in shown_on):
        return "power was shown on the audited model itself"
    return (
        "power was shown on the specimen only; on the audited model itself it was not: that takes canaries "
        "planted in its own training set"
    )


def _audits(subject: str, model: str | None) -> bool:
    return model is not None and subject.partition(",")[0] == model


def not_proven(result: AuditResult) -> str:
    """Say what a pass does not prove."""
    if result.rate is None and result.untargeted:
        return (
            "other samplers, replicas that are cropped, mirrored or restyled, and training images that come "
            "back more seldom than so many pictures show"
        )
    if result.rate is None:
        return "any rate: without a rate case the run says nothing beyond its cases"
    return (
        "prompts unlike these, other samplers or guidance, replicas that are shifted, recoloured or "
        f"restyled, and {blind_to(result.rate)}"
    )
