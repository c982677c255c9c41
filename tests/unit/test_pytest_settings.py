"""The settings that pytest would give an audit: ini values of the project, options before them."""

import pytest

from memex_audit.errors import ConfigurationError
from memex_audit.pytest_settings import read_pytest_settings


@pytest.fixture
def read(tmp_path, monkeypatch, capfd):
    """Read the settings of a project in an empty folder; a pytest within this one is kept apart from it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    return lambda **given: read_pytest_settings(given, tmp_path)


def test_without_a_project_they_are_the_defaults(read, tmp_path):
    settings, rootdir = read()
    assert settings.model == "specimen:deduplicated"
    assert rootdir == tmp_path


def test_the_projects_values_are_read_and_options_go_before_them(read, tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest]\nmemex_limit = 0.02\nmemex_model = "m"\naddopts = ["--memex-seed=3"]\n'
    )
    settings, _ = read(model="specimen:duplicated", steps=None)
    assert (settings.limit, settings.model, settings.seed) == (0.02, "specimen:duplicated", 3)


def test_the_root_folder_is_the_one_that_pytest_finds_above_the_suite(read, tmp_path, monkeypatch):
    inner = tmp_path / "inner"
    (inner / "audits").mkdir(parents=True)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmemex_limit = 0.03\n")
    monkeypatch.chdir(inner)
    settings, rootdir = read_pytest_settings({}, inner)
    assert settings.limit == 0.03
    assert rootdir == tmp_path


def test_a_value_that_cannot_be_used_is_named(read):
    with pytest.raises(ConfigurationError, match=r"--memex-limit must be between 0 and 1, got '7\.0'"):
        read(limit="7.0")


def test_a_project_that_pytest_cannot_read_is_an_error(read, tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.pytest]\nmemex_limit = true\n")
    with pytest.raises(ConfigurationError, match=r"expects a float, got bool|be able to read this project"):
        read()


def test_a_text_that_begins_like_an_option_is_a_value(read):
    assert read(model="--version")[0].model == "--version"
