"""Result <-> JSON, in the shape of memex-report.schema.json: what every other output can be made of again."""

import dataclasses
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from memex_audit.errors import ReportError
from memex_audit.explain_slices import slices_of
from memex_audit.records import AuditResult, Finding, UntargetedResult
from memex_audit.reporting.redaction import (
    kind_of_reason,
    redact_match,
    redact_set_aside,
    redact_trigger,
    redact_untargeted,
)
from memex_audit.whole_file import whole_file

SCHEMA = 1
PLAIN = frozenset({str, int, float, bool, NoneType})
SCHEMA_FILE = Path(__file__).with_name("memex-report.schema.json")

Record = TypeVar("Record")


def record_to_dict(record: object) -> dict[str, Any]:
    """Turn a record into plain dicts, lists, strings, numbers, booleans and None.

    Only these exact types, so that JSON, and what carries pytest-xdist's messages, take it.
    """
    return {name: plain(getattr(record, name)) for name in _fields(type(record))}  # type: ignore[arg-type]


def record_from_dict(kind: type[Record], data: Mapping[str, Any]) -> Record:
    """Make the record of that kind again; the inverse of record_to_dict.

    Values that a record declares as `object` (settings) come back plain: their tuples as lists.
    """
    hints = _hints(kind)  # type: ignore[arg-type]
    return kind(
        **{
            # An exact type that a field asks for is what it is made of: of a hundred thousand findings most.
            name: value if type(value) is hints[name] else _typed(hints[name], value)
            for name, value in data.items()
        }
    )


@cache
def _fields(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def result_to_json(result: AuditResult, *, redact: bool = False) -> dict[str, Any]:
    """Return the result in the shape of memex-report.schema.json.

    Args:
        result: of a run.
        redact: prompts become null; ids of training images, and names of what was set aside, become the
            first 12 hex digits of their SHA-256, since both are often made of captions.
    """
    findings = [_finding_to_json(finding, redact=redact) for finding in result.findings]
    return {name: findings if name == "findings" else value for name, value in _parts(result, redact=redact)}


def _parts(result: AuditResult, *, redact: bool) -> Iterator[tuple[str, Any]]:
    """Yield the entries of the file in their order; in the place of the findings None."""
    slices = [record_to_dict(entry) for entry in slices_of(result)]
    yield from {
        "schema": SCHEMA,
        "verdict": result.verdict.value,
        "rate": _or_null(result.rate),
        "protocol": _or_null(result.protocol),
        "calibration": _or_null(result.calibration),
        "findings": None,
        "set_aside": _set_aside_to_json(result, redact=redact),
        "controls": [record_to_dict(control) for control in result.controls],
        "canaries": _or_null(result.canaries),
        "notes": list(result.notes),
        "provenance": finite(_or_null(result.provenance)),
        **({"slices": slices} if slices else {}),
        **(
            {"untargeted": _untargeted_to_json(result.untargeted, redact=redact)} if result.untargeted else {}
        ),
    }.items()


def json_lines(result: AuditResult, *, redact: bool = False) -> Iterator[bytes]:
    """Yield the JSON file of a result a few lines at a time; a finding is a line, however many there are."""
    opening = "{"
    for name, value in _parts(result, redact=redact):
        yield _encoded(f'{opening}\n  "{name}": ')
        opening = ","
        if name == "findings":
            yield from _finding_lines(result, redact=redact)
        else:
            text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
            yield _encoded(text.replace("\n", "\n  "))
    yield b"\n}\n"


def _finding_lines(result: AuditResult, *, redact: bool) -> Iterator[bytes]:
    lines = (
        json.dumps(_finding_to_json(finding, redact=redact), ensure_ascii=False, allow_nan=False)
        for finding in result.findings
    )
    opening = "["
    for line in lines:
        yield _encoded(f"{opening}\n    {line}")
        opening = ","
    yield b"\n  ]" if result.findings else b"[]"


def _encoded(text: str) -> bytes:
    # A lone surrogate in a caption (a file name that is no UTF-8) must not lose the report.
    return text.encode("utf-8", "backslashreplace")


def result_to_bytes(result: AuditResult, *, redact: bool = False) -> bytes:
    """Return the JSON file of a result: what `write_json` writes, and what a report's SHA-256 is of."""
    return b"".join(json_lines(result, redact=redact))


def write_json(path: Path, result: AuditResult, *, redact: bool = False) -> str:
    """Write the result to a file that is there whole or not at all; return its SHA-256, 64 hex digits."""
    total = hashlib.sha256()
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        with partial.open("wb") as file:
            for lines in json_lines(result, redact=redact):
                total.update(lines)
                file.write(lines)
        partial.chmod(0o644)
    return total.hexdigest()


def json_sha256(result: AuditResult, *, redact: bool = False) -> str:
    """Return the SHA-256 of a result's JSON file, whether or not it could be written."""
    total = hashlib.sha256()
    for lines in json_lines(result, redact=redact):
        total.update(lines)
    return total.hexdigest()


def read_result(path: Path) -> AuditResult:
    """Read a result that `write_json` wrote.

    What the file leaves out stays out: seeds are empty, and a redacted prompt is an empty text.

    Raises:
        ReportError: it cannot be read, is no such file, or is of another version of it.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReportError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise ReportError(f"{path} must be JSON written by --memex-json, got {error}.") from error
    version = data.get("schema") if isinstance(data, dict) else None
    if version != SCHEMA:
        raise ReportError(
            f"{path} must be a result of schema {SCHEMA}, got schema={version}; "
            "audit again with this version of memex-audit."
        )
    try:
        return _result_from_json(data)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ReportError(
            f"{path} must hold a whole result, got {type(error).__name__}: {error}; audit again."
        ) from error


def _result_from_json(data: dict[str, Any]) -> AuditResult:
    # Slices are made of the findings again.
    entries = {name: value for name, value in data.items() if name not in ("schema", "slices")}
    entries["findings"] = [
        {**entry, "prompt": entry["prompt"] or "", "clique_seeds": [], "replica_seeds": []}
        for entry in entries["findings"]
    ]
    entries["set_aside"] = entries["set_aside"]["entries"]
    return record_from_dict(AuditResult, entries)


_SHOWN = (
    "prompt_id", "prompt", "duplication_count", "group_id", "verdict", "near_miss", "generations",
    "set_aside", "network_evaluations", "clique_size", "replicas", "blind_spot", "nearest",
    "nearest_is_bound", "match", "images_extracted", "images", "screen", "slice", "trigger", "refused",
    "absent",
)  # fmt: skip


def _finding_to_json(finding: Finding, *, redact: bool) -> dict[str, Any]:
    shown = {name: plain(getattr(finding, name)) for name in _SHOWN}
    if redact:
        shown["prompt"] = None
        shown["match"] = None if finding.match is None else record_to_dict(redact_match(finding.match))
        shown["images"] = [record_to_dict(redact_match(image)) for image in finding.images]
        shown["trigger"] = finding.trigger and record_to_dict(redact_trigger(finding.trigger))
    return shown


def _untargeted_to_json(found: UntargetedResult, *, redact: bool) -> dict[str, Any]:
    return record_to_dict(redact_untargeted(found) if redact else found)


def _set_aside_to_json(result: AuditResult, *, redact: bool) -> dict[str, Any]:
    entries = result.set_aside
    if redact:
        entries = tuple(map(redact_set_aside, entries))
    return {
        "total": len(entries),
        "by_reason": dict(Counter(kind_of_reason(entry.reason) for entry in entries).most_common()),
        "generations": sum(finding.set_aside for finding in result.findings),
        "entries": [record_to_dict(entry) for entry in entries],
    }


def _or_null(record: object) -> dict[str, Any] | None:
    return None if record is None else record_to_dict(record)


def plain(value: object) -> object:
    """Turn a value, and what it holds, into what JSON has."""
    if type(value) in PLAIN:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return record_to_dict(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(entry) for entry in value]
    return _plain_scalar(value)


def _plain_scalar(value: object) -> object:
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    # NumPy scalars are no Python numbers, but know theirs.
    return value.item() if hasattr(value, "item") else str(value)


def _typed(hint: Any, value: Any) -> Any:
    options = [option for option in get_args(hint) if option is not NoneType]
    if hint is object or (value is None and NoneType in get_args(hint)):
        return value
    if get_origin(hint) is tuple:
        return tuple(_typed(options[0], entry) for entry in _checked(list, value))
    if get_origin(hint) is dict:
        return dict(_checked(dict, value))
    return _typed(options[0], value) if options else _typed_scalar(hint, value)


def _typed_scalar(hint: type, value: Any) -> Any:
    if dataclasses.is_dataclass(hint):
        return record_from_dict(hint, _checked(dict, value))
    return hint(value) if issubclass(hint, Enum) else _checked(hint, value)


def _checked(kind: type, value: Any) -> Any:
    """Return a value of a plain type; JSON writes 1.0 as it likes, and True is no number."""
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} expected, got {value!r}")
    return value


def finite(value: Any) -> Any:
    """Write numbers that JSON does not have as words: a setting may be infinite."""
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [finite(entry) for entry in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
