"""Reference pages made of the code itself: a hook of MkDocs.

A line `<!-- generated: NAME -->` of a page becomes what GENERATED makes of that name: options, commands,
fixtures, the marker, the JSON schema. Read are tables, docstrings and help texts; no model library is loaded.
"""

import ast
import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

import memex_audit
from memex_audit.cli import main
from memex_audit.config import DRAWN_WITH, MARKER_ARGUMENTS, OPTIONS, PRESETS, Option

PACKAGE = Path(memex_audit.__file__).parent
SCHEMA = PACKAGE / "reporting" / "memex-report.schema.json"
SCHEMA_PAGE = f"reference/{SCHEMA.name}"
MARK = re.compile(r"^<!-- generated: ([a-z ]+) -->$", re.MULTILINE)

# Headings of the options page; a new option that stands under none comes last.
TOPICS: Mapping[str, tuple[str, ...]] = {
    "What is audited": (
        "model", "lora", "training_set", "embedder", "duplicate_similarity", "join", "prompts",
        "max_prompts", "canaries", "neighbours", "max_pixels", "crop",
    ),
    "How pictures are drawn": (*DRAWN_WITH, "seed"),
    "Models that can only be asked": ("max_images", "requests_per_minute", "api_key_env"),
    "How a prompt is decided": (
        "preset", "generations", "edge_delta", "match_delta", "clique_size", "calibration", "minimal_trigger",
    ),
    "How the run is judged": (
        "limit", "confidence", "on_extracted", "inconclusive", "baseline", "baseline_policy",
        "granularity",
    ),
    "What is kept and written": ("store", "keep", "json", "report", "evidence", "evidence_mb", "redact"),
}  # fmt: skip


def on_files(files: Any, config: Any) -> Any:
    """Publish the JSON schema beside its page."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, SCHEMA_PAGE, content=SCHEMA.read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in what is made of the code."""
    return MARK.sub(lambda found: GENERATED[found[1]](), markdown)


def options() -> str:
    """Return a table of options for each topic."""
    by_name = {option.name: option for option in OPTIONS}
    listed = {name for names in TOPICS.values() for name in names}
    topics = dict(TOPICS) | {"Others": tuple(name for name in by_name if name not in listed)}
    parts = []
    for topic, names in topics.items():
        rows = [_option_row(by_name[name]) for name in names if name in by_name]
        if rows:
            parts.append(f"## {topic}\n\n" + _table(("option, and its ini name", "what it sets"), rows))
    return "\n\n".join(parts)


def _option_row(option: Option) -> tuple[str, ...]:
    return f"`{option.flag} {option.metavar}`<br>`memex_{option.name}`", option.help


def presets() -> str:
    """Return the table of presets."""
    rows = [
        (
            f"`{name}`",
            ", then ".join(map(str, preset.looks)),
            str(preset.clique_size or "planned for each look"),
            str(preset.match_delta or "the calibration's"),
        )
        for name, preset in PRESETS.items()
    ]
    return _table(("preset", "generations a prompt", "clique", "match delta"), rows)


def commands() -> str:
    """Return usage, help and options of every command of `memex`."""
    context = click.Context(main, info_name="memex")
    parts = []
    for name, command in commands_of(main):
        own = click.Context(command, info_name=name, parent=context)
        usage = " ".join(own.get_usage().removeprefix("Usage: ").split())
        rows = [_parameter_row(p, own) for p in command.params if isinstance(p, click.Option)]
        table = _table(("option", "what it sets"), rows) if rows else ""
        text = inspect.cleandoc(command.help or "").replace("\b\n", "")
        parts.append(f"## memex {name}\n\n```text\n{usage}\n```\n\n{text}\n\n{table}")
    return "\n\n".join(parts)


def commands_of(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield every command below a group with its words."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from commands_of(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


def _parameter_row(option: click.Option, context: click.Context) -> tuple[str, str]:
    flags = ", ".join(option.opts)
    metavar = "" if option.is_flag else " " + option.make_metavar(context).replace("FLOAT RANGE", "SHARE")
    said = option.help or ""
    if option.required:
        said += " Required."
    if option.show_default and option.default is not None:
        said += f" (default: {option.default})"
    return f"`{flags}{metavar}`", said


def fixtures() -> str:
    """Return the plugin's fixtures with their scope and docstring."""
    tree = ast.parse((PACKAGE / "plugin.py").read_text(encoding="utf-8"))
    rows = [
        (f"`{node.name}`", scope, " ".join((ast.get_docstring(node) or "").split()))
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and (scope := _fixture_scope(node))
    ]
    return _table(("fixture", "scope", "what it is"), rows)


def _fixture_scope(node: ast.FunctionDef) -> str | None:
    """Return the scope of a function that is a fixture, None for any other."""
    for decorator in node.decorator_list:
        if not ast.unparse(decorator).startswith("pytest.fixture"):
            continue
        keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
        scopes = [ast.literal_eval(keyword.value) for keyword in keywords if keyword.arg == "scope"]
        return str(scopes[0]) if scopes else "function"
    return None


def marker() -> str:
    """Return the table of the marker's arguments."""
    by_name = {option.name: option for option in OPTIONS}
    rows = [(f"`{name}`", by_name[name].help, f"`{by_name[name].flag}`") for name in MARKER_ARGUMENTS]
    return _table(("argument", "what it sets", "over the option"), rows)


def json_result() -> str:
    """Return the tables of the JSON schema: the whole, then each part."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    parts = [f"## The whole\n\n{schema['description']}\n\n" + _schema_table(schema)]
    for name, part in schema["$defs"].items():
        told = part.get("description", "")
        if (record := _record_of(part)) is not None:
            parts.append(f"## {name}\n\n{told}\n\n" + _schema_table(record))
    return "\n\n".join(parts)


def _record_of(part: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the record that a part is, or is a list of, or may be; None where it is none."""
    if "anyOf" in part:
        return _record_of(part["anyOf"][0])
    if part.get("type") == "array":
        return _record_of(part["items"])
    return part if "properties" in part else None


def specimen_table() -> str:
    """Return what the specimen's twins replicate, as `memex_audit.specimen.measure` wrote it."""
    readme = (PACKAGE / "specimen" / "README.md").read_text(encoding="utf-8")
    return readme.partition("<!-- measured: begin -->")[2].partition("<!-- measured: end -->")[0].strip()


def _schema_table(part: Mapping[str, Any]) -> str:
    required = part.get("required", ())
    rows = [
        (
            f"`{name}`",
            _schema_type(value) + ("" if name in required else ", optional"),
            value.get("description", ""),
        )
        for name, value in part["properties"].items()
    ]
    if not any(row[2] for row in rows):
        return _table(("field", "type"), [row[:2] for row in rows])
    return _table(("field", "type", "what it is"), rows)


def _schema_type(value: Mapping[str, Any]) -> str:
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name})"
    if "anyOf" in value:
        return " or ".join(_schema_type(one) for one in value["anyOf"])
    if "enum" in value:
        return ", ".join(f"`{one}`" for one in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if value.get("type") == "array":
        return f"list of {_schema_type(value.get('items', {}))}"
    kind = value.get("type", "any")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(text) for text in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


GENERATED: Mapping[str, Callable[[], str]] = {
    "options": options,
    "presets": presets,
    "commands": commands,
    "fixtures": fixtures,
    "marker": marker,
    "json result": json_result,
    "specimen": specimen_table,
}
