"""Options, ini, marker, collection, and manners in projects that do not audit."""

import subprocess
import sys

import pytest

CLEAN = tuple(f"clean picture {i}" for i in range(12))
HEAVY = (
    "numpy", "torch", "diffusers", "transformers", "open_clip", "faiss", "PIL", "scipy", "pyarrow", "allure",
    "rich", "filelock", "hypothesis",
)  # fmt: skip


@pytest.mark.parametrize("module", ["memex_audit", "memex_audit.plugin", "memex_audit.config"])
def test_importing_the_plugin_loads_nothing_heavy(module):
    code = f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_a_project_that_does_not_audit_sees_nothing(pytester):
    pytester.makepyfile("def test_sum(): assert 1 + 1 == 2")
    run = pytester.runpytest_subprocess()
    run.assert_outcomes(passed=1)
    run.stdout.no_fnmatch_line("*memex*verdict*")
    run.stdout.no_fnmatch_line("*= memex =*")
    assert not (pytester.path / ".memex").exists()


def test_help_lists_every_option(pytester):
    run = pytester.runpytest_subprocess("--help")
    run.stdout.fnmatch_lines(["*--memex-model=MODEL*", "*--memex-limit=RATE*", "*memex_limit*"])


def test_collect_only_draws_nothing(project):
    project.prompts(*CLEAN)
    run = project.audit("--memex-prompts", "prompts.csv", "--collect-only", "-q")
    assert run.ret == 0
    assert project.drawn == []
    assert not (project.path / "result.json").exists()
    run.stdout.fnmatch_lines(["*clean-picture-0-*"])


def test_an_option_wins_over_the_ini_file(project):
    project.prompts(*CLEAN)
    project.pytester.makeini("[pytest]\nmemex_limit = 0.0001\nmemex_prompts = prompts.csv\n")
    assert project.audit().ret == 1
    assert project.audit("--memex-limit", "0.25").ret == 0


def test_a_marker_wins_over_the_option(project):
    project.prompts(*CLEAN)
    rates = project.path / "audits" / "test_replica_rates.py"
    text = rates.read_text().replace(
        "def test_extraction", "@pytest.mark.memex(limit=0.25)\ndef test_extraction"
    )
    rates.write_text("import pytest\n" + text)
    assert project.audit("--memex-prompts", "prompts.csv", "--memex-limit", "0.001").ret == 0


def test_an_unknown_marker_argument_is_refused_at_collection_with_the_nearest(project):
    project.prompts(*CLEAN)
    rates = project.path / "audits" / "test_replica_rates.py"
    text = rates.read_text().replace(
        "def test_extraction", "@pytest.mark.memex(limits=0.25)\ndef test_extraction"
    )
    rates.write_text("import pytest\n" + text)
    run = project.audit("--memex-prompts", "prompts.csv")
    assert run.ret == 4
    run.stderr.fnmatch_lines(["*'limits'; did you mean limit?*"])
    assert project.drawn == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--memex-limit", "1.7"), "*--memex-limit must be between 0 and 1, got '1.7'*"),
        (("--memex-preset", "carlini"), "*did you mean carlini-2023?*"),
        (("--memex-max-prompts", "many"), "*--memex-max-prompts must be a whole number, got 'many'*"),
        (("--memex-prompts", "nowhere.csv"), "*--memex-prompts must be a file, got nowhere.csv*"),
    ],
)
def test_a_value_that_cannot_be_used_ends_the_run_with_one_line(pytester, arguments, message):
    run = pytester.runpytest_subprocess(*arguments)
    assert run.ret == 4
    run.stderr.fnmatch_lines([message])


def test_redaction_keeps_captions_out_of_ids_terminal_and_json(project):
    project.captions("copied cat", *CLEAN)
    run = project.audit(
        "--memex-training-set", "images", "--memex-embedder", "specimen", "--memex-redact", "captions", "-v",
        "--junitxml", "junit.xml", "--alluredir", "allure-results",
    )  # fmt: skip
    assert run.ret == 1
    shown = [
        run.stdout.str(),
        (project.path / "result.json").read_text(),
        (project.path / "junit.xml").read_text(),
    ]
    shown += [path.read_text(errors="replace") for path in (project.path / "allure-results").iterdir()]
    for text in shown:
        assert "copied cat" not in text
        assert "copied-cat" not in text


def test_a_missing_model_is_one_line(pytester, project):
    (project.path / "conftest.py").unlink()
    project.prompts(*CLEAN)
    run = pytester.runpytest_subprocess(
        "audits", "--memex-model", "./nowhere", "--memex-prompts", "prompts.csv"
    )
    run.stdout.fnmatch_lines(["*ModelError: a model must be a folder*nowhere, which does not exist*"])
