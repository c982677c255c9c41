"""Read the lines of a CSV or JSONL file with their numbers, so that a fault can name its line."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from memex_audit.errors import TrainingSetError


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line: its values by column, or the `fault` that makes it unusable."""

    number: int
    values: dict[str, object]
    fault: str | None = None


def read_lines(path: Path, columns: Sequence[Sequence[str]]) -> Iterator[Line]:
    """Yield the lines of a `.csv` or `.jsonl` file.

    Args:
        path: a UTF-8 file, with or without a byte order mark; a CSV file starts with a header.
        columns: the columns that must be there; of each, the names that will do.

    Raises:
        TrainingSetError: the file cannot be read, is no CSV, or its header lacks a column.
    """
    reader = _read_csv if path.suffix.lower() == ".csv" else _read_jsonl
    try:
        yield from reader(path, columns)
    except OSError as error:
        msg = f"{path} cannot be read ({error.strerror}); check the path and its permissions."
        raise TrainingSetError(msg) from error


def missing_column(columns: Sequence[Sequence[str]], present: Sequence[str]) -> str | None:
    """Return the first of `columns` of which no name is present, worded, or None."""
    for names in columns:
        if not set(names) & set(present):
            return " or ".join(names)
    return None


def _read_csv(path: Path, columns: Sequence[Sequence[str]]) -> Iterator[Line]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        # Not strict, an unclosed quote would swallow the rest of the file as one field.
        reader = csv.DictReader(file, strict=True)
        try:
            if missing := missing_column(columns, reader.fieldnames or ()):
                found = ", ".join(reader.fieldnames or ()) or "none"
                msg = f"{path} must have a column {missing}, got columns {found}; name it in the first line."
                raise TrainingSetError(msg)
            for values in reader:
                yield Line(number=reader.line_num, values=dict(values), fault=_field_fault(values))
        except csv.Error as error:
            msg = f"{path} must be CSV, got after line {reader.line_num}: {error}; quote its fields."
            raise TrainingSetError(msg) from error
        except UnicodeDecodeError as error:
            msg = f"{path} must be UTF-8, got other bytes after line {reader.line_num}; save it as UTF-8."
            raise TrainingSetError(msg) from error


def _field_fault(values: dict[str | None, object]) -> str | None:
    if None in values:
        return "more fields than columns; quote a text that holds a comma"
    if None in values.values():
        return "fewer fields than columns"
    return None


def _read_jsonl(path: Path, columns: Sequence[Sequence[str]]) -> Iterator[Line]:
    with path.open("rb") as file:
        for number, data in enumerate(file, start=1):
            if data.strip():
                yield _json_line(number, data, columns)


def _json_line(number: int, data: bytes, columns: Sequence[Sequence[str]]) -> Line:
    try:
        values = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return Line(number=number, values={}, fault="not UTF-8")
    except ValueError as error:
        return Line(number=number, values={}, fault=f"no JSON: {error}")
    if not isinstance(values, dict):
        return Line(number=number, values={}, fault=f"no JSON object, but {type(values).__name__}")
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return Line(number=number, values={}, fault="half of a surrogate pair, which is no text")
    missing = missing_column(columns, list(values))
    return Line(number=number, values=values, fault=f"no {missing}" if missing else None)
