"""README's code blocks are true: its commands parse, its suite runs, its options exist."""

import re
import shlex
from pathlib import Path

import yaml
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


def test_every_memex_command_in_the_readme_exists_with_its_options():
    lines = [line for block in blocks("console") for line in block.splitlines() if line.startswith("memex ")]
    named = {line.split()[1] for line in lines}
    assert named == {"calibrate", "doctor", "generate", "init", "mine", "plan", "store"}
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        shown = CliRunner().invoke(main, [words[0], "--help"])
        assert shown.exit_code == 0
        for word in words:
            if word.startswith("--"):
                assert word in shown.output


def test_the_action_in_the_readme_takes_these_inputs():
    (block,) = blocks("yaml")
    (step,) = yaml.safe_load(block)
    taken = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]
    assert step["with"].keys() <= taken.keys()


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
