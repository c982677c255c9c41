"""Read and write files of prompts."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from memex_audit.errors import TrainingSetError
from memex_audit.records import AuditPrompt, Frame, PromptSet, SetAside
from memex_audit.table_lines import Line, read_lines
from memex_audit.training_set.prompts import normalize, prompt_id_of

if TYPE_CHECKING:
    from memex_audit.training_set.prompt_table import Facts

SUFFIXES = (".csv", ".jsonl", ".parquet", ".txt")


def read_prompt_file(path: Path) -> PromptSet:
    """Read prompts from a `.csv`, `.jsonl`, `.parquet` or `.txt` file (one prompt a line).

    Columns: prompt; optionally group_id (default: a group of its own), duplication_count (default: 1),
    example_id or example_ids, training images under this caption, and slice, a part of the audit whose rate
    is to be shown by itself. Prompts with the same text are one: its largest count, all its examples. Empty
    prompts are set aside.

    Returns:
        The prompts, by falling duplication count, otherwise as in the file. Of a file written by
        `write_prompt_file` exactly what was written; of any other the frame is "prompts like those of
        the file" and has no size: nobody said what they were taken from.

    Raises:
        TrainingSetError: the file, a column or a value is not as it must be; the message names its line.
    """
    if path.suffix.lower() not in SUFFIXES:
        msg = f"Prompt file must be one of {', '.join(SUFFIXES)}, got {path.name}; convert it."
        raise TrainingSetError(msg)
    if not path.is_file():
        msg = f"Prompt file must exist, got {path}; check the path."
        raise TrainingSetError(msg)
    lines, facts = _read(path)
    rows: dict[str, AuditPrompt] = {}
    set_aside = []
    for line in lines:
        prompt = _parse(path, line)
        if isinstance(prompt, SetAside):
            set_aside.append(prompt)
        else:
            known = rows.get(prompt.prompt_id)
            rows[prompt.prompt_id] = _merge(path, line, known, prompt) if known else prompt
    if not rows and facts is None:
        msg = f"{path} must hold a prompt, got none; write one a line."
        raise TrainingSetError(msg)
    prompts = tuple(sorted(rows.values(), key=lambda prompt: -prompt.duplication_count))
    frame = Frame(description=f"prompts like those of {path.name}", size=None)
    return PromptSet(
        prompts=prompts,
        frame=facts.frame if facts else frame,
        n_examples=facts.n_examples if facts else None,
        n_captions=facts.n_captions if facts else None,
        duplicated_share=facts.duplicated_share if facts else None,
        set_aside=(*(facts.set_aside if facts else ()), *set_aside),
        strata=facts.strata if facts else (),
    )


def listed_prompt(text: str) -> AuditPrompt:
    """Return a prompt of which nothing is known but its text: a group of its own, of one image."""
    prompt_id = prompt_id_of(text)
    return AuditPrompt(prompt_id=prompt_id, text=text.strip(), group_id=prompt_id, duplication_count=1)


def write_prompt_file(path: Path, prompts: PromptSet) -> None:
    """Write a prompt set as Parquet, to a temporary name and then renamed; reading gives it back exactly.

    Raises:
        TrainingSetError: the name does not end in `.parquet`, or the file cannot be written.
    """
    check_prompt_file_name(path)
    from memex_audit.training_set.prompt_table import write_table

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, prompts)
    except OSError as error:
        msg = f"Prompt file {path} must be writable, got {error.strerror or error}; write it elsewhere."
        raise TrainingSetError(msg) from error


def check_prompt_file_name(path: Path) -> None:
    """Refuse to write a prompt file under this name, before the hours that its contents take.

    Raises:
        TrainingSetError: the name does not end in `.parquet`.
    """
    if path.suffix.lower() != ".parquet":
        msg = f"Prompt file must be written as .parquet, got {path.name}; other formats hold no frame."
        raise TrainingSetError(msg)


def _read(path: Path) -> "tuple[Iterable[Line], Facts | None]":
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        from memex_audit.training_set.prompt_table import read_table

        return read_table(path)
    return (_text_lines(path) if suffix == ".txt" else read_lines(path, [("prompt",)])), None


def _text_lines(path: Path) -> Iterator[Line]:
    with path.open("rb") as file:
        for number, data in enumerate(file, start=1):
            if not data.strip():
                continue
            try:
                yield Line(number=number, values={"prompt": data.decode("utf-8-sig")})
            except UnicodeDecodeError:
                yield Line(number=number, values={}, fault="not UTF-8")


def _parse(path: Path, line: Line) -> AuditPrompt | SetAside:
    if line.fault:
        msg = f"{path} line {line.number} must be a prompt, got: {line.fault}."
        raise TrainingSetError(msg)
    text = _string(path, line, "prompt")
    if text is None or not normalize(text):
        return SetAside(what=f"{path.name} line {line.number}", reason="empty prompt")
    return AuditPrompt(
        prompt_id=prompt_id_of(text),
        text=text.strip(),
        group_id=_string(path, line, "group_id") or prompt_id_of(text),
        duplication_count=_count(path, line),
        example_ids=_example_ids(path, line),
        slice=_slice(path, line),
    )


def _merge(path: Path, line: Line, known: AuditPrompt, prompt: AuditPrompt) -> AuditPrompt:
    if known.group_id != prompt.group_id:
        msg = (
            f"{path} line {line.number} must have the group_id of the same prompt above, {known.group_id!r}, "
            f"got {prompt.group_id!r}; a prompt is in one group."
        )
        raise TrainingSetError(msg)
    if None not in (known.slice, prompt.slice) and known.slice != prompt.slice:
        msg = (
            f"{path} line {line.number} must have the slice of the same prompt above, {known.slice!r}, got "
            f"{prompt.slice!r}; a prompt is in one slice."
        )
        raise TrainingSetError(msg)
    return AuditPrompt(
        prompt_id=known.prompt_id,
        text=known.text,
        group_id=known.group_id,
        duplication_count=max(known.duplication_count, prompt.duplication_count),
        example_ids=tuple(dict.fromkeys(known.example_ids + prompt.example_ids)),
        slice=known.slice if known.slice is not None else prompt.slice,
    )


def _string(path: Path, line: Line, column: str) -> str | None:
    value = line.values.get(column)
    if value is None or isinstance(value, str):
        return value
    msg = f"{path} line {line.number} column {column} must be a text, got {value!r}."
    raise TrainingSetError(msg)


def _slice(path: Path, line: Line) -> str | None:
    name = (_string(path, line, "slice") or "").strip()
    return name or None


def _count(path: Path, line: Line) -> int:
    value = line.values.get("duplication_count")
    if value is None or value == "":
        return 1
    try:
        # Not int(value) of a float: 2.5 near-copies are a mistake.
        count = int(value) if isinstance(value, int | str) and not isinstance(value, bool) else 0
    except ValueError:
        count = 0
    if count < 1:
        msg = (
            f"{path} line {line.number} column duplication_count must be a whole number from 1 up, "
            f"got {value!r}; an image counts itself."
        )
        raise TrainingSetError(msg)
    return count


def _example_ids(path: Path, line: Line) -> tuple[str, ...]:
    one, many = line.values.get("example_id"), line.values.get("example_ids")
    if one is not None and one != "":
        return (str(one),)
    if many is None or many == "":
        return ()
    if isinstance(many, list) and all(isinstance(example_id, str) for example_id in many):
        return tuple(many)
    msg = (
        f"{path} line {line.number} column example_ids must be a list of ids, got {many!r}; in CSV use "
        "example_id, and a line for each."
    )
    raise TrainingSetError(msg)
