"""A failed case -> what pytest shows of it: the breach in its own words, and each wall of text once.

pytest's traceback of a breached threshold would show the inside of an assert function, and the whole of
the message again in the short summary.
"""

import copy
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from _pytest._code.code import (
    ReprEntry,
    ReprEntryNative,
    ReprExceptionInfo,
    ReprFileLocation,
    ReprTraceback,
)

from memex_audit.assertions import Breach
from memex_audit.errors import MemexAuditError
from memex_audit.reporting.terminal import wrapped

MOST_IN_FULL = 3
WIDTH = 79  # An xdist worker does not know how wide the terminal is.
MARKER = "E   "
INDENT = " " * len(MARKER)
LABEL = 10


def show_breach(report: Any, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Put the words of a breach, or of an error of this package, in place of its traceback.

    Where the user asks for more of a traceback (--tb=native, --showlocals, --full-trace) it stays.
    """
    error = call.excinfo.value if call.excinfo else None
    option = item.config.option
    asked_for_more = option.tbstyle == "native" or option.showlocals or option.fulltrace
    if report.outcome != "failed" or asked_for_more or not isinstance(error, Breach | MemexAuditError):
        return
    assert call.excinfo is not None
    kind, short = type(error).__name__, error.short if isinstance(error, Breach) else str(error)
    path, line = _place(item, call.excinfo)
    claim, *rows = str(error).splitlines() or [kind]
    # An error of this package is one line; it is left one, to be searched for.
    claims = (
        [f"{kind}: {claim}"] if isinstance(error, MemexAuditError) else wrapped(claim, WIDTH - len(MARKER))
    )
    crash = ReprFileLocation(path, line, f"{kind}: {short}")
    report.longrepr = _shown(claims, [part for row in rows for part in _row(row)], crash, kind)
    report.memex_short = short


def _place(item: pytest.Item, excinfo: pytest.ExceptionInfo[BaseException]) -> tuple[str, int]:
    """Return where in the test's own file it happened, to be clicked on."""
    own = [entry for entry in excinfo.traceback if Path(entry.path) == item.path]
    line = own[-1].lineno if own else item.location[1] or 0
    return item.location[0], line + 1


def _row(row: str) -> list[str]:
    label, colon, said = row.partition(": ")
    if not colon or len(label) >= LABEL:
        return [INDENT + part for part in wrapped(row, WIDTH - len(INDENT))]
    if label == "Repeat":
        return [f"{INDENT}{label:<{LABEL}}{said}"]  # A command is copied whole.
    parts = wrapped(said, WIDTH - len(INDENT) - LABEL)
    return [f"{INDENT}{label if n == 0 else '':<{LABEL}}{part}" for n, part in enumerate(parts)]


def _shown(claims: list[str], rows: list[str], crash: ReprFileLocation, kind: str) -> ReprExceptionInfo:
    """Lay out a failure as pytest does one, so that xdist and every --tb style take it."""
    entry: dict[str, Any] = {"reprfuncargs": None, "reprlocals": None, "style": "short"}
    lines = [MARKER + claim for claim in claims]
    where = ReprFileLocation(crash.path, crash.lineno, kind)
    entries: list[ReprEntry | ReprEntryNative] = [
        ReprEntry(lines=lines, reprfileloc=None, **entry),
        ReprEntryNative([f"{row}\n" for row in rows]),
        ReprEntry(lines=[], reprfileloc=where, **entry),
    ]
    return ReprExceptionInfo(
        reprcrash=crash, reprtraceback=ReprTraceback(reprentries=entries, extraline=None, style="short")
    )


class FailureFolding:
    """Shortens what the terminal shows of failures when many are alike.

    The first breaches of a kind are shown in full and the others by their claim; an error that was shown
    is not shown again. Only the terminal: JUnit, Allure and others have taken the text in full before.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._off = config.option.verbose >= 2 or config.option.tbstyle == "long"
        self._breaches: Counter[str] = Counter()
        self._errors: dict[tuple[str, str], str] = {}

    def fold(self, report: Any) -> None:
        """Shorten a report that the terminal will print at the end, if others like it came before."""
        crash = getattr(report.longrepr, "reprcrash", None)
        if self._off or report.outcome != "failed" or crash is None:
            return
        kind = crash.message.partition(":")[0]
        if getattr(report, "memex_ending", None) == "broken":
            # An error of this package is the same wherever it is met.
            place = "" if hasattr(report, "memex_short") else f"{crash.path}:{crash.lineno}"
            seen = self._errors.setdefault((place, crash.message), report.nodeid)
            if seen != report.nodeid:
                report.longrepr = _shown(
                    crash.message.splitlines()[:1], [f"{INDENT}as in {seen}"], crash, kind
                )
        elif hasattr(report, "memex_short"):
            self._breaches[kind] += 1
            if self._breaches[kind] > MOST_IN_FULL:
                report.longrepr = self._folded(report, kind)

    def _folded(self, report: Any, kind: str) -> ReprExceptionInfo:
        folded: ReprExceptionInfo = copy.copy(report.longrepr)
        hint = " (each in full: -vv)" if self._breaches[kind] == MOST_IN_FULL + 1 else ""
        rows = [INDENT + part for part in wrapped(report.memex_short + hint, WIDTH - len(INDENT))]
        entries = folded.reprtraceback.reprentries
        folded.reprtraceback = copy.copy(folded.reprtraceback)
        folded.reprtraceback.reprentries = [entries[0], ReprEntryNative([f"{row}\n" for row in rows])]
        return folded
