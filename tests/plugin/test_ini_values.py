"""Options as ini values: in every file pytest reads, numbers as numbers, and a wrong one in one line."""

import pytest

from memex_audit.config import OPTIONS


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", "[tool.pytest]\nmemex_limit = 0.3\nmemex_max_prompts = 2\n"),
        ("pyproject.toml", "[tool.pytest.ini_options]\nmemex_limit = 0.3\nmemex_max_prompts = 2\n"),
        ("pytest.ini", "[pytest]\nmemex_limit = 0.3\nmemex_max_prompts = 2\n"),
        ("tox.ini", "[pytest]\nmemex_limit = 0.3\nmemex_max_prompts = 2\n"),
        ("setup.cfg", "[tool:pytest]\nmemex_limit = 0.3\nmemex_max_prompts = 2\n"),
    ],
)
def test_numbers_are_read_from_every_settings_file(project, name, text):
    project.prompts(*(f"clean picture {i}" for i in range(12)))
    (project.path / name).write_text(text)
    run = project.audit("--memex-prompts", "prompts.csv")
    run.assert_outcomes(passed=2, failed=1)
    # 15 clean groups settle a limit of 30 % in an extension, at 99.5 %: 1 - 0.005 ** (1 / 15) = 0.298.
    run.stdout.fnmatch_lines(["*0 of 2 prompt groups*", "*audit 15 groups in all, 13 more*"])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('memex_limit = "0.3"', "*memex_limit*expects a float, got str: '0.3'*"),
        ("memex_model = 3", "*memex_model*expects a string, got int: 3*"),
        ("memex_limit = 3.0", "*--memex-limit must be between 0 and 1, got '3.0'*"),
    ],
)
def test_a_value_of_another_type_is_a_usage_error_on_one_line(pytester, line, said):
    pytester.path.joinpath("pyproject.toml").write_text(f"[tool.pytest]\n{line}\n")
    run = pytester.runpytest_subprocess()
    assert run.ret == 4
    run.stderr.fnmatch_lines([said])
    run.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_numbers_are_declared_as_such():
    types = {option.name: option.ini_type for option in OPTIONS}
    assert {types[name] for name in ("limit", "confidence", "guidance", "match_delta")} == {"float"}
    assert {types[name] for name in ("max_prompts", "steps", "seed", "clique_size")} == {"int"}
    assert {types[name] for name in ("model", "size", "prompts", "dtype")} == {"string"}
