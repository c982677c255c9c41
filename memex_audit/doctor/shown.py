"""Checks -> lines of a terminal, or JSON."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict

import click

from memex_audit.doctor.checks import Check, State

WIDEST = 110
INDENT = 25
COLOURS = {State.OK: "green", State.WARNING: "yellow", State.MISSING: "red"}


def check_lines(check: Check, width: int) -> list[str]:
    """Return the lines of one check, wrapped to a width: state, name, what was found, what to do."""
    room = max(30, min(width, WIDEST) - INDENT)
    lines = textwrap.wrap(check.said, room, break_long_words=False, break_on_hyphens=False)
    if check.advice:
        wrapped = textwrap.wrap(check.advice, room - 3, break_long_words=False, break_on_hyphens=False)
        lines += [f"{'  ' if number else '->'} {line}" for number, line in enumerate(wrapped)]
    first, *others = lines
    state = click.style(f"{check.state.value:<8}", fg=COLOURS[check.state])
    return [f" {state} {check.name:<14} {first}", *(" " * INDENT + line for line in others)]


def stops(checks: Sequence[Check]) -> bool:
    """Whether something would stop an audit."""
    return any(check.state is State.MISSING for check in checks)


def summary_line(checks: Sequence[Check]) -> str:
    """Say what the checks come to."""
    n_missing = sum(check.state is State.MISSING for check in checks)
    n_warnings = sum(check.state is State.WARNING for check in checks)
    warnings = f"{n_warnings} warning{'' if n_warnings == 1 else 's'}"
    if n_missing:
        things = "1 thing" if n_missing == 1 else f"{n_missing} things"
        return f"\n{things} would stop an audit; {warnings}."
    return f"\nNothing would stop an audit; {warnings}. Next: pytest audits/"


def checks_as_json(checks: Sequence[Check]) -> str:
    """Return the checks as JSON, and whether one of them would stop an audit."""
    return json.dumps({"stops": stops(checks), "checks": [asdict(check) for check in checks]}, indent=2)
