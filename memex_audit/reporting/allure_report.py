"""Findings -> Allure. Nothing here is called, or imported, unless allure-pytest is active."""

import json
from pathlib import Path

import allure

from memex_audit.records import Finding, Provenance, RunVerdict
from memex_audit.reporting.json_report import record_to_dict

# Read as a Java and as a JavaScript expression, in which (?s) is not known.
_ANY = r"[\s\S]*"
_CATEGORIES: tuple[tuple[str, str, str | None], ...] = (
    ("replica extracted", "failed", "ReplicaExtracted"),
    ("rate over the limit", "failed", "RateExceeded"),
    ("inconclusive", "failed", "AuditInconclusive"),
    ("control failed", "failed", "ControlFailed"),
    ("training set duplicated", "failed", "TrainingSetDuplicated"),
    ("audit broken", "broken", None),
)


def attach_finding(finding: Finding, sheet_jpeg: bytes | None, text: str) -> None:
    """Attach the evidence of a finding to the test that runs: outside of one Allure has no place for it.

    Args:
        finding: its verdict, and a near miss, become tags to filter by.
        sheet_jpeg: from figures.evidence_sheet with mosaic=True, never originals.
        text: from explain.explain_finding.
    """
    tags = [finding.verdict.value, *(["near miss"] if finding.near_miss else [])]
    allure.dynamic.tag(*tags)
    allure.attach(text, "finding", allure.attachment_type.TEXT)
    if sheet_jpeg is not None:
        allure.attach(sheet_jpeg, "evidence (mosaic)", allure.attachment_type.JPG)


def write_environment(allure_dir: Path, provenance: Provenance, verdict: RunVerdict) -> None:
    """Write environment.properties: the verdict and what it was reached with."""
    data = record_to_dict(provenance)
    settings, versions = data.pop("settings"), data.pop("versions")
    entries = {"verdict": verdict.value, **data}
    entries |= {f"settings.{name}": value for name, value in settings.items()}
    entries |= {f"versions.{name}": value for name, value in versions.items()}
    lines = [
        f"{_escaped(name, key=True)} = {_escaped(str(value))}\n"
        for name, value in entries.items()
        if value is not None
    ]
    allure_dir.mkdir(parents=True, exist_ok=True)
    (allure_dir / "environment.properties").write_text("".join(lines), encoding="ascii")


def write_categories(allure_dir: Path) -> None:
    """Write categories.json: failures by what they mean."""
    categories = []
    for name, status, exception in _CATEGORIES:
        category: dict[str, object] = {"name": name, "matchedStatuses": [status]}
        if exception is not None:
            category["messageRegex"] = f"{_ANY}{exception}{_ANY}"
        categories.append(category)
    allure_dir.mkdir(parents=True, exist_ok=True)
    (allure_dir / "categories.json").write_text(json.dumps(categories, indent=2) + "\n", encoding="utf-8")


def _escaped(text: str, *, key: bool = False) -> str:
    """Escape for a Java properties file: no value can end its line or begin another entry."""
    special = "\\ :=#!" if key else "\\"
    return "".join(_escaped_character(character, special) for character in text)


def _escaped_character(character: str, special: str) -> str:
    if character in special:
        return "\\" + character
    if " " <= character <= "~":
        return character
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
