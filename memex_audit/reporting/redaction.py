"""Names made of captions -> digests, where captions must not be shown."""

import dataclasses
import re
from typing import TypeVar

from memex_audit.explain import digest
from memex_audit.records import (
    AuditResult,
    Finding,
    ImageExtracted,
    ImageReplicated,
    Match,
    SetAside,
    Trigger,
    UntargetedResult,
)

_NamesImage = TypeVar("_NamesImage", Match, ImageExtracted, ImageReplicated)

# Where a reason goes over from its kind to what it found: `: `, `, got`, ` of a.png` (not ` of 5 rows`).
_DETAILS = re.compile(r""":|, got\b| of (?!\d+ )|["'`]""")


def kind_of_reason(reason: str) -> str:
    """Return what kind of fault a reason is: its words up to where it begins to quote or to name things.

    >>> kind_of_reason("picture without a caption: no a-red-cat.txt")
    'picture without a caption'
    >>> kind_of_reason("empty caption of a-red-cat.png")
    'empty caption'
    """
    return _DETAILS.split(reason, maxsplit=1)[0].strip() or "unknown"


def redact_set_aside(entry: SetAside) -> SetAside:
    """Name what was set aside by its digest; of the reason only the kind stays."""
    kind = kind_of_reason(entry.reason)
    if len(entry.what) > 3:  # a shorter one is part of any word
        kind = kind.replace(entry.what, "...")
    return SetAside(what=digest(entry.what), reason=kind)


def redact_match(match: _NamesImage) -> _NamesImage:
    """Name a training image by its digest."""
    return dataclasses.replace(match, example_id=digest(match.example_id))


def redact_trigger(trigger: Trigger) -> Trigger:
    """Leave the words out: only how many they are stays."""
    return dataclasses.replace(trigger, text="", kept=())


def redact_untargeted(found: UntargetedResult) -> UntargetedResult:
    """Name training images by their digests."""
    return dataclasses.replace(found, images=tuple(map(redact_match, found.images)))


def redact_result(result: AuditResult) -> AuditResult:
    """Leave out of a result what is a caption, or made of one."""
    return dataclasses.replace(
        result,
        findings=tuple(map(_redact_finding, result.findings)),
        set_aside=tuple(map(redact_set_aside, result.set_aside)),
        untargeted=None if result.untargeted is None else redact_untargeted(result.untargeted),
    )


def _redact_finding(finding: Finding) -> Finding:
    return dataclasses.replace(
        finding,
        prompt="",
        match=None if finding.match is None else redact_match(finding.match),
        images=tuple(map(redact_match, finding.images)),
        trigger=None if finding.trigger is None else redact_trigger(finding.trigger),
    )
