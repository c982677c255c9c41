"""The policy that an audit case is judged by, the command that repeats it, and what it sends along."""

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from memex_audit.assertions import AuditInconclusive, Breach, ReplicaExtracted
from memex_audit.config import OPTIONS, Settings
from memex_audit.errors import MemexAuditError
from memex_audit.failures import show_breach
from memex_audit.records import AuditPrompt
from memex_audit.reporting.json_report import plain

RECORDS: "pytest.StashKey[list[dict[str, Any]]]" = pytest.StashKey()
ENDING: "pytest.StashKey[str]" = pytest.StashKey()
SETTINGS: "pytest.StashKey[Settings]" = pytest.StashKey()
# Of a batch: the prompt that is being asked for, and what its policy warns of.
ASKED: "pytest.StashKey[AuditPrompt]" = pytest.StashKey()
WARNED: "pytest.StashKey[list[Warning]]" = pytest.StashKey()
REPORTS = ("json", "report")
MOST_SELECTED = 20


class InconclusiveAudit(UserWarning):
    """An inconclusive case under --memex-inconclusive warn."""


def case_settings(item: pytest.Item, settings: Settings) -> Settings:
    """Return the settings of one case: its memex marker over the session's."""
    if SETTINGS not in item.stash:
        for marker in reversed(list(item.iter_markers("memex"))):
            settings = replace(settings, **marker.kwargs)
        item.stash[SETTINGS] = settings
    return item.stash[SETTINGS]


@contextmanager
def of_prompt(item: pytest.Item, prompt: AuditPrompt) -> Iterator[list[Warning]]:
    """Let a case of a batch be the case of one of its prompts; give what is warned of meanwhile."""
    item.stash[ASKED], item.stash[WARNED] = prompt, []
    try:
        yield item.stash[WARNED]
    finally:
        del item.stash[ASKED], item.stash[WARNED]


def rerun_command(item: pytest.Item) -> str:
    """Return the command that repeats one case; in a batch, the prompt that is being asked for."""
    asked = item.stash.get(ASKED, None)
    return repeat_prompts(item, [asked]) if asked else _command(item, item.name)


def repeat_prompts(item: pytest.Item, prompts: Sequence[AuditPrompt]) -> str:
    """Return the command that repeats prompts of a batch, each as a case; of many, the whole batch."""
    if len(prompts) > MOST_SELECTED:
        return _command(item, item.name)
    selected = " or ".join(prompt.prompt_id for prompt in prompts)
    name = getattr(item, "originalname", item.name)
    return _command(item, name, "--memex-granularity", "prompt", "-k", selected)


def _command(item: pytest.Item, name: str, *selected: str) -> str:
    """Return a command for tests of that name. It writes no report: that would be one of these cases alone.

    Where captions are redacted, a negative prompt is left for the reader to fill in.
    """
    redacts = "captions" in (item.config.getoption("memex_redact"), item.config.getini("memex_redact"))
    left_out = (*REPORTS, "granularity") if selected else REPORTS
    given = [
        word
        for option in OPTIONS
        if option.name not in left_out
        and (value := item.config.getoption(f"memex_{option.name}")) is not None
        for word in (option.flag, "TEXT" if redacts and option.name == "negative_prompt" else str(value))
    ]
    # A node id is relative to the root folder, and what is typed to the folder that pytest was called in.
    path = os.path.relpath(item.path, item.config.invocation_params.dir)
    outer = item.nodeid.removesuffix(item.name).split("::")[1:-1]
    return shlex.join(["pytest", "::".join([path, *outer, name]), *given, *selected])


@contextmanager
def judged_by_policy(item: pytest.Item, settings: Settings) -> Iterator[None]:
    """Turn an extracted case into an xfail, or an inconclusive one into a warning, where asked to."""
    chosen = case_settings(item, settings)
    try:
        yield
    except Breach as error:
        error.complete(rerun=rerun_command(item), redact=chosen.redacts_captions)
        if isinstance(error, ReplicaExtracted) and chosen.on_extracted == "xfail":
            pytest.xfail(error.short)
        if not isinstance(error, AuditInconclusive):
            raise
        item.stash[ENDING] = "inconclusive"
        if chosen.inconclusive != "warn":
            raise
        # The claim alone: the summary says what it rests on.
        warning = InconclusiveAudit(str(error).partition("\n")[0])
        if WARNED in item.stash:
            item.stash[WARNED].append(warning)
        else:
            item.warn(warning)
    except MemexAuditError as error:
        if chosen.redacts_captions:
            error.redact()
        raise


def annotate(report: Any, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Put the case's ending and records on its report; xdist carries them to the controller."""
    report.memex_ending = item.stash.get(ENDING, None) or _ending(report, call)
    report.memex_records = _sendable(item) if report.when == "call" else []
    show_breach(report, item, call)


def _sendable(item: pytest.Item) -> list[dict[str, Any]]:
    """Return what a case recorded; from an xdist worker in plain types, which travel."""
    records = item.stash.get(RECORDS, [])
    if not hasattr(item.config, "workeroutput"):
        return records
    return [{**entry, "record": plain(entry["record"])} for entry in records]


def _ending(report: pytest.TestReport, call: pytest.CallInfo[None]) -> str:
    if report.passed or report.skipped or call.excinfo is None:
        return "passed"
    error = call.excinfo.value
    return "failed" if report.when == "call" and isinstance(error, AssertionError) else "broken"
