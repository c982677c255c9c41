"""What pytest shows of a failed audit: the breach in its own words, each wall of text once."""

import re
import shutil
import sys

import pytest

CLEAN = tuple(f"clean picture {i}" for i in range(4))
COPIED = tuple(f"copied cat {name}" for name in ("one", "two", "six", "ten", "red"))
TRAINED = ("--memex-training-set", "images", "--memex-embedder", "specimen")
CASES = "audits/test_duplicated_prompts.py"


@pytest.fixture(autouse=True)
def a_terminal_of_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("CI", "BUILD_NUMBER", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)


def section(text, title):
    """Return the lines of one section of pytest's output."""
    lines = text.splitlines()
    first = next(n for n, line in enumerate(lines) if re.fullmatch(rf"=+ {title} =+", line))
    length = next(n for n, line in enumerate(lines[first + 1 :]) if line.startswith("==="))
    return lines[first + 1 : first + 1 + length]


def test_a_failure_reads_claim_evidence_how_sure_what_next_and_shows_no_code(project):
    project.captions(COPIED[0], *CLEAN)
    title, *shown = section(project.audit(*TRAINED, CASES).stdout.str(), "FAILURES")
    assert re.fullmatch(
        r"_+ test_prompt_gives_back_no_training_image\[copied-cat-one-[0-9a-f]{12}\] _+", title
    )
    text = "\n".join(shown)
    assert re.fullmatch(
        r"""E   The model gives back training image copied-cat-one.png for "copied cat
E   one".
    Evidence  4 of 4 generations within l2 0.1 of a training image \(match
              delta\); nearest l2 0\.0\d\d; 4 generations lie pairwise within
(?:              .*\n)+    How sure  seen, not estimated: 4 different seeds gave it back. What counts
              as the same picture rests on the thresholds of protocol default.
    Next      look at the pictures \(--memex-evidence full:FOLDER\), then take
              the image or its duplicates out of the training set.
    Repeat    pytest '.*' --memex-model none --memex-training-set images --memex-embedder specimen
audits/test_duplicated_prompts.py:\d+: ReplicaExtracted""",
        text,
    )
    assert max(len(line) for line in shown if not line.startswith("    Repeat")) < 80


def test_the_command_that_repeats_a_case_repeats_it_and_writes_no_report(project):
    project.captions(COPIED[0], *CLEAN)
    run = project.audit(*TRAINED, CASES, "--memex-report", "page.md")
    (repeat,) = [line for line in run.stdout.str().splitlines() if line.startswith("    Repeat    ")]
    command = repeat.removeprefix("    Repeat    ")
    assert "--memex-json" not in command
    assert "--memex-report" not in command
    again = project.pytester.run("sh", "-c", f"python -m {command} -p no:cacheprovider")
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["*gives back training image copied-cat-one.png*"])


@pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["here", "worker"])
def test_the_command_fits_the_folder_that_pytest_was_called_in(project, monkeypatch, workers):
    project.captions(COPIED[0], *CLEAN)
    project.pytester.makeini("[pytest]\n")
    shutil.move(project.path / "images", project.path / "audits" / "images")
    monkeypatch.chdir(project.path / "audits")
    run = project.pytester.run(
        sys.executable, "-mpytest", "test_duplicated_prompts.py", "--memex-model", "none", *TRAINED, *workers
    )
    run.stdout.fnmatch_lines(["    Repeat    pytest 'test_duplicated_prompts.py::test_prompt_gives_back*"])


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_of_many_failures_three_are_shown_in_full_and_the_others_by_their_claim(project, workers):
    project.captions(*COPIED, *CLEAN)
    text = project.audit(*TRAINED, CASES, workers, "--junitxml", "junit.xml").stdout.str()
    shown = "\n".join(section(text, "FAILURES"))
    assert shown.count("E   The model gives back training image") == 5
    assert shown.count("    Evidence  ") == 3
    assert shown.count("(each in full: -vv)") == 1
    # Only the terminal is short.
    assert (project.path / "junit.xml").read_text().count("Evidence  ") == 5


@pytest.mark.parametrize("option", ["-vv", "--tb=long"])
def test_who_asks_for_more_gets_every_failure_in_full(project, option):
    project.captions(*COPIED, *CLEAN)
    text = project.audit(*TRAINED, CASES, option).stdout.str()
    assert text.count("    Evidence  ") == 5


def test_locals_and_native_tracebacks_are_left_to_pytest(project):
    project.captions(COPIED[0], *CLEAN)
    native = project.audit(*TRAINED, CASES, "--tb=native").stdout.str()
    assert "Traceback (most recent call last)" in native
    with_locals = project.audit(*TRAINED, CASES, "--showlocals").stdout.str()
    assert re.search(r"^memex +=", with_locals, re.MULTILINE)
    line = project.audit(*TRAINED, CASES, "--tb=line").stdout.str()
    assert "test_duplicated_prompts.py:7: ReplicaExtracted: 4 of 4 generations near a training image" in line


def test_the_short_summary_stays_one_line_a_case_on_a_ci_machine(project, monkeypatch):
    monkeypatch.setenv("CI", "true")
    project.captions(*COPIED, *CLEAN)
    lines = section(project.audit(*TRAINED, CASES).stdout.str(), "short test summary info")
    assert len(lines) == 5
    for line in lines:
        assert re.fullmatch(
            r"FAILED .*\[copied-cat-...-[0-9a-f]{12}\] - ReplicaExtracted: 4 of 4 generations near a "
            r"training image, nearest l2 0\.0\d\d, 1 near-copy",
            line,
        )


def test_the_verdict_stands_last(project):
    project.captions(COPIED[0], *CLEAN)
    text = project.audit(*TRAINED).stdout.str()
    assert text.index("short test summary info") < text.index("memex: FAIL")
    assert text.rstrip().splitlines()[-1].startswith("===")


def test_an_error_that_every_case_meets_is_shown_once(project):
    project.prompts("broken glass", *CLEAN)
    shown = "\n".join(section(project.audit("--memex-prompts", "prompts.csv").stdout.str(), "FAILURES"))
    assert shown.count("the device is gone") >= 2
    assert shown.count(f"    as in {CASES}::") == shown.count("the device is gone") - 1


def test_flagged_prompts_warn_with_one_text(project):
    project.captions(*COPIED)
    project.prompts(*COPIED, *CLEAN)
    # Given back again and again, with no training set to match it in: flagged.
    run = project.audit("--memex-prompts", "prompts.csv", CASES)
    run.assert_outcomes(passed=9, warnings=5)
    text = run.stdout.str()
    assert text.count("ReplicaFlagged: the model draws nearly the same picture again and again") == 1
    assert text.count("[copied-cat-") == 5


def test_an_inconclusive_case_that_only_warns_is_placed_in_the_test(project):
    project.prompts(*CLEAN)
    run = project.audit("--memex-prompts", "prompts.csv", "--memex-inconclusive", "warn")
    run.stdout.fnmatch_lines(
        ["*audits/test_replica_rates.py:*: InconclusiveAudit: Inconclusive: the rate may be*"]
    )
    run.stdout.no_fnmatch_line("*contextlib.py*")


def test_an_xfailed_extraction_gives_its_figures_on_one_line(project):
    project.captions(COPIED[0], *CLEAN)
    run = project.audit(*TRAINED, CASES, "--memex-on-extracted", "xfail", "-rx")
    run.stdout.fnmatch_lines(
        ["XFAIL *copied-cat-one-*] - 4 of 4 generations near a training image, nearest l2 0.0*"]
    )


@pytest.mark.parametrize(("option", "rows"), [("-q", False), ("-v", True)])
def test_quiet_says_less(project, option, rows):
    project.captions(COPIED[0], *CLEAN)
    text = project.audit(*TRAINED, option).stdout.str()
    assert " FAIL " in text
    assert ("\nthresholds " in text) == rows


def test_colours_are_left_out_where_there_is_no_terminal(project):
    project.captions(COPIED[0], *CLEAN)
    assert "\x1b[" not in project.audit(*TRAINED).stdout.str()
    assert "\x1b[31m\x1b[1m\x1b[7m FAIL " in project.audit(*TRAINED, "--color=yes").stdout.str()
