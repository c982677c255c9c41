"""The site's pages are true: options and commands exist, code runs, figures are those of the functions."""

import doctest
import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import click
import pytest
from click.testing import CliRunner

from memex_audit.cli import main
from memex_audit.config import OPTIONS, read_settings
from memex_audit.generation.model_folder import read_sampler_settings
from memex_audit.training_set import read_prompt_file

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "decisions" not in page.parts)
SUITE = """
from memex_audit.assertions import assert_not_extracted


def test_prompt(memex, duplicated_prompt):
    assert_not_extracted(memex.finding(duplicated_prompt), protocol=memex.protocol)
"""


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of that language, with their title line."""
    return re.findall(rf"```({language}\b.*?\n.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def code_of(page: str, language: str, containing: str) -> str:
    (block,) = [block for block in blocks(DOCS / page, language) if containing in block]
    return block.partition("\n")[2]


def python_blocks() -> list[tuple[str, str]]:
    return [(page.name, block.partition("\n")[2]) for page in PAGES for block in blocks(page, "python")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_every_option_named_on_a_page_exists(page):
    named = set(re.findall(r"--memex-[a-z][a-z-]*[a-z]", page.read_text(encoding="utf-8")))
    assert named <= {option.flag for option in OPTIONS}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_every_memex_command_on_a_page_exists_with_its_options(page):
    lines = [line for block in blocks(page, "console") for line in block.splitlines()]
    for line in (line for line in lines if line.startswith("memex ")):
        words = shlex.split(line.partition(";")[0])
        named = words[1:3] if isinstance(main.commands.get(words[1]), click.Group) else words[1:2]
        shown = CliRunner().invoke(main, [*named, "--help"])
        assert shown.exit_code == 0, line
        for flag in (word for word in words if word.startswith("--")):
            assert flag in shown.output, line


@pytest.mark.parametrize(("page", "code"), python_blocks())
def test_python_on_a_page_can_be_read(page, code):
    compile(code, page, "exec")


@pytest.mark.parametrize(("page", "code"), [b for b in python_blocks() if "def test_" in b[1]])
def test_cases_on_a_page_are_collected(page, code, pytester):
    pytester.makepyfile(test_suite=code)
    pytester.path.joinpath("prompts.csv").write_text("prompt\na cat\n")
    run = pytester.runpytest_subprocess("--collect-only", "-q", "--memex-prompts", "prompts.csv")
    assert run.ret == 0
    for name in re.findall(r"def (test_\w+)", code):
        run.stdout.fnmatch_lines([f"*{name}*"])


def test_the_generator_on_a_page_audits(pytester):
    pytester.makeconftest(code_of("how-to/own-model.md", "python", "memex_generator():"))
    pytester.makepyfile(test_suite=SUITE)
    pytester.path.joinpath("prompts.csv").write_text("prompt\na cat\na dog\n")
    run = pytester.runpytest_subprocess(
        "--memex-prompts", "prompts.csv", "--memex-model", "my-model", "--memex-json", "result.json"
    )
    run.assert_outcomes(passed=2)
    result = json.loads(pytester.path.joinpath("result.json").read_text())
    assert result["provenance"]["model"] == "my-model"
    assert {finding["network_evaluations"] for finding in result["findings"]} == {4 * 60}


def test_the_generator_on_a_page_keeps_the_contract_that_is_named_beside_it(pytester):
    pytester.makeconftest(code_of("how-to/own-model.md", "python", "memex_generator():"))
    pytester.makepyfile(test_my_generator=code_of("how-to/own-model.md", "python", "GeneratorContract"))
    outcomes = pytester.runpytest_subprocess("-p", "no:cacheprovider").parseoutcomes()
    assert outcomes.pop("passed") >= 5
    assert set(outcomes) <= {"skipped"}


def test_the_gate_on_a_page_lets_only_a_pass_through(tmp_path):
    names: dict = {}
    exec(code_of("reference/json.md", "python", "may_release"), names)
    result = tmp_path / "result.json"
    for verdict in ("pass", "fail", "inconclusive"):
        result.write_text(json.dumps({"verdict": verdict}))
        assert names["may_release"](result) is (verdict == "pass")


def test_settings_on_a_page_are_settings(tmp_path):
    page = "how-to/own-model.md"
    policy = tomllib.loads(code_of(page, "toml", "[tool.pytest]"))["tool"]["pytest"]
    settings = read_settings({name.removeprefix("memex_"): str(value) for name, value in policy.items()})
    assert (settings.limit, settings.redact) == (0.01, "captions")
    tmp_path.joinpath("memex.toml").write_text(code_of(page, "toml", "[generation]"))
    assert read_sampler_settings(tmp_path).size == (768, 512)


def test_prompt_files_on_a_page_can_be_read(tmp_path):
    table, listed = tmp_path / "prompts.csv", tmp_path / "prompts.txt"
    table.write_text(code_of("how-to/prompts-file.md", "csv", "group_id"))
    listed.write_text(code_of("how-to/prompts-file.md", "text", "prompts.txt"))
    prompts = read_prompt_file(table).prompts
    assert [prompt.duplication_count for prompt in prompts] == [12, 12, 1]
    assert len({prompt.group_id for prompt in prompts}) == 2
    assert len(read_prompt_file(listed).prompts) == 2


def test_the_costs_at_scale_are_those_of_the_arithmetic():
    page = script("scaling_page")
    costs = json.loads(page.UNIT_COSTS.read_text())["costs"]
    assert page.tables(costs) in page.PAGE.read_text(), "stale: python docs/scripts/scaling_page.py"
    assert doctest.testmod(page) == (0, 2)


def test_worked_numbers_are_those_of_the_functions():
    numbers = script("worked_numbers")
    pages = {page: page.read_text(encoding="utf-8") for page in PAGES}
    named = {found[2] for text in pages.values() for found in numbers.BLOCK.finditer(text)}
    assert named == set(numbers.TABLES)
    for page, text in pages.items():
        assert numbers.fill(text) == text, f"{page} is stale: python docs/scripts/worked_numbers.py"
    assert numbers.POWER_CURVES.read_text(encoding="utf-8") == numbers.power_curves()


def test_every_transcript_belongs_to_a_command_and_shows_it():
    transcripts = script("transcripts")
    found = [m for page in PAGES for m in transcripts.BLOCK.finditer(page.read_text(encoding="utf-8"))]
    assert {match[2] for match in found} == set(transcripts.RUNS)
    for match in found:
        assert transcripts.RUNS[match[2]].command in match[0]


def test_a_transcript_keeps_its_pieces_and_marks_what_it_leaves_out():
    transcripts = script("transcripts")
    output = "== start\nplugins\n\n.....\n== memex: PASS\nrate\nin 3 s\n"
    assert transcripts.kept(output, ((r"^== start", r"^$"), (r"^== memex", r"^in"))) == (
        "== start\nplugins\n[...]\n== memex: PASS\nrate\n[...]"
    )
    assert transcripts.kept(output, ()) == output.strip("\n")
    with pytest.raises(ValueError, match="must have a line like"):
        transcripts.kept(output, ((r"^== FAIL", ""),))


def test_the_reference_names_every_option_command_fixture_and_field():
    pages = script("reference_pages")
    for option in OPTIONS:
        assert pages.options().count(f"`{option.flag} {option.metavar}`") == 1
        assert f"`memex_{option.name}`" in pages.options()
    for name, command in pages.commands_of(main):
        assert f"## memex {name}\n" in pages.commands()
        assert command.help.splitlines()[0] in pages.commands()
    for name in ("memex", "duplicated_prompt", "memex_generator", "memex_embedder", "memex_training_index"):
        assert f"| `{name}` |" in pages.fixtures()
    for part in ("rate", "finding", "calibration", "provenance"):
        assert f"## {part}\n" in pages.json_result()


def test_every_generated_part_of_a_page_is_made_by_the_hook():
    pages = script("reference_pages")
    marks = [found[1] for page in PAGES for found in pages.MARK.finditer(page.read_text(encoding="utf-8"))]
    assert sorted(marks) == sorted(pages.GENERATED)
    assert pages.on_page_markdown("<!-- generated: presets -->") == pages.presets()


def test_making_the_reference_loads_no_heavy_library():
    code = (
        "import sys; sys.path.insert(0, 'docs/scripts'); import reference_pages as pages\n"
        "for make in pages.GENERATED.values(): make()\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'open_clip', 'faiss', 'PIL', 'scipy', 'allure'}\n"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/x.js"></script>',
        "<img alt=x src=//cdn.example/x.png>",
        '<link rel="stylesheet" href="https://fonts.example/css">',
        '<link href="https://fonts.example" rel="preconnect">',
        "body { background: url(https://cdn.example/x.png) }",
        '@import "https://cdn.example/x.css";',
    ],
)
def test_a_load_from_outside_is_seen(text):
    assert list(script("nothing_from_outside").loads_from_outside(text))


@pytest.mark.parametrize(
    "text",
    [
        '<a href="https://arxiv.org/abs/2301.13188">the study</a>',
        '<link rel="canonical" href="https://example.org/">',
        '<script src="assets/bundle.js"></script><img src="../assets/power.svg">',
        "a { background: url(data:image/png;base64,AA//BB) }",
    ],
)
def test_a_link_is_no_load(text):
    assert not list(script("nothing_from_outside").loads_from_outside(text))
