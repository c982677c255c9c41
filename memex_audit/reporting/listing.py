"""Result -> what a report lists of it: findings by what they are, what was set aside by its reason."""

from collections import Counter
from collections.abc import Iterator, Sequence

from memex_audit.explain import example_name, figures, prompt_name, quoted
from memex_audit.records import ABSENT, REFUSED, AuditResult, Finding, Verdict
from memex_audit.reporting.markdown import LONGEST, code
from memex_audit.reporting.redaction import kind_of_reason


def listed_findings(findings: Sequence[Finding]) -> Iterator[tuple[str, list[Finding]]]:
    """Yield the findings to look at by what they are: near misses first, since no case names them."""
    kinds = {
        "near misses": [f for f in findings if f.near_miss],
        "extracted": [f for f in findings if f.verdict is Verdict.EXTRACTED],
        "flagged": [f for f in findings if f.verdict is Verdict.FLAGGED and not f.near_miss],
        "undecided": [f for f in findings if f.verdict is Verdict.UNDECIDED and not f.near_miss],
    }
    yield from ((name, those) for name, those in kinds.items() if those)


def count_of(findings: Sequence[Finding]) -> str:
    """Say how many prompts these are."""
    return "1 prompt" if len(findings) == 1 else f"{len(findings):,} prompts, most duplicated first"


def finding_items(findings: Sequence[Finding], *, most: int, redact: bool) -> Iterator[str]:
    """Yield list items, a kind after the other; prompts stand last, so that no script reorders the rest."""
    for name, those in listed_findings(findings):
        yield f"- **{name.capitalize()}**: {count_of(those)}"
        for finding in those[:most]:
            prompt = code(prompt_name(finding, redact=redact, longest=LONGEST))
            image = ""
            if finding.match:
                image = f", training image {code(example_name(finding.match, redact=redact), LONGEST)}"
            yield f"  - {figures(finding)}: {prompt}{image}"
        if len(those) > most:
            yield f"  - and {len(those) - most:,} more in the JSON"


def set_aside_sentence(result: AuditResult) -> str:
    """Count what could not be used by its reason; nothing where all could be."""
    reasons = Counter(kind_of_reason(entry.reason) for entry in result.set_aside)
    # The reason may hold a file's name, and a file's name anything.
    said = [f"{count:,} {quoted(reason)[1:-1]}" for reason, count in reasons.most_common()]
    refused = sum(finding.refused for finding in result.findings)
    absent = sum(finding.absent for finding in result.findings)
    broken = sum(finding.set_aside for finding in result.findings) - refused - absent
    said += [
        f"{count:,} generations {reason}"
        for count, reason in (
            (refused, REFUSED),
            (absent, ABSENT),
            (broken, "blank, broken or of another size"),
        )
        if count
    ]
    return "; ".join(said)
