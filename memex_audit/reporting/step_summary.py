"""Result -> the summary of a GitHub Actions step."""

from pathlib import Path

from memex_audit.explain import explain_controls, percent, percent_beside
from memex_audit.explain_rate import how_bounded, rate_sentence
from memex_audit.explain_run import explain_calibration, explain_verdict, next_step, not_proven
from memex_audit.records import AuditResult, Rate, RunVerdict
from memex_audit.reporting.listing import finding_items, set_aside_sentence
from memex_audit.reporting.markdown import capped, code, prose

MOST_LISTED = 10
MOST_BYTES = 64 * 1024
# GitHub drops a summary that is larger, and with it what other commands of the step wrote.
MOST_BYTES_OF_A_STEP = 1024 * 1024


def step_summary(result: AuditResult, *, redact: bool = False) -> str:
    """Return the summary, of at most 64 KiB."""
    lines = [f"## Memorization audit: {result.verdict.value.upper()}", ""]
    lines += [f"**{prose(explain_verdict(result))}**", ""]
    lines += [*_table(result.rate), f"{prose(rate_sentence(result.rate))}.", ""] if result.rate else []
    lines += finding_items(result.findings, most=MOST_LISTED, redact=redact)
    if aside := set_aside_sentence(result):
        lines.append(f"- **Set aside**: {prose(aside)}")
    lines += [f"- {prose(line)}" for line in explain_controls(result.controls).splitlines()]
    lines.append(f"- **Thresholds**: {prose(explain_calibration(result.calibration, len(result.findings)))}")
    if result.verdict is RunVerdict.PASS:
        lines.append(f"- **Not shown by a pass**: {prose(not_proven(result))}")
    if step := next_step(result):
        lines.append(f"- **Next**: {prose(step)}")
    if provenance := result.provenance:
        fingerprint = code(provenance.model_fingerprint)
        lora = f" with LoRA {code(provenance.lora)}" if provenance.lora else ""
        lines.append(f"- **Model**: {code(provenance.model)}{lora}, fingerprint {fingerprint}")
    return capped("\n".join([*lines, ""]), MOST_BYTES, "Cut here: the whole result is in the JSON.")


def _table(rate: Rate) -> list[str]:
    figures = {
        f"{rate.unit.value}s": f"{rate.groups:,}",
        "extracted": f"{rate.extracted_groups:,}",
        "undecided": f"{rate.undecided_groups:,}",
        "lower bound": percent_beside(rate.lower, rate.limit),
        "upper bound": percent_beside(rate.upper, rate.limit),
        "limit": percent(rate.limit),
        "bounds": prose(how_bounded(rate)),
        "blind below": percent(rate.blind_spot),
    }
    rows = (figures.keys(), ["---:"] * len(figures), figures.values())
    return [*(f"| {' | '.join(row)} |" for row in rows), ""]


def append_step_summary(path: Path, result: AuditResult, *, redact: bool = False) -> None:
    """Append the summary to the step's file, or leave it as it is where it would become too large.

    Raises:
        OSError: it cannot be written.
    """
    data = ("\n" + step_summary(result, redact=redact)).encode("utf-8", "replace")
    if path.stat().st_size + len(data) < MOST_BYTES_OF_A_STEP:
        with path.open("ab") as file:
            file.write(data)
