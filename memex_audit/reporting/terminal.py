"""Result -> lines for a terminal: the verdict first, then what it rests on."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from memex_audit.explain import explain_controls, one_line, percent, quoted, rate_sentence
from memex_audit.records import AuditResult, Calibration, Finding, Protocol, RunVerdict, Verdict
from memex_audit.reporting.redaction import kind_of_reason

if TYPE_CHECKING:
    from memex_audit.config import Settings
    from memex_audit.records import PromptSet

MOST_LISTED = 20

_MEANING = {
    RunVerdict.PASS: "every case ran, and the rate is within its limit",
    RunVerdict.FAIL: "a case failed",
    RunVerdict.INCONCLUSIVE: "the evidence settles nothing either way; this is no pass",
    RunVerdict.INCOMPLETE: "a rate case or a prompt of the audit set did not run; this is no pass",
    RunVerdict.ERROR: "a case broke: the model, a file or the machine is at fault",
}


def header_line(
    settings: "Settings", prompts: "PromptSet | None", calibration: Calibration | None = None
) -> str:
    """Say on one line what is audited; `prompts` None where no case needs them."""
    said = [settings.model]
    if prompts is not None:
        groups = len({prompt.group_id for prompt in prompts.prompts})
        said.append(f"{len(prompts.prompts):,} prompts in {groups:,} groups ({prompts.frame.description})")
    said.append(f"protocol {settings.preset}")
    said.append(f"limit {percent(settings.limit)} at {percent(settings.confidence)} confidence")
    if calibration is not None and not calibration.calibrated:
        said.append("uncalibrated")
    return "memex: " + ", ".join(said)


def summary_lines(
    result: AuditResult, *, redact: bool = False, protocol: Protocol | None = None
) -> list[str]:
    """Say what a run shows.

    Args:
        result: of the run.
        redact: name prompts and training images by digests.
        protocol: adds its looks to the calibration's line, where it is known.

    Returns:
        Lines: verdict, rate, near misses, extracted and flagged prompts, what was set aside, controls,
        calibration, notes, what a pass does not prove.
    """
    lines = [f"verdict: {result.verdict.value.upper()} - {_MEANING[result.verdict]}"]
    lines.append("rate: " + (rate_sentence(result.rate) if result.rate else "not computed: no rate case ran"))
    lines += _finding_lines(result.findings, redact=redact)
    lines += _set_aside_lines(result)
    lines += explain_controls(result.controls).splitlines()
    lines.append(_calibration_line(result, protocol))
    lines += [f"note: {quoted(note, 1000)[1:-1]}" for note in result.notes]
    lines.append(_not_proven(result))
    return lines


def _finding_lines(findings: Sequence[Finding], *, redact: bool) -> list[str]:
    kinds = (
        ("near miss", [f for f in findings if f.near_miss]),
        ("extracted", [f for f in findings if f.verdict is Verdict.EXTRACTED]),
        ("flagged", [f for f in findings if f.verdict is Verdict.FLAGGED and not f.near_miss]),
        ("undecided", [f for f in findings if f.verdict is Verdict.UNDECIDED and not f.near_miss]),
    )
    lines = []
    for name, those in kinds:
        lines += [f"{name}: {one_line(finding, redact)}" for finding in those[:MOST_LISTED]]
        if len(those) > MOST_LISTED:
            lines.append(f"{name}: and {len(those) - MOST_LISTED:,} more")
    return lines


def _set_aside_lines(result: AuditResult) -> list[str]:
    reasons = Counter(kind_of_reason(entry.reason) for entry in result.set_aside)
    # The reason may hold a file's name, and a file's name anything.
    said = [f"{count:,} {quoted(reason)[1:-1]}" for reason, count in reasons.most_common()]
    generations = sum(finding.set_aside for finding in result.findings)
    if generations:
        said.append(f"{generations:,} generations blank, broken or of another size")
    return ["set aside: " + "; ".join(said)] if said else []


def _calibration_line(result: AuditResult, protocol: Protocol | None) -> str:
    calibration = result.calibration
    if calibration is None:
        return "calibration: unknown, no case came far enough"
    used = f"edge delta {calibration.edge_delta:.3g}, match delta {calibration.match_delta:.3g}"
    used += f", clique of {calibration.clique_size}, protocol {calibration.protocol}"
    if protocol is not None:
        used += f" ({', then '.join(map(str, protocol.looks))} generations)"
    if not calibration.calibrated:
        whence = "given by options" if calibration.source == "given" else "shipped defaults"
        return f"calibration: uncalibrated, {whence}: {used}; false alarms on this model are not bounded"

    n = len(result.findings)
    alarms = math.ceil(round(n * calibration.upper, 9))
    plural = "" if alarms == 1 else "s"
    measured_on = f" on {calibration.reference}" if calibration.reference else ""
    return (
        f"calibration: calibrated{measured_on}, "
        f"flagged {calibration.flagged:,} of {calibration.negatives:,} negatives "
        f"(<= {percent(calibration.upper)}): expect at most {alarms:,} false alarm{plural} in {n:,} prompts; "
        f"{used}"
    )


def _not_proven(result: AuditResult) -> str:
    if result.rate is None:
        return "not shown: any rate; without a rate case the run says nothing beyond its cases"
    return (
        "not shown by a pass: prompts unlike these, other samplers or guidance, replicas that are cropped, "
        f"mirrored or restyled, and prompts that replicate in fewer than {percent(result.rate.blind_spot)} "
        "of generations"
    )
