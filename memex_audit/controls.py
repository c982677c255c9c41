"""Show that the gate can fail, and how often it fails for nothing."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from memex_audit.config import Settings
from memex_audit.rates.images_extracted import has_few_captions
from memex_audit.records import AuditPrompt, ControlResult, Frame, PromptSet, Protocol, Verdict
from memex_audit.specimen import HELD_OUT_CAPTIONS
from memex_audit.training_set.prompts import prompt_id_of
from memex_audit.work_units import ALONE, Worker
from memex_audit.workbench import Workbench

POSITIVE_PROMPTS = 8
PLANTED_COPIES = 32
NEGATIVE_PROMPTS = 60
MOST_PAIRS = 50_000


def positive_control(
    protocol: Protocol, store: Path, *, device: str, seed: int, worker: Worker = ALONE
) -> ControlResult:
    """Audit planted replicas: prompts whose picture the specimen learned at least 32 times.

    The protocol and thresholds are those of the audit at hand. What it shows is that this code with these
    thresholds finds replicas in the specimen; it does not show its power on another model.
    """
    bench, planted = planted_replicas(protocol, store, device=device, seed=seed, worker=worker)
    detected = sum(finding.verdict is Verdict.EXTRACTED for finding in bench.audit(planted).findings())
    return ControlResult(
        kind="positive",
        subject="specimen:duplicated, planted replicas",
        prompts=len(planted.prompts),
        detected=detected,
    )


def planted_replicas(
    protocol: Protocol, store: Path, *, device: str, seed: int, worker: Worker = ALONE
) -> tuple[Workbench, PromptSet]:
    """Return what the positive control draws for, and the bench of the specimen that it draws on."""
    settings = Settings(
        model="specimen:duplicated", store=str(store), device=device, seed=seed, preset=protocol.name
    )
    bench = Workbench(settings, store, worker)
    planted = [p for p in bench.prompts.prompts if p.duplication_count >= PLANTED_COPIES][:POSITIVE_PROMPTS]
    bench.protocol = protocol
    return bench, replace(bench.prompts, prompts=tuple(planted))


def negative_control(bench: Workbench) -> ControlResult:
    """Count false alarms on prompts that no picture was learned under.

    A calibrated model has been through it: its calibration's negatives are reported. Otherwise, of a LoRA
    on few captions, the model without it is audited on the same captions: it never saw their pictures. Of
    any other, 60 negative prompts are drawn and judged.
    """
    calibration, drawn_for = bench.calibration, prompts_without_picture(bench)
    if drawn_for is None:
        return ControlResult(
            kind="negative",
            subject="the calibration's negative prompts",
            prompts=calibration.negatives,
            detected=calibration.flagged,
        )
    own, prompts = drawn_for
    if own is not bench:
        return ControlResult(
            kind="negative",
            subject="the model without its LoRA, under the same captions",
            prompts=prompts.n_examples or 0,
            detected=own.audit(prompts).image_count().extracted,
            unit="training images",
        )
    # What could not be judged (blank, refused, beyond a budget) is no prompt that raised no alarm.
    audited = bench.audit(prompts).findings()
    findings = [finding for finding in audited if finding.verdict is not Verdict.UNDECIDED]
    return ControlResult(
        kind="negative",
        subject="recombined captions, and names of things where those are few",
        prompts=len(findings),
        detected=sum(finding.verdict in (Verdict.FLAGGED, Verdict.EXTRACTED) for finding in findings),
    )


def prompts_without_picture(bench: Workbench) -> tuple[Workbench, PromptSet] | None:
    """Return what the negative control draws for, and the bench it draws on; None where it draws nothing.

    That bench is another than the given one where it is the model without its LoRA.
    """
    if bench.calibration.calibrated:
        return None
    counts_images = bench.settings.lora and bench.matcher and has_few_captions(bench.prompts)
    if counts_images and (base := bench.without_lora()):
        return base, bench.prompts
    return bench, negative_prompts(bench.prompts, NEGATIVE_PROMPTS, seed=bench.settings.seed)


def why_no_negative_control(bench: Workbench) -> str | None:
    """Say why false alarms cannot be counted on this model: it only has pictures that were made before.

    None where they can be.
    """
    if bench.calibration.calibrated or getattr(bench.generator, "draws", True):
        return None
    return (
        "a folder of generations holds none of prompts that were never trained on, so how often this audit "
        "flags for nothing is not shown for its model"
    )


def negative_prompts(prompts: PromptSet, n: int, *, seed: int) -> PromptSet:
    """Return `n` prompts that are no captions of the set: recombined ones, and where those do not suffice
    names of things, which a fine-tune on a few captions was not trained on."""
    made = [prompt.text for prompt in recombined_prompts(prompts, n, seed=seed).prompts]
    taken = {prompt.text for prompt in prompts.prompts}.union(made)
    names = [name for name in HELD_OUT_CAPTIONS.read_text("utf-8").splitlines() if name not in taken]
    return negative_set([*made, *_by_hash(names, seed)][:n])


def recombined_prompts(prompts: PromptSet, n: int, *, seed: int) -> PromptSet:
    """Return up to `n` captions made of the first half of one and the second half of another.

    None of them is a caption of the set. The pairing is a function of the captions and the seed.
    """
    texts = sorted({prompt.text for prompt in prompts.prompts})
    order = _by_hash(texts, seed)
    taken, made = set(texts), []
    # Of captions made by one pattern hardly any pair is new, and of thousands not every pair is tried.
    most_shifts = max(1, MOST_PAIRS // max(1, len(order)))
    for shift in range(1, len(order))[:most_shifts]:
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


def _by_hash(texts: Iterable[str], seed: int) -> list[str]:
    return sorted(texts, key=lambda text: hashlib.sha256(f"{seed}\0{text}".encode()).digest())


def _first_half(text: str) -> str:
    words = text.split()
    return " ".join(words[: max(1, len(words) // 2)])


def _second_half(text: str) -> str:
    words = text.split()
    return " ".join(words[len(words) // 2 :])
