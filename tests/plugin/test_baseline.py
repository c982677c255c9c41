"""A checkpoint against its baseline, as `pytest audits/` compares them and `memex bless` wrote it."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from memex_audit.cli import main

AUDITS = Path(__file__).parents[2] / "audits"
CLEAN = tuple(f"clean picture c{i}" for i in range(10))
COPIED = tuple(f"copied picture p{i}" for i in range(10))
OPTIONS = ("--memex-training-set", "images", "--memex-embedder", "specimen", "--memex-limit", "0.9")
DEFAULT = Path("audits", "baselines", "none.json")


@pytest.fixture
def checked(project, monkeypatch):
    """A project whose suite compares with a baseline; extracted prompts do not fail it by themselves."""
    shutil.copy(AUDITS / "test_checkpoint_regression.py", project.path / "audits")
    project.captions(*CLEAN, *COPIED[:5])
    monkeypatch.chdir(project.path)
    return project


def audit(project, *arguments):
    return project.audit(*OPTIONS, "--memex-on-extracted", "xfail", *arguments)


def bless(*arguments):
    done = CliRunner().invoke(main, ["bless", "latest", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def as_another_checkpoint(project, *, copies):
    """Let the generator give back the pictures of captions that begin so, and be of other weights."""
    conftest = project.path / "conftest.py"
    text = conftest.read_text().replace('startswith("copied")', f"startswith({copies!r})")
    conftest.write_text(text.replace('"f" * 64', '"e" * 64'))


def verdict(project):
    return json.loads((project.path / "result.json").read_text())["verdict"]


def one_line(run):
    return " ".join(" ".join(part.removeprefix("E").strip() for part in run.stdout.lines).split())


def test_without_a_baseline_the_comparison_is_skipped_and_says_how_to_bless(checked):
    run = audit(checked, "-rs")
    run.assert_outcomes(passed=11, xfailed=5, skipped=1)
    assert (run.ret, verdict(checked)) == (0, "pass")
    assert "nothing was compared; `memex bless latest` after an audit writes one" in one_line(run)


def test_a_required_baseline_that_is_not_there_fails_and_says_how_to_bless(checked):
    run = audit(checked, "--memex-baseline-policy", "required")
    assert (run.ret, verdict(checked)) == (1, "fail")
    said = one_line(run)
    assert "There is no baseline to compare with." in said
    assert "`memex bless latest` after an audit writes one" in said


def test_a_named_baseline_that_is_not_there_is_warned_of(checked):
    run = audit(checked, "--memex-baseline", "typo.json")
    assert run.ret == 0
    assert "MissingBaseline: --memex-baseline typo.json is not there: nothing was compared" in one_line(run)


def test_policy_create_writes_what_bless_would_and_the_next_run_compares_with_it(checked):
    audit(checked, "--memex-baseline-policy", "create").assert_outcomes(passed=11, xfailed=5, skipped=1)
    created = DEFAULT.read_bytes()
    bless("--out", "blessed.json")
    assert Path("blessed.json").read_bytes() == created
    audit(checked, "--memex-baseline-policy", "required").assert_outcomes(passed=12, xfailed=5)


def test_the_same_model_passes_against_its_own_baseline(checked):
    audit(checked)
    assert "15 prompts, 5 extracted" in bless()
    run = audit(checked)
    run.assert_outcomes(passed=12, xfailed=5)
    assert verdict(checked) == "pass"


def test_a_baseline_is_the_same_bytes_however_often_it_is_written_and_shows_no_caption(checked):
    audit(checked)
    bless()
    first = DEFAULT.read_bytes()
    audit(checked, "--memex-redact", "captions", "--memex-store", ".memex")
    bless()
    assert DEFAULT.read_bytes() == first
    for caption in (*CLEAN, *COPIED):
        assert caption.encode() not in first
        assert caption.replace(" ", "-").encode() not in first
    assert list(json.loads(first)) == sorted(json.loads(first))


def test_a_prompt_that_is_newly_extracted_fails_and_is_named(checked):
    audit(checked)
    bless()
    as_another_checkpoint(checked, copies=("copied", "clean picture c3"))
    run = audit(checked)
    assert (run.ret, verdict(checked)) == (1, "fail")
    said = one_line(run)
    assert "Regression, none against none: 1 prompt newly extracted." in said
    assert '"clean picture c3": 0 of ' in said
    assert "How sure McNemar's exact test on groups" in said
    assert "memex bless latest" in said
    assert "Repeat pytest audits/test_checkpoint_regression.py::test_nothing_is_newly_extracted" in said


def test_with_redact_captions_a_newly_extracted_prompt_is_named_by_its_id(checked):
    audit(checked)
    bless()
    as_another_checkpoint(checked, copies=("copied", "clean picture c3"))
    run = audit(checked, "--memex-redact", "captions")
    assert "1 prompt newly extracted" in one_line(run)
    assert "clean picture" not in run.stdout.str()


def test_a_rate_that_is_higher_beyond_chance_fails(checked):
    audit(checked)
    bless()
    as_another_checkpoint(checked, copies=("copied", "clean"))
    assert "the extraction rate is higher" in one_line(audit(checked))


def test_fewer_extractions_pass(checked):
    audit(checked)
    bless()
    as_another_checkpoint(checked, copies=("nothing",))
    run = audit(checked)
    run.assert_outcomes(passed=17)


def test_prompts_that_disappeared_fail_and_added_ones_do_not(checked):
    audit(checked)
    bless()
    checked.captions(*COPIED[5:7])
    audit(checked).assert_outcomes(passed=12, xfailed=7)
    for ending in (".png", ".txt"):
        (checked.path / "images" / f"clean-picture-c4{ending}").unlink()
    run = audit(checked)
    assert run.ret == 1
    assert "Regression, none against none: 1 prompt no longer audited." in one_line(run)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--memex-seed", "5"), "got root seeds 0 and 5: pictures are paired by seed"),
        (("--memex-generations", "8"), "audit with the same --memex-preset."),
        (("--memex-prompts", "prompts.csv"), "it is another prompt set's; bless a run of this one."),
    ],
)
def test_a_baseline_of_another_kind_is_refused_in_one_line_before_anything_is_drawn(checked, arguments, said):
    audit(checked)
    bless()
    checked.prompts(*(f"other {i}" for i in range(5)))
    drawn = len(checked.drawn)
    run = audit(checked, *arguments, "-x")
    assert said in one_line(run)
    assert "Traceback" not in run.stdout.str()
    assert verdict(checked) == "error"
    assert len(checked.drawn) == drawn


def test_a_baseline_of_another_sampler_is_refused_with_what_differs(checked):
    audit(checked)
    bless()
    conftest = checked.path / "conftest.py"
    conftest.write_text(conftest.read_text().replace('"kind": "copier"', '"kind": "copier", "steps": 9'))
    assert "got other sampler settings (steps: - and 9); audit with the same." in one_line(
        audit(checked, "-x")
    )


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 9}', '{"schema": 1, "model": "x"}'])
def test_a_file_that_is_no_baseline_is_refused_in_one_line(checked, text):
    Path("baseline.json").write_text(text)
    said = one_line(audit(checked, "--memex-baseline", "baseline.json", "-x"))
    assert "ComparisonError: a baseline must be a file written by `memex bless`, got" in said


def test_with_xdist_the_comparison_is_the_same(checked):
    audit(checked)
    bless()
    as_another_checkpoint(checked, copies=("copied", "clean picture c3"))
    assert "1 prompt newly extracted" in one_line(audit(checked, "-n2"))
