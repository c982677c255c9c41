"""Write down the result of a run, in every form that was asked for."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from memex_audit.records import AuditResult
from memex_audit.reporting.json_report import json_sha256, write_json
from memex_audit.whole_file import write_whole

if TYPE_CHECKING:
    from memex_audit.config import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A file that was asked for, and why it is not there where it could not be written."""

    name: str
    problem: str | None = None


def write_outputs(
    result: AuditResult,
    settings: "Settings",
    *,
    allure_folder: Path | None,
    summary_file: Path | None,
    ci: Mapping[str, str] | None = None,
) -> list[Output]:
    """Write the files that the settings name, and those that Allure reads beside its results.

    A page with --memex-report rests on the JSON: without --memex-json this is written beside it.

    Args:
        result: of the run.
        settings: of the run.
        allure_folder: where Allure's results are, if it is active.
        summary_file: the step summary of GitHub Actions, if the run is part of a step.
        ci: the variables that say which CI job this is, of those that plugin.CI_VARIABLES names.

    Returns:
        The files that a user asked for by name, to say where they are, or why they are not.
    """
    redact = settings.redacts_captions
    written = []
    json_name = settings.json or (f"{settings.report}.json" if settings.report else None)
    if json_name:
        digests: list[str] = []
        written.append(
            _attempt(json_name, lambda: digests.append(write_json(Path(json_name), result, redact=redact)))
        )
        if report := settings.report:
            digests = digests or [json_sha256(result, redact=redact)]
            page = _report_page(result, json_name, digests[0], redact=redact)
            written.append(_attempt(report, lambda: write_whole(Path(report), page)))
    if summary_file:
        from memex_audit.reporting.step_summary import append_step_summary

        done = _attempt("step summary", lambda: append_step_summary(summary_file, result, redact=redact))
        written += [done] if done.problem else []
    if allure_folder:
        done = _attempt("Allure's files", lambda: _complete_allure(allure_folder, result, settings, ci or {}))
        written += [done] if done.problem else []
    return written


def _complete_allure(folder: Path, result: AuditResult, settings: "Settings", ci: Mapping[str, str]) -> None:
    from memex_audit.reporting.allure_files import write_allure_files
    from memex_audit.reporting.allure_report import attach_to_report

    write_allure_files(folder, result, ci, now=time.time())
    attach_to_report(result, confidence=settings.confidence)


def _report_page(result: AuditResult, json_name: str, sha256: str, *, redact: bool) -> bytes:
    from memex_audit.reporting.markdown_report import report_page

    page = report_page(result, json_name=Path(json_name).name, json_sha256=sha256, redact=redact)
    return page.encode("utf-8", "replace")


def _attempt(name: str, write: Callable[[], None]) -> Output:
    try:
        write()
    except OSError as error:
        return Output(name=name, problem=error.strerror or str(error))
    return Output(name=name)
