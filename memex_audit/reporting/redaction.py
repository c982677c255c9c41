"""Names made of captions -> digests, where captions must not be shown."""

import dataclasses
import re

from memex_audit.explain import digest
from memex_audit.records import Match, SetAside


def kind_of_reason(reason: str) -> str:
    """Return what kind of fault a reason is: what stands before its first colon, without quoted names.

    >>> kind_of_reason("picture without a caption: no a-red-cat.txt")
    'picture without a caption'
    """
    kind = re.sub(r"""(["'`]).*?\1""", "...", reason)
    return kind.split(":", 1)[0].strip() or "unknown"


def redact_set_aside(entry: SetAside) -> SetAside:
    """Name what was set aside by its digest; of the reason only the kind stays."""
    kind = kind_of_reason(entry.reason)
    if entry.what:
        kind = kind.replace(entry.what, "...")
    return SetAside(what=digest(entry.what), reason=kind)


def redact_match(match: Match) -> Match:
    """Name a training image by its digest."""
    return dataclasses.replace(match, example_id=digest(match.example_id))
