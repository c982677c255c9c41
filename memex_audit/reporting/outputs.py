"""Write down the result of a run, in every form that was asked for."""

from pathlib import Path
from typing import TYPE_CHECKING

from memex_audit.records import AuditResult

if TYPE_CHECKING:
    from memex_audit.config import Settings


def write_outputs(result: AuditResult, settings: "Settings", *, allure_folder: Path | None) -> list[str]:
    """Write the files that the settings name, and those that Allure reads beside its results.

    Returns:
        The files that a user asked for by name, to say where they are.
    """
    written = []
    if settings.json:
        from memex_audit.reporting.json_report import write_json

        write_json(Path(settings.json), result, redact=settings.redacts_captions)
        written.append(settings.json)
    if allure_folder and result.provenance:
        from memex_audit.reporting.allure_report import write_categories, write_environment

        write_environment(allure_folder, result.provenance, result.verdict)
        write_categories(allure_folder)
    return written
