"""Findings -> what an Allure report shows of each case. Nothing here is imported unless Allure is active."""

import html
from collections import Counter
from collections.abc import Sequence

import allure

from memex_audit.explain import REPEAT, counted, one_line
from memex_audit.explain_rate import rate_sentence
from memex_audit.explain_run import explain_verdict
from memex_audit.explain_untargeted import untargeted_sentence
from memex_audit.records import AuditResult, Finding, Protocol, Rate, UntargetedResult, Verdict
from memex_audit.reporting.charts import figures_of, kind_of

# Suites are sorted by name: what a reader must see stands first, the many that gave nothing back last.
RATE_SUITE = "5 Extraction rate"
CONTROL_SUITE = "6 Controls"
_SUITES = {
    "near miss": "1 Near misses",
    "extracted": "2 Extracted",
    "flagged": "3 Flagged",
    "undecided": "4 Undecided",
    "nothing given back": "7 Nothing given back",
}
_SEVERITIES = {
    "near miss": allure.severity_level.CRITICAL,
    "extracted": allure.severity_level.BLOCKER,
    "flagged": allure.severity_level.CRITICAL,
    "nothing given back": allure.severity_level.MINOR,
}
SVG = allure.attachment_type.SVG
MOST_LISTED = 20


class EvidenceBudget:
    """Bytes of pictures that one process may still attach: a report of some 400 MB does not open."""

    def __init__(self, n_bytes: float) -> None:
        self._left = n_bytes

    def takes(self, picture: bytes) -> bool:
        """Whether the picture is within the budget; if it is, its bytes are spent."""
        if len(picture) > self._left:
            return False
        self._left -= len(picture)
        return True


def file_case(suite: str) -> None:
    """Put the test that runs into a suite of the report."""
    allure.dynamic.parent_suite(suite)


def describe_case(finding: Finding, *, redact: bool) -> None:
    """Name and file the test that runs by what was found for its prompt.

    The figures are parameters that a case's history does not depend on.
    """
    kind = kind_of(finding)
    allure.dynamic.title(one_line(finding, redact))
    file_case(_SUITES[kind])
    if severity := _SEVERITIES.get(kind):
        allure.dynamic.severity(severity)
    figures = {
        "near-copies": finding.duplication_count,
        "generations": finding.generations,
        "replicas": finding.replicas,
        f"nearest l2{' at least' * finding.nearest_is_bound}": (
            None if finding.nearest is None else round(finding.nearest, 4)
        ),
    }
    for name, value in figures.items():
        if value is not None:
            allure.dynamic.parameter(name, value, excluded=True)


def describe_batch(findings: Sequence[Finding], *, redact: bool) -> None:
    """Name and file the test of a batch by the worst that was found for any of its prompts."""
    kinds = Counter(map(kind_of, findings))
    worst = next(kind for kind in _SUITES if kinds[kind])
    shown = [f"{kinds[kind]:,} {kind}" for kind in _SUITES if kinds[kind]]
    allure.dynamic.title(f"{counted(len(findings), 'prompt')}: {', '.join(shown)}")
    file_case(_SUITES[worst])
    if severity := _SEVERITIES.get(worst):
        allure.dynamic.severity(severity)
    listed = [one_line(finding, redact) for finding in findings if kind_of(finding) != "nothing given back"]
    if len(listed) > MOST_LISTED:
        listed = [*listed[:MOST_LISTED], f"and {len(listed) - MOST_LISTED:,} more"]
    if listed:
        allure.dynamic.description_html(paragraphs("\n".join(listed)))


def attach_finding(
    finding: Finding, sheet_jpeg: bytes, text: str | None, budget: EvidenceBudget, *, name: str = "evidence"
) -> bool:
    """Attach the evidence of a finding to the test that runs: outside of one Allure has no place for it.

    Args:
        finding: its kind becomes a tag to filter by.
        sheet_jpeg: from figures.evidence_sheet with mosaic=True, never originals.
        text: from explain.explain_finding; None where the failure says it.
        budget: of this process.
        name: of the sheet; of several on one test, what tells them apart.

    Returns:
        Whether the sheet was attached, or left out for the budget and a line in its place.
    """
    verdict = [finding.verdict.value] if finding.verdict is not Verdict.NOT_FLAGGED else []
    allure.dynamic.tag(*verdict, *(["near miss"] if finding.near_miss else []))
    if text:
        allure.dynamic.description_html(paragraphs(text))
    return _attach_sheet(sheet_jpeg, budget, name)


def attach_untargeted(result: UntargetedResult, sheet_jpeg: bytes, budget: EvidenceBudget) -> bool:
    """Attach what an untargeted extraction found to the test that runs, as `attach_finding` does."""
    file_case(_SUITES["extracted"] if result.extracted else RATE_SUITE)
    allure.dynamic.description_html(paragraphs(untargeted_sentence(result)))
    return _attach_sheet(sheet_jpeg, budget, "evidence")


def _attach_sheet(sheet_jpeg: bytes, budget: EvidenceBudget, name: str) -> bool:
    if budget.takes(sheet_jpeg):
        allure.attach(sheet_jpeg, f"{name} (mosaic)", allure.attachment_type.JPG)
        return True
    left_out = (
        f"The sheet of mosaics ({len(sheet_jpeg) / 1024:.0f} KiB) was left out: the pictures of this run "
        "have come to what --memex-evidence-mb allows."
    )
    allure.attach(left_out, f"{name} (left out)", allure.attachment_type.TEXT)
    return False


def attach_rate(rate: Rate, findings: Sequence[Finding], protocol: Protocol, *, count_flagged: bool) -> None:
    """Attach both figures to the test that runs, and say the rate in its description."""
    file_case(RATE_SUITE)
    allure.dynamic.description_html(paragraphs(rate_sentence(rate)))
    for name, svg in _figures(findings, protocol, rate.confidence, count_flagged=count_flagged):
        allure.attach(svg, name, SVG)


def attach_to_report(result: AuditResult, *, confidence: float) -> None:
    """Attach to the report as a whole what the run says: also where no rate case ran."""
    said = [f"{result.verdict.value.upper()}: {explain_verdict(result)}"]
    if result.rate:
        said.append(f"Rate: {rate_sentence(result.rate)}.")
    if result.untargeted:
        said.append(f"Untargeted: {untargeted_sentence(result.untargeted)}.")
    said += [f"Note: {note}" for note in result.notes]
    allure.global_attach("\n".join(said), "verdict", allure.attachment_type.TEXT)
    if result.protocol is None or not result.findings:
        return
    count_flagged = result.provenance is not None and result.provenance.training_set is None
    for name, svg in _figures(result.findings, result.protocol, confidence, count_flagged=count_flagged):
        allure.global_attach(svg, name, SVG)


def _figures(
    findings: Sequence[Finding], protocol: Protocol, confidence: float, *, count_flagged: bool
) -> Sequence[tuple[str, str]]:
    return tuple(
        figures_of(
            findings, match_delta=protocol.match_delta, confidence=confidence, count_flagged=count_flagged
        )
    )


def paragraphs(text: str) -> str:
    """Turn lines into paragraphs of HTML in which nothing is markup; a command is set to be copied."""
    shown = []
    for line in text.splitlines():
        label, colon, said = line.partition(": ")
        if line.startswith(REPEAT):
            shown.append(f"<p>{html.escape(label)}:</p><pre>{html.escape(said)}</pre>")
        elif colon and label in ("Evidence", "How sure", "Next"):
            shown.append(f"<p><b>{label}:</b> {html.escape(said)}</p>")
        else:
            shown.append(f"<p>{html.escape(line)}</p>")
    return "\n".join(shown)
