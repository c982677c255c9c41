"""Show that the gate can fail, and how often it fails for nothing."""

import hashlib
from dataclasses import replace
from pathlib import Path

from memex_audit.config import Settings
from memex_audit.records import AuditPrompt, ControlResult, Frame, PromptSet, Protocol, Verdict
from memex_audit.training_set.prompts import prompt_id_of
from memex_audit.workbench import Workbench

POSITIVE_PROMPTS = 8
PLANTED_COPIES = 32
NEGATIVE_PROMPTS = 60


def positive_control(protocol: Protocol, store: Path, *, device: str, seed: int) -> ControlResult:
    """Audit planted replicas: prompts whose picture the specimen learned at least 32 times.

    The protocol and thresholds are those of the audit at hand. What it shows is that this code with these
    thresholds finds replicas in the specimen; it does not show its power on another model.
    """
    settings = Settings(
        model="specimen:duplicated", store=str(store), device=device, seed=seed, preset=protocol.name
    )
    bench = Workbench(settings, store)
    planted = [p for p in bench.prompts.prompts if p.duplication_count >= PLANTED_COPIES][:POSITIVE_PROMPTS]
    bench.protocol = protocol
    audit = bench.audit(replace(bench.prompts, prompts=tuple(planted)))
    detected = sum(finding.verdict is Verdict.EXTRACTED for finding in audit.findings())
    return ControlResult(
        kind="positive",
        subject="specimen:duplicated, planted replicas",
        prompts=len(planted),
        detected=detected,
    )


def negative_control(bench: Workbench) -> ControlResult:
    """Count false alarms on prompts that no picture was learned under.

    A calibrated model has been through it: its calibration's negatives are reported. Otherwise 60
    captions recombined from the audit's own are drawn and judged.
    """
    calibration = bench.calibration
    if calibration.calibrated:
        return ControlResult(
            kind="negative",
            subject="the calibration's negative prompts",
            prompts=calibration.negatives,
            detected=calibration.flagged,
        )
    negatives = recombined_prompts(bench.prompts, NEGATIVE_PROMPTS, seed=bench.settings.seed)
    flagged = 0
    if negatives.prompts:
        findings = bench.audit(negatives).findings()
        flagged = sum(finding.verdict in (Verdict.FLAGGED, Verdict.EXTRACTED) for finding in findings)
    return ControlResult(
        kind="negative", subject="recombined captions", prompts=len(negatives.prompts), detected=flagged
    )


def recombined_prompts(prompts: PromptSet, n: int, *, seed: int) -> PromptSet:
    """Return up to `n` captions made of the first half of one and the second half of another.

    None of them is a caption of the set. The pairing is a function of the captions and the seed.
    """
    texts = sorted({prompt.text for prompt in prompts.prompts})
    order = sorted(texts, key=lambda text: hashlib.sha256(f"{seed}\0{text}".encode()).digest())
    taken, made = set(texts), []
    for shift in range(1, len(order)):
        for first, second in zip(order, order[shift:] + order[:shift], strict=True):
            text = _first_half(first) + " " + _second_half(second)
            if text not in taken:
                taken.add(text)
                made.append(text)
            if len(made) == n:
                return negative_set(made)
    return negative_set(made)


def negative_set(texts: list[str]) -> PromptSet:
    """Return prompts without any training image, each a group of its own."""
    prompts = [
        AuditPrompt(prompt_id=prompt_id_of(text), text=text, group_id=prompt_id_of(text), duplication_count=1)
        for text in texts
    ]
    return PromptSet(prompts=tuple(prompts), frame=Frame(description="negative prompts", size=None))


def _first_half(text: str) -> str:
    words = text.split()
    return " ".join(words[: max(1, len(words) // 2)])


def _second_half(text: str) -> str:
    words = text.split()
    return " ".join(words[len(words) // 2 :])
