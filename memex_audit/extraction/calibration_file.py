"""Calibrations in files: what `memex calibrate` measured -> JSON -> the thresholds of an audit."""

import difflib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from memex_audit.errors import CalibrationError
from memex_audit.records import Calibration, ScreenThreshold
from memex_audit.whole_file import whole_file

Check = tuple[Callable[[object], bool], str]


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calibration as JSON, whole or not at all.

    Raises:
        CalibrationError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            partial.write_text(json.dumps(asdict(calibration), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise CalibrationError(
            f"the calibration {path} must be writable, got {error.strerror or error}; name another file with "
            "--out: what was drawn for it is kept."
        ) from error


def read_calibration(path: Path) -> Calibration:
    """Read a calibration.

    Raises:
        CalibrationError: no such file, or not one that `memex calibrate` wrote; the message names the value.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _refused(path, str(error)) from error
    if not isinstance(values, dict):
        raise _refused(path, f"JSON of a {type(values).__name__}")
    if fault := _fault(values):
        raise _refused(path, fault)
    return Calibration(
        **{
            **values,
            "looks": tuple(values["looks"]),
            "screens": _screens(values),
            "clean_at": tuple(values.get("clean_at", ())),
        }
    )


def _screens(values: Mapping[str, Any]) -> tuple[ScreenThreshold, ...]:
    return tuple(ScreenThreshold(**screen) for screen in values.get("screens", ()))


def _refused(path: Path, found: str) -> CalibrationError:
    return CalibrationError(
        f"a calibration must be a JSON file written by `memex calibrate`, got {path}: {found}; run `memex "
        "calibrate` again."
    )


def _fault(values: Mapping[str, object]) -> str | None:
    for name in values:
        if name not in _FIELDS:
            near = difflib.get_close_matches(name, _FIELDS, n=1)
            return f"an unknown {name!r}" + (f", did you mean {near[0]}?" if near else "")
    for name, (check, words) in _FIELDS.items():
        if name not in values and name not in _OPTIONAL:
            return f"no {name}"
        if name in values and not check(values[name]):
            return f"{name} = {values[name]!r}, which is not {words}"
    return None


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_share(value: object, *, above_zero: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return (value > 0 or not above_zero) and 0 <= value <= 1


def _is_looks(value: object) -> bool:
    if not isinstance(value, list) or not value or not all(_is_whole(n, 2) for n in value):
        return False
    return all(a < b for a, b in pairwise(value))


def _is_screen(value: object) -> bool:
    if not isinstance(value, dict) or value.keys() != _SCREEN_FIELDS.keys():
        return False
    return all(check(value[name]) for name, check in _SCREEN_FIELDS.items())


_TEXT: Check = (lambda value: isinstance(value, str) and value != "", "a text")
_TEXT_OR_NULL: Check = (lambda value: value is None or isinstance(value, str), "a text or null")
_DELTA: Check = (lambda value: _is_share(value, above_zero=True), "in (0, 1]")
_FIELDS: Mapping[str, Check] = {
    "source": (lambda value: value == "calibrated", '"calibrated"'),
    "edge_delta": _DELTA,
    "match_delta": _DELTA,
    "screens": (
        lambda value: isinstance(value, list) and all(map(_is_screen, value)),
        "a list of the screens' thresholds, each with their rates",
    ),
    "clique_size": (lambda value: _is_whole(value, 2), "a whole number from 2 up"),
    "protocol": _TEXT,
    "looks": (_is_looks, "a list of growing numbers from 2 up"),
    "negatives": (lambda value: _is_whole(value, 1), "a whole number from 1 up"),
    "flagged": (lambda value: _is_whole(value, 0), "a whole number from 0 up"),
    "upper": (lambda value: _is_share(value, above_zero=False), "in [0, 1]"),
    "model_fingerprint": _TEXT,
    "settings_digest": _TEXT,
    "reference": _TEXT_OR_NULL,
    "embedder": _TEXT_OR_NULL,
    "clean_at": (
        lambda value: isinstance(value, list) and all(_is_whole(n, 0) for n in value),
        "a list of counts",
    ),
}
_SCREEN_FIELDS: Mapping[str, Callable[[object], bool]] = {
    "name": lambda value: isinstance(value, str) and value != "",
    "threshold": lambda value: isinstance(value, float) and math.isfinite(value),
    "flagged": lambda value: _is_whole(value, 0),
    "negatives": lambda value: _is_whole(value, 1),
    "lower": lambda value: _is_share(value, above_zero=False),
    "upper": lambda value: _is_share(value, above_zero=False),
    "seeds": lambda value: _is_whole(value, 1),
    "steps": lambda value: _is_whole(value, 1),
}
_OPTIONAL = ("screens", "reference", "embedder", "clean_at")
