"""Baselines in files: what `memex bless` wrote, reviewed in git, -> what an audit is compared with."""

import json
import re
from pathlib import Path
from typing import Any

from memex_audit.comparing import Baseline
from memex_audit.errors import ComparisonError
from memex_audit.reporting.json_report import finite, record_from_dict, record_to_dict
from memex_audit.whole_file import write_whole

SCHEMA = 1
FOLDER = Path("audits", "baselines")


def baseline_path(model: str) -> Path:
    """Return where a model's baseline lies, from the project's root: audits/baselines/NAME.json.

    >>> baseline_path("specimen:duplicated").as_posix()
    'audits/baselines/specimen-duplicated.json'
    """
    return FOLDER / f"{re.sub(r'[^A-Za-z0-9._]+', '-', model).strip('-.') or 'model'}.json"


def baseline_bytes(baseline: Baseline) -> bytes:
    """Return a baseline's file: the same bytes for the same figures, a line a prompt, for reviews."""
    data = finite({"schema": SCHEMA, **record_to_dict(baseline)})
    rows = [json.dumps(prompt, sort_keys=True) for prompt in data.pop("prompts")]
    head = json.dumps({**data, "prompts": []}, indent=2, sort_keys=True, allow_nan=False)
    listed = ",\n    ".join(rows)
    return (head.replace('"prompts": []', f'"prompts": [\n    {listed}\n  ]') + "\n").encode()


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write a baseline, whole or not at all.

    Raises:
        ComparisonError: it cannot be written.
    """
    try:
        write_whole(path, baseline_bytes(baseline))
    except OSError as error:
        raise ComparisonError(
            f"the baseline {path} must be writable, got {error.strerror or error}; name another file."
        ) from error


def is_baseline(path: Path) -> bool:
    """Whether a file looks like a baseline, and not like the result of an audit."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(data, dict) and "prompts" in data and "findings" not in data


def read_baseline(path: Path) -> Baseline:
    """Read a baseline.

    Raises:
        ComparisonError: there is none, or it is not one that this version wrote.
    """
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ComparisonError(
            f"the baseline {path} cannot be read: {error.strerror or error}; `memex bless` writes one."
        ) from error
    except ValueError as error:
        raise ComparisonError(_refused(path, f"{error}")) from error
    version = data.pop("schema", None) if isinstance(data, dict) else None
    if version != SCHEMA:
        raise ComparisonError(_refused(path, f"schema={version}, where this version reads {SCHEMA}"))
    try:
        return record_from_dict(Baseline, data)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ComparisonError(_refused(path, f"{type(error).__name__}: {error}")) from error


def _refused(path: Path, found: str) -> str:
    return f"a baseline must be a file written by `memex bless`, got {path}: {found}; bless a run again."
