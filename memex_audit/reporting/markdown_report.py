"""Result -> one page of Markdown for a reader who was not there and has to rely on it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from memex_audit.explain import counted, explain_controls, percent
from memex_audit.explain_canaries import canary_table, explain_canaries
from memex_audit.explain_rate import how_bounded, rate_sentence, units
from memex_audit.explain_run import (
    as_sentence,
    explain_calibration,
    explain_power,
    explain_protocol,
    explain_verdict,
    next_step,
    not_proven,
)
from memex_audit.explain_slices import (
    SLICE_HEADINGS,
    confidence_of,
    explain_slices,
    slice_rows,
    slices_of,
)
from memex_audit.explain_untargeted import (
    IMAGE_HEADINGS,
    explain_untargeted_method,
    image_rows,
    untargeted_sentence,
)
from memex_audit.generation.black_box.endpoint import name_of_endpoint
from memex_audit.records import AuditResult, CanaryResult, Provenance, Rate, UntargetedResult
from memex_audit.reporting.listing import finding_items, set_aside_sentence
from memex_audit.reporting.markdown import code, prose

if TYPE_CHECKING:
    from memex_audit.rates.slices import SliceRate

MOST_LISTED = 20


def report_page(result: AuditResult, *, json_name: str, json_sha256: str, redact: bool = False) -> str:
    """Return the page.

    Args:
        result: of a run.
        json_name: name of the file that holds the whole result, without its folder.
        json_sha256: of that file, 64 hex digits.
        redact: name prompts and training images by digests.
    """
    lines = [f"# Memorization audit: {result.verdict.value.upper()}", ""]
    lines += [f"**{prose(explain_verdict(result))}**", ""]
    lines += [prose(f"{_result_sentence(result)}.") + " Only the verdict PASS is a pass.", ""]
    lines += _section("What was audited", _audited(result))
    lines += _section("How it was decided", _decided(result))
    lines += _section("Controls", _controls(result))
    if result.canaries:
        lines += _section("Canaries", _canaries(result.canaries))
    if result.untargeted:
        lines += _section("What came back unasked", _untargeted(result.untargeted, redact=redact))
    items = list(finding_items(result.findings, most=MOST_LISTED, redact=redact))
    if result.protocol or not result.untargeted:
        items = items or ["- No prompt was extracted, flagged, undecided or a near miss."]
    lines += _section("Findings", items) if items else []
    if slices := slices_of(result):
        lines += _section("Slices", _slices(slices, confidence_of(result)))
    lines += _section("What was set aside", [f"- {prose(set_aside_sentence(result) or 'Nothing.')}"])
    lines += _section("What a pass does not prove", _not_proven(result))
    if step := next_step(result):
        lines += _section("What next", [f"- {prose(step)}"])
    lines += _section("The data behind this page", _integrity(json_name, json_sha256))
    return "\n".join(lines)


def _section(title: str, items: list[str]) -> list[str]:
    return [f"## {title}", "", *items, ""]


def _result_sentence(result: AuditResult) -> str:
    if result.rate is None and result.untargeted:
        return untargeted_sentence(result.untargeted)
    if result.rate is None:
        return "No rate was computed: no rate case ran"
    return rate_sentence(result.rate)


def _audited(result: AuditResult) -> list[str]:
    return [f"- **{name}**: {said}" for name, said in [*_subject(result.provenance), *_sample(result.rate)]]


def _subject(provenance: Provenance | None) -> Iterator[tuple[str, str]]:
    if provenance is None:
        yield "Model", "unknown: no case came far enough"
        return
    yield "Model", code(provenance.model)
    if provenance.model_config:
        yield "Configuration", code(provenance.model_config)
    if provenance.textual_inversion:
        yield "Learned tokens", code(provenance.textual_inversion)
    if provenance.lora:
        yield "LoRA", f"{code(provenance.lora)} with weight {provenance.lora_weight:g}"
    hashed = "its address and name" if name_of_endpoint(provenance.model) else "its files"
    yield "Model fingerprint", f"{code(provenance.model_fingerprint)} (SHA-256 over {hashed})"
    yield "Training set", code(provenance.training_set) if provenance.training_set else "none was given"
    if provenance.crop not in (None, "center"):
        brought = code(f"--memex-crop {provenance.crop}")
        yield "Training images", f"brought to the generations' size by {brought}"
    if provenance.training_set_fingerprint:
        yield (
            "Training set fingerprint",
            f"{code(provenance.training_set_fingerprint)} (SHA-256 over its contents)",
        )
    if provenance.embedder:
        yield "Near-copies found with", code(provenance.embedder)
    yield "Started", code(provenance.started)


def _sample(rate: Rate | None) -> Iterator[tuple[str, str]]:
    if rate is None:
        return
    size = "not known" if rate.frame_size is None else units(rate, rate.frame_size)
    yield "Frame", f"{prose(rate.frame)}; N: {size}"
    if rate.captions is not None:
        yield "Distinct captions of the training set", f"{rate.captions:,}"
    reason = f" ({prose(rate.unit_reason)})" if rate.unit_reason else ""
    yield "Unit of the rate", f"{rate.unit.value}{reason}"
    said = [
        counted(rate.prompts, "prompt"),
        units(rate, rate.groups),
        counted(rate.generations, "generation"),
    ]
    yield "Audited", ", ".join(said)


def _decided(result: AuditResult) -> list[str]:
    lines = []
    if result.rate:
        lines.append(
            f"- **Limit**: {percent(result.rate.limit)}. A pass needs an upper bound within it "
            f"({prose(how_bounded(result.rate))})."
        )
    if result.protocol or not result.untargeted:
        lines.append(f"- **Protocol**: {prose(explain_protocol(result.protocol))}.")
        thresholds = explain_calibration(result.calibration, len(result.findings))
        lines.append(f"- **Thresholds**: {prose(thresholds)}.")
    if result.untargeted:
        lines.append(f"- **Untargeted**: {prose(explain_untargeted_method(result.untargeted))}.")
    if result.provenance:
        settings = ", ".join(f"{name} {value}" for name, value in result.provenance.settings.items())
        versions = ", ".join(f"{name} {version}" for name, version in result.provenance.versions.items())
        lines.append(f"- **Sampler**: {code(settings)}; root seed {result.provenance.seed}")
        lines.append(
            f"- **Software**: {code(f'memex-audit {result.provenance.memex_version}, {versions}')} on "
            f"{code(result.provenance.device)}"
        )
    return lines + [f"- **Note**: {prose(note)}" for note in result.notes]


def _controls(result: AuditResult) -> list[str]:
    lines = [f"- {prose(line)}" for line in explain_controls(result.controls).splitlines()]
    return [*lines, f"- {prose(as_sentence(explain_power(result)))}"]


def _canaries(canaries: CanaryResult) -> list[str]:
    return [
        f"{prose(explain_canaries(canaries))}.",
        "",
        *canary_table(canaries),
        "",
        f"Seal of their manifest, printed when they were made: {code(canaries.seal)}",
    ]


def _untargeted(found: UntargetedResult, *, redact: bool) -> list[str]:
    lines = [f"{prose(untargeted_sentence(found))}."]
    if found.images:
        table = [IMAGE_HEADINGS, ("---",) * len(IMAGE_HEADINGS)]
        table += [
            (*figures, code(name).replace("|", r"\|")) for *figures, name in image_rows(found, redact=redact)
        ]
        lines += ["", *("| " + " | ".join(row) + " |" for row in table)]
    return lines


def _slices(slices: "tuple[SliceRate, ...]", confidence: float) -> list[str]:
    table = [SLICE_HEADINGS, ("---",) * len(SLICE_HEADINGS), *slice_rows(slices)]
    rows = ["| " + " | ".join((code(name).replace("|", r"\|") if n > 1 else name, *figures)) + " |"
            for n, (name, *figures) in enumerate(table)]  # fmt: skip
    return [f"{prose(explain_slices(slices, confidence))}.", "", *rows]


def _not_proven(result: AuditResult) -> list[str]:
    return [
        f"- Not shown: {prose(not_proven(result))}.",
        "- Replicas are copies of pixels. A copied style, a face in another pose or a copied part of a "
        "picture is not looked for.",
        "- An attacker who optimizes prompts, or holds other captions, can find more.",
    ]


def _integrity(name: str, sha256: str) -> list[str]:
    return [
        f"- The whole result, every prompt with its figures, is in {code(name)}.",
        f"- SHA-256 of that file: {code(sha256)}",
    ]
