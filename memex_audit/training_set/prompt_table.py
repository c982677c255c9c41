"""Keep a prompt set in one Parquet file: its prompts as rows, all else in the schema's metadata."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from memex_audit.errors import TrainingSetError
from memex_audit.records import Frame, FrameStratum, PromptSet, SetAside
from memex_audit.table_lines import Line
from memex_audit.whole_file import whole_file

KEY = b"memex_audit.prompt_set"
COLUMNS = ("prompt", "group_id", "duplication_count", "example_id", "example_ids", "slice")
SCHEMA = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("prompt", pa.string()),
        ("group_id", pa.string()),
        ("duplication_count", pa.int64()),
        ("example_ids", pa.list_(pa.string())),
        ("slice", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a prompt set says beyond its prompts."""

    frame: Frame
    n_examples: int | None
    n_captions: int | None
    duplicated_share: float | None
    set_aside: tuple[SetAside, ...]
    strata: tuple[FrameStratum, ...]


def write_table(path: Path, prompts: PromptSet) -> None:
    """Write to a temporary name beside `path`, then rename."""
    facts = {
        "frame": {"description": prompts.frame.description, "size": prompts.frame.size},
        "n_examples": prompts.n_examples,
        "n_captions": prompts.n_captions,
        "duplicated_share": prompts.duplicated_share,
        "set_aside": [[item.what, item.reason] for item in prompts.set_aside],
        "strata": [[stratum.name, stratum.size, list(stratum.group_ids)] for stratum in prompts.strata],
    }
    rows = [
        {
            "prompt_id": prompt.prompt_id,
            "prompt": prompt.text,
            "group_id": prompt.group_id,
            "duplication_count": prompt.duplication_count,
            "example_ids": list(prompt.example_ids),
            "slice": prompt.slice,
        }
        for prompt in prompts.prompts
    ]
    table = pa.Table.from_pylist(rows, schema=SCHEMA.with_metadata({KEY: json.dumps(facts).encode()}))
    with whole_file(path) as partial:
        pq.write_table(table, partial)


def read_table(path: Path) -> tuple[Iterator[Line], Facts | None]:
    """Return the rows as lines, counted from 1, and the facts if `write_table` wrote the file.

    Raises:
        TrainingSetError: the file is no Parquet, or has no column prompt.
    """
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            table = file.read(columns=[name for name in COLUMNS if name in schema.names])
    except (OSError, pa.ArrowException) as error:
        msg = f"{path} must be a Parquet file, got: {' '.join(str(error).split())}; write it again."
        raise TrainingSetError(msg) from error
    if "prompt" not in schema.names:
        msg = f"{path} must have a column prompt, got columns {', '.join(schema.names) or 'none'}; rename it."
        raise TrainingSetError(msg)
    written = (schema.metadata or {}).get(KEY)
    return _lines(table), _facts(path, written) if written else None


def _lines(table: pa.Table) -> Iterator[Line]:
    number = 0
    for batch in table.to_batches():
        for values in batch.to_pylist():
            number += 1
            yield Line(number=number, values=values)


def _facts(path: Path, written: bytes) -> Facts:
    try:
        facts = json.loads(written)
        return Facts(
            frame=Frame(**facts["frame"]),
            n_examples=facts["n_examples"],
            n_captions=facts.get("n_captions"),  # version 0.1.0 wrote none
            duplicated_share=facts["duplicated_share"],
            set_aside=tuple(SetAside(what=what, reason=reason) for what, reason in facts["set_aside"]),
            strata=tuple(
                FrameStratum(name=name, size=size, group_ids=tuple(groups))
                for name, size, groups in facts.get("strata", ())
            ),
        )
    except (ValueError, KeyError, TypeError) as error:
        msg = f"{path} must have the metadata that memex-audit writes, got others ({error}); write it again."
        raise TrainingSetError(msg) from error
