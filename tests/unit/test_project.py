"""`memex init`: what is written into a project, and that nothing that is there is written over."""

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from memex_audit import project
from memex_audit.cli import main
from memex_audit.config import OPTIONS
from memex_audit.errors import ConfigurationError

ROOT = Path(__file__).parents[2]
SUITE = sorted(path.name for path in (ROOT / "audits").glob("test_*.py"))


@pytest.fixture
def init(tmp_path, monkeypatch):
    """Run `memex init` in an empty folder."""
    folder = tmp_path / "my project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return lambda *arguments: CliRunner().invoke(main, ["init", *arguments], catch_exceptions=False)


def test_the_suite_that_is_written_is_the_one_of_this_repository(init):
    assert init().exit_code == 0
    assert sorted(path.name for path in Path("audits").iterdir()) == SUITE
    for name in SUITE:
        assert Path("audits", name).read_bytes() == (ROOT / "audits" / name).read_bytes()


def test_a_project_without_settings_gets_a_file_of_them_in_which_nothing_is_set(init):
    done = init()
    assert "pyproject.toml: written" in done.output
    assert "next: pytest audits/" in done.output
    assert tomllib.loads(Path("pyproject.toml").read_text()) == {"tool": {"pytest": {}}}


def test_every_setting_of_the_block_is_an_option_and_can_be_used_as_it_stands(init):
    init()
    lines = Path("pyproject.toml").read_text().splitlines()
    names = [line.split()[1].removeprefix("memex_") for line in lines if line.startswith("# memex_")]
    assert len(names) == 4
    assert set(names) <= {option.name for option in OPTIONS}
    active = "\n".join(line.removeprefix("# ") if line.startswith("# memex_") else line for line in lines)
    assert tomllib.loads(active)["tool"]["pytest"]["memex_limit"] == 0.01


def test_nothing_is_written_over_and_what_was_left_alone_is_said(init):
    Path("audits").mkdir()
    Path("audits", SUITE[0]).write_text("mine")
    Path("pyproject.toml").write_text("[project]\n")
    done = init("--github", "--gitlab")
    assert Path("audits", SUITE[0]).read_text() == "mine"
    assert Path("pyproject.toml").read_text() == "[project]\n"
    assert f"audits/{SUITE[0]}: left alone, it is there already" in done.output
    assert f"audits/{SUITE[1]}: written" in done.output
    assert "pyproject.toml: left alone, it is there already" in done.output
    written = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    again = init("--github", "--gitlab")
    assert ": written" not in again.output.replace("memex-audit.gitlab-ci.yml: written", "")
    for path, data in written.items():
        assert path.read_bytes() == data


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("pyproject.toml", "[project]\n", "add to pyproject.toml:\n\n    # What"),
        ("pyproject.toml", "[tool.pytest]\nstrict = true\n", "add to [tool.pytest] in pyproject.toml:"),
        (
            "pyproject.toml",
            '[tool.pytest.ini_options]\nminversion = "9"\n',
            "add to [tool.pytest.ini_options] in pyproject.toml:",
        ),
        ("pytest.toml", "[pytest]\nstrict = true\n", "add to [pytest] in pytest.toml:"),
        ("pytest.ini", "[pytest]\nminversion = 9\n", "add to [pytest] in pytest.ini:"),
        ("pytest.ini", "", "add to pytest.ini:"),
        ("tox.ini", "[pytest]\nminversion = 9\n", "add to [pytest] in tox.ini:"),
        ("setup.cfg", "[tool:pytest]\nminversion = 9\n", "add to [tool:pytest] in setup.cfg:"),
    ],
)
def test_settings_that_are_there_are_left_to_the_user_who_is_told_what_to_add(init, name, text, said):
    Path(name).write_text(text)
    done = init()
    assert said in done.output
    assert Path(name).read_text() == text
    assert [path.name for path in Path().iterdir() if path.is_file()] == [name]


@pytest.mark.parametrize("name", ["tox.ini", "setup.cfg"])
def test_a_file_in_which_pytest_reads_nothing_is_no_settings_file(init, name):
    Path(name).write_text("[flake8]\nmax-line-length = 99\n")
    assert "pyproject.toml: written" in init().output


def test_a_tox_ini_that_cannot_be_read_is_left_to_pytest(init):
    Path("tox.ini").write_text("no section\n")
    assert "pyproject.toml: written" in init().output


def test_a_header_is_only_shown_where_there_is_none(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    table = project.find_settings_table(tmp_path)
    assert "[tool.pytest" not in project.settings_text(table)
    (tmp_path / "pyproject.toml").write_text("")
    assert "\n[tool.pytest]\n" in project.settings_text(project.find_settings_table(tmp_path))


def test_settings_of_a_new_table_say_how_to_keep_a_plain_pytest_from_auditing(init):
    init()
    assert '\n# testpaths = ["tests"]\n' in Path("pyproject.toml").read_text()
    Path("pyproject.toml").write_text("[tool.pytest]\nstrict = true\n")
    assert "testpaths" not in init().output


def test_texts_stand_without_quotes_in_an_ini_file(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    text = project.settings_text(project.find_settings_table(tmp_path))
    assert "# memex_model = ./my-model\n" in text
    assert "# memex_limit = 0.01\n" in text


def test_settings_of_a_folder_above_are_the_ones_that_count(init):
    Path("pytest.ini").write_text("[pytest]\n")
    done = init("inner")
    assert "add to [pytest] in pytest.ini:" in done.output
    assert not Path("inner", "pyproject.toml").exists()
    assert "next: cd inner && pytest audits/" in done.output


def test_settings_that_were_filled_in_are_not_asked_for_again(init):
    init()
    assert "add to" not in init().output


def test_a_pyproject_that_is_no_toml_is_one_line(init):
    Path("pyproject.toml").write_text("[tool")
    done = init()
    assert done.exit_code == 1
    assert "pyproject.toml must be TOML for pytest, got" in done.output


def test_a_file_where_audits_must_be_is_one_line(init):
    Path("audits").write_text("")
    done = init()
    assert done.exit_code == 1
    assert "audits must be a folder, got a file" in done.output


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    def refuse(self, *arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ConfigurationError, match="can be written, got: Permission denied"):
        project.write_suite(tmp_path)


def test_the_github_workflow_installs_this_version(init):
    init("--github")
    text = Path(".github/workflows/memex-audit.yml").read_text()
    assert "MEMEX_AUDIT_VERSION" not in text
    assert 'pip install "memex-audit==' in text


def test_gitlab_gets_its_pipeline_or_a_file_to_include_in_the_one_there_is(init):
    assert ".gitlab-ci.yml: written" in init("--gitlab").output
    Path(".gitlab-ci.yml").write_text("stages: [test]\n")
    done = init("--gitlab")
    assert "memex-audit.gitlab-ci.yml: written" in done.output
    assert "in .gitlab-ci.yml, add: include: [{local: memex-audit.gitlab-ci.yml}]" in done.output
    assert Path(".gitlab-ci.yml").read_text() == "stages: [test]\n"
