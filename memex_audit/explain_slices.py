"""Say how the parts of an audit that its user named differ, for terminal, Markdown and JSON."""

from typing import TYPE_CHECKING

from memex_audit.explain import counted, percent, quoted
from memex_audit.records import AuditResult

if TYPE_CHECKING:
    from memex_audit.rates.slices import SliceRate

CONFIDENCE = 0.95
"""Where there is no rate to say one."""

SLICE_HEADINGS = ("slice", "extracted", "rate", "interval", "replicas", "images", "q")


def slices_of(result: AuditResult) -> "tuple[SliceRate, ...]":
    """Return the slices of a result's findings, those that stand out first; none where no prompt has one."""
    if not any(finding.slice for finding in result.findings):
        return ()
    from memex_audit.rates.slices import rates_by_slice

    # Without a training set nothing can be matched, and the rate counts what is flagged.
    count_flagged = result.provenance is not None and result.provenance.training_set is None
    return rates_by_slice(result.findings, confidence=confidence_of(result), count_flagged=count_flagged)


def confidence_of(result: AuditResult) -> float:
    """Return the confidence of the slices' intervals, and 1 - their false discovery rate."""
    return result.rate.confidence if result.rate else CONFIDENCE


def explain_slices(slices: "tuple[SliceRate, ...]", confidence: float) -> str:
    """Say which slices stand out from the rest of the audit.

    >>> explain_slices((), 0.95)
    'no prompt is in a slice'
    """
    if not slices:
        return "no prompt is in a slice"
    out = [quoted(entry.name, 60) for entry in slices if entry.stands_out(confidence)]
    stated = f"false discovery rate {percent(1 - confidence)}, Fisher's exact test, Benjamini-Hochberg"
    if not out:
        return f"none of {counted(len(slices), 'slice')} stands out from the rest ({stated})"
    verb = "stands" if len(out) == 1 else "stand"
    return f"{', '.join(out)} {verb} out, with more extracted than the rest ({stated})"


def slice_rows(slices: "tuple[SliceRate, ...]") -> list[tuple[str, ...]]:
    """Return a row for each slice, in the order of SLICE_HEADINGS."""
    return [
        (
            quoted(entry.name, 30)[1:-1],
            f"{entry.extracted:,} of {entry.groups:,}"
            + (f" ({entry.undecided:,} undecided)" if entry.undecided else ""),
            percent(entry.extracted / entry.groups),
            f"{percent(entry.lower)} to {percent(entry.upper)}",
            percent(entry.replicas / entry.generations) if entry.generations else "-",
            f"{entry.images:,}",
            f"{entry.q_value:.2g}",
        )
        for entry in slices
    ]
