"""Write an audit into a project: audits/, settings to fill in, a CI file (`memex init`).

Nothing that is there is written over: what was left alone is said.
"""

import configparser
import importlib.metadata
import shlex
import textwrap
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memex_audit.errors import ConfigurationError

HERE = Path(__file__).parent
TEMPLATES = HERE / "templates"
GITHUB_FILE = Path(".github", "workflows", "memex-audit.yml")
GITLAB_FILE = Path(".gitlab-ci.yml")
GITLAB_INCLUDED_FILE = Path("memex-audit.gitlab-ci.yml")

# In the order in which pytest looks for its settings.
SETTINGS_FILES = (
    "pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg",
)  # fmt: skip
EXAMPLES: tuple[tuple[str, str | float, str], ...] = (
    ("model", "./my-model", "a diffusers folder, or a hub id NAME/MODEL@REVISION; else the specimen"),
    ("training_set", "./my-images", "an image folder with captions, Parquet, or WebDataset tars"),
    ("limit", 0.01, "largest extraction rate that passes"),
    ("redact", "captions", "shows no prompt text in any output"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A file that a project should have; `written` is false where one of that name stood there before."""

    path: Path
    written: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsTable:
    """Where a project's settings of pytest stand, or should: a table of a file, there already or not."""

    path: Path
    table: str
    there: bool

    @property
    def quotes(self) -> bool:
        """Whether texts stand in quotes."""
        return self.path.suffix == ".toml"


def suite_folder() -> Path:
    """Return the folder of the suite that ships: in a wheel beside this file, else the repository's."""
    packaged = HERE / "suite"
    return packaged if packaged.is_dir() else HERE.parent / "audits"


def write_suite(project: Path) -> list[Placed]:
    """Write audits/ into the project's folder.

    Raises:
        ConfigurationError: the folder cannot be written.
    """
    return [
        _place(project / "audits" / file.name, file.read_text(encoding="utf-8"))
        for file in sorted(suite_folder().glob("test_*.py"))
    ]


def find_settings_table(project: Path) -> SettingsTable:
    """Return where pytest reads the settings of a project: in it, or in a folder above, as pytest looks.

    Where there is none, `[tool.pytest]` of a pyproject.toml in the project.

    Raises:
        ConfigurationError: a file that pytest would read cannot be.
    """
    folder = project.absolute()
    for place in (folder, *folder.parents):
        for name in SETTINGS_FILES:
            if (place / name).is_file() and (table := _table_in(place / name)):
                return table
    return SettingsTable(path=folder / "pyproject.toml", table="tool.pytest", there=False)


def settings_text(table: SettingsTable) -> str:
    """Return what to fill in, every setting behind a #, with the table's header where that is missing."""
    lines = ["# What `pytest audits/` audits: take the # away where a line fits; all of them: pytest --help"]
    lines += [] if table.there else [f"[{table.table}]", *_testpaths(table)]
    for name, value, said in EXAMPLES:
        quoted = f'"{value}"' if table.quotes and isinstance(value, str) else value
        lines += [f"# {said}:", f"# memex_{name} = {quoted}"]
    return "\n".join(lines) + "\n"


def _testpaths(table: SettingsTable) -> list[str]:
    value = '["tests"]' if table.quotes else "tests"
    return ["# keeps a plain `pytest` from auditing:", f"# testpaths = {value}"]


def write_settings(table: SettingsTable) -> Placed:
    """Write the settings into a file of their own, unless a file of that name is there."""
    return _place(table.path, settings_text(table))


def settings_to_add(table: SettingsTable) -> str:
    """Return what a user is asked to add to settings that stand there; nothing where it is there already."""
    if f"memex_{EXAMPLES[0][0]}" in table.path.read_text(encoding="utf-8", errors="replace"):
        return ""
    place = f"[{table.table}] in {shown(table.path)}" if table.there else shown(table.path)
    return f"add to {place}:\n\n{textwrap.indent(settings_text(table), '    ')}"


def write_github_workflow(project: Path) -> Placed:
    """Write a workflow for GitHub Actions that audits on demand and for each release."""
    return _place(project / GITHUB_FILE, _template("github-workflow.yml"))


def write_gitlab_pipeline(project: Path) -> Placed:
    """Write a job for GitLab: as .gitlab-ci.yml, or where there is one as a file to include."""
    name = GITLAB_INCLUDED_FILE if (project / GITLAB_FILE).exists() else GITLAB_FILE
    return _place(project / name, _template("gitlab-ci.yml"))


def shown(path: Path) -> str:
    """Return a path as it is typed here: relative to the current folder, where it lies below it."""
    path, here = path.absolute(), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def next_steps(project: Path, pipelines: list[Placed]) -> list[str]:
    """Say what to do after `memex init`."""
    away = project.absolute() != Path.cwd()
    steps = [
        f"next: {f'cd {shlex.quote(shown(project))} && ' if away else ''}pytest audits/",
        "      audits the specimen that ships, until the settings name your model",
        "      before a long run, `memex doctor` says what is missing",
    ]
    included = [file.path.name for file in pipelines if file.path.name == GITLAB_INCLUDED_FILE.name]
    return steps + [f"      in {GITLAB_FILE}, add: include: [{{local: {name}}}]" for name in included]


def _template(name: str) -> str:
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    return text.replace("MEMEX_AUDIT_VERSION", importlib.metadata.version("memex-audit"))


def _place(path: Path, text: str) -> Placed:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        if not path.exists() or not path.parent.is_dir():  # a file where a folder must be
            raise ConfigurationError(f"{path.parent} must be a folder, got a file; name another.") from None
        return Placed(path=path, written=False)
    except OSError as error:
        raise ConfigurationError(
            f"{path} must be a file that can be written, got: {error.strerror or error}; name another folder."
        ) from error
    return Placed(path=path, written=True)


def _table_in(path: Path) -> SettingsTable | None:
    """Return the table that pytest reads in this file; None if it reads none."""
    if path.suffix == ".toml":
        found = _read_toml(path)
        if path.name != "pyproject.toml":
            return SettingsTable(path=path, table="pytest", there="pytest" in found)
        table = found.get("tool", {}).get("pytest")
        if table is None:
            return None
        name = "tool.pytest.ini_options" if "ini_options" in table else "tool.pytest"
        return SettingsTable(path=path, table=name, there=True)
    wanted = "tool:pytest" if path.name == "setup.cfg" else "pytest"
    there = _has_section(path, wanted)
    always = path.name in ("pytest.ini", ".pytest.ini")
    return SettingsTable(path=path, table=wanted, there=there) if there or always else None


def _has_section(path: Path, name: str) -> bool:
    sections = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        sections.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):  # pytest says what is wrong with it
        return False
    return sections.has_section(name)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} must be TOML for pytest, got: {error}; mend it.") from error
