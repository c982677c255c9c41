"""README's code blocks are true: its commands parse, its suite runs, its options exist."""

import re
import shlex
from pathlib import Path

from click.testing import CliRunner

from memex_audit.cli import main
from memex_audit.config import OPTIONS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_every_option_named_in_the_readme_exists():
    flags = {option.flag for option in OPTIONS}
    named = set(re.findall(r"--memex-[a-z-]+", README))
    assert named
    assert named <= flags


def test_every_pytest_command_in_the_readme_names_what_is_there():
    commands = [
        shlex.split(line) for block in blocks("console") for line in block.splitlines() if "pytest" in line
    ]
    assert len(commands) >= 4
    for words in commands:
        if "audits/" in words:
            assert (ROOT / "audits").is_dir()


def test_the_calibrate_command_parses():
    (line,) = [
        line for block in blocks("console") for line in block.splitlines() if line.startswith("memex ")
    ]
    words = shlex.split(line)[1:]
    known = CliRunner().invoke(main, [words[0], "--help"]).output
    for word in words:
        if word.startswith("--"):
            assert word in known


def test_the_suite_in_the_readme_runs(pytester):
    (suite,) = blocks("python")
    pytester.makepyfile(test_suite=suite)
    pytester.path.joinpath("prompts.csv").write_text("prompt\na cat\n")
    run = pytester.runpytest_subprocess("--collect-only", "-q", "--memex-prompts", "prompts.csv")
    assert run.ret == 0
    run.stdout.fnmatch_lines(
        ["*test_prompt_gives_back_no_training_image[[]a-cat-*", "*test_extraction_rate*"]
    )


def test_every_file_that_the_readme_links_to_is_there():
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in target]
    assert targets
    for target in targets:
        assert (ROOT / target).exists(), target
