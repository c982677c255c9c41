"""The file memex.toml beside a model's or an embedder's weights: its tables and their keys."""

import difflib
import tomllib
from collections.abc import Collection
from pathlib import Path

from memex_audit.errors import ConfigurationError

NAME = "memex.toml"
TABLES = {
    "generation": ("steps", "guidance", "size", "batch_size", "negative_prompt", "scheduler"),
    "model": ("prior", "stage_2"),
    "embedder": ("duplicate_similarity",),
}


def read_table(folder: Path, table: str) -> dict[str, object]:
    """Return a table of the folder's memex.toml, empty where there is no such file or table.

    A misspelled name would be ignored and the default taken without a word: every table and key is checked.

    Raises:
        ConfigurationError: the file is no TOML, or has a table or key that means nothing; the message names
            the nearest that does.
    """
    path = folder / NAME
    if not path.is_file():
        return {}
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # ValueError: no TOML, or no UTF-8
        raise ConfigurationError(f"{path} must be TOML, got: {error}.") from error
    for name, keys in tables.items():
        _check_name(f"{path} must have tables", name, TABLES)
        if not isinstance(keys, dict):
            raise ConfigurationError(f"{path} {name} must be a table, got {keys!r}; write [{name}] above it.")
        for key in keys:
            _check_name(f"{path} [{name}] must have", key, TABLES[name])
    return dict(tables.get(table, {}))


def _check_name(must: str, name: str, valid: Collection[str]) -> None:
    if name in valid:
        return
    near = difflib.get_close_matches(name, valid, n=1)
    where = [table for table, keys in TABLES.items() if name in keys]
    hint = f"did you mean {near[0]}?" if near else "take it out."
    if where:
        hint = f"it belongs into [{where[0]}]."
    raise ConfigurationError(f"{must} {', '.join(valid)} only, got {name}; {hint}")
