"""What a check says."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from memex_audit.errors import MemexAuditError


class State(StrEnum):
    """OK; WARNING: an audit runs, and a user should know; MISSING: it would stop."""

    OK = "ok"
    WARNING = "warning"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at: what was found, and what to do about it."""

    name: str
    state: State
    said: str
    advice: str = ""


def checked(name: str, look: Callable[[], Check]) -> Check:
    """Return what a look gives; an error that would stop the audit too is what is missing."""
    try:
        return look()
    except MemexAuditError as error:
        return Check(name=name, state=State.MISSING, said=" ".join(str(error).split()))


def ok(name: str, said: str) -> Check:
    return Check(name=name, state=State.OK, said=said)


def warning(name: str, said: str, advice: str = "") -> Check:
    return Check(name=name, state=State.WARNING, said=said, advice=advice)


def missing(name: str, said: str, advice: str = "") -> Check:
    return Check(name=name, state=State.MISSING, said=said, advice=advice)
