"""A user's generator that answers wrongly: one line that names it, and what was good before is kept."""

import json

import pytest

CONFTEST = """
from pathlib import Path

import numpy as np
import pytest

from memex_audit.records import Generation


class Mine:
    fingerprint, settings, seeded, shareable, evaluations_per_image = "my weights", {}, True, True, 1

    def read_tokens(self, prompt):
        words = prompt.split()
        return " ".join(words[:3]), max(0, len(words) - 3)

    def generate(self, requests):
        with Path("drawn.log").open("a") as log:
            log.writelines(f"{request.prompt}\\t{request.seed}\\n" for request in requests)
        for request in requests:
            pixels = np.random.default_rng(request.seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
            if "odd" in request.prompt:
                ODD
            else:
                yield Generation(request=request, pixels=pixels)


@pytest.fixture(scope="session")
def memex_generator():
    return Mine()
"""
CLEAN = ("clean a", "clean b", "clean c", "clean d")


@pytest.fixture
def audit(project):
    """Audit four clean prompts and an odd one, two in a batch; the generator does as told for the odd one."""
    project.prompts(*CLEAN, "odd one")

    def run(odd, *arguments):
        (project.path / "conftest.py").write_text(CONFTEST.replace("ODD", odd))
        return project.audit(
            "--memex-prompts", "prompts.csv", "--memex-batch-size", "8", "--memex-limit", "0.6", *arguments
        )

    return run


def result(project):
    return json.loads((project.path / "result.json").read_text())


PICTURE = "yield Generation(request=request, pixels={})"
ODD = {
    "grey": (PICTURE.format("pixels[..., 0]"), "*got uint8 of shape (32, 32); convert*"),
    "with alpha": (
        PICTURE.format("np.dstack([pixels, pixels[..., :1]])"),
        "*got uint8 of shape (32, 32, 4);*",
    ),
    "floats": (PICTURE.format("pixels / 255"), "*got float64 of shape (32, 32, 3);*"),
    "int64": (PICTURE.format("pixels.astype(np.int64)"), "*got int64 of shape (32, 32, 3);*"),
    "too small": (PICTURE.format("pixels[:2, :2]"), "*got uint8 of shape (2, 2, 3);*"),
    "no generation": ("yield pixels", "*Mine must yield Generations, got ndarray for request 1 of 4*"),
    "too many": (
        PICTURE.format("pixels") + "; yield Generation(request=request, pixels=pixels)",
        "*Mine must answer every request in order, got 8 answers to 4 requests*",
    ),
    "too few": ("return", "*Mine must answer every request in order, got 0 answers to 4 requests*"),
    "another order": (
        "yield Generation(request=requests[0], pixels=pixels)",
        "*Mine must answer every request in order, got another request back for request 2 of 4*",
    ),
}


@pytest.mark.parametrize(("odd", "line"), ODD.values(), ids=ODD)
def test_a_wrong_answer_is_one_line_ends_the_audit_and_loses_nothing(project, audit, odd, line):
    run = audit(odd)
    assert run.ret == 1
    run.assert_outcomes(passed=len(CLEAN), failed=1, skipped=1)
    found = result(project)
    assert found["verdict"] == "error"
    assert {finding["prompt"] for finding in found["findings"]} == set(CLEAN)
    text = " ".join(part.removeprefix("E").strip() for part in run.stdout.str().splitlines())
    assert "GeneratorError: the generator Mine must" in text
    assert [piece for piece in line.split("*") if piece and piece not in text] == []
    run.stdout.no_fnmatch_line("*Traceback*")

    # Once it is mended, only what was not good is drawn, and one picture that is there, to compare models.
    (project.path / "drawn.log").unlink()
    assert audit(PICTURE.format("pixels")).ret == 0
    drawn = [line.split("\t")[0] for line in project.drawn]
    assert len([prompt for prompt in drawn if prompt != "odd one"]) == 1
    assert "odd one" in drawn


def test_a_generator_that_breaks_off_names_itself_and_the_error(project, audit):
    run = audit('raise RuntimeError("a kernel failed")')
    assert run.ret == 1
    assert result(project)["verdict"] == "error"
    text = " ".join(run.stdout.str().split())
    assert "the generator Mine must draw what it is asked for, got RuntimeError: a kernel failed" in text
    run.assert_outcomes(passed=len(CLEAN), failed=2)


@pytest.mark.parametrize("style", ["auto", "native"])
def test_what_a_generator_quotes_of_a_prompt_stays_out_where_captions_do(project, audit, style):
    run = audit(
        'raise RuntimeError("cannot draw " + request.prompt)',
        "--memex-redact", "captions", f"--tb={style}", "--junit-xml", "junit.xml",
    )  # fmt: skip
    text = " ".join(run.stdout.str().split())
    assert "got RuntimeError: (its text is left out) after 0 of 4 pictures" in text
    assert "odd one" not in text
    written = [path.read_text() for path in project.path.iterdir() if path.suffix in (".xml", ".json")]
    assert len(written) == 2
    assert not any("odd one" in said for said in written)


def test_blank_pictures_are_no_replicas_of_each_other(project, audit):
    audit(PICTURE.format("0 * pixels"))
    found = result(project)
    assert {f["prompt"]: f["verdict"] for f in found["findings"]}["odd one"] == "undecided"
    assert found["set_aside"]["generations"] == 4


def test_pictures_of_another_size_are_set_aside_and_counted(project, audit):
    audit(PICTURE.format("pixels if requests.index(request) else pixels[:16]"))
    found = result(project)
    assert {f["prompt"]: f["verdict"] for f in found["findings"]}["odd one"] == "undecided"
    assert found["set_aside"]["generations"] == 3


def test_prompts_that_the_generator_cuts_are_noted_and_those_it_reads_alike_are_one(project, audit):
    project.prompts(*CLEAN, "a long caption one", "a long caption two", "a long  caption")
    run = audit("pass")
    found = result(project)
    assert found["rate"]["groups"] == len(CLEAN) + 1
    assert found["rate"]["prompts"] == len(found["findings"]) == len(CLEAN) + 1
    assert {line.split("\t")[0] for line in project.drawn} == {*CLEAN, "a long caption one"}
    assert [note.partition(":")[0] for note in found["notes"]] == [
        "2 of 7 prompts are longer than the model reads, and audited as cut",
        "3 prompts are 1 to the model, which reads the same tokens of them, and are audited as one each",
    ]
    run.stdout.fnmatch_lines(["notes*2 of 7 prompts are longer than the model reads*"])


def test_a_generator_that_lacks_something_is_one_line(project):
    project.prompts(*CLEAN)
    (project.path / "conftest.py").write_text(
        "import pytest\n\n@pytest.fixture(scope='session')\ndef memex_generator(): return object()\n"
    )
    run = project.audit("--memex-prompts", "prompts.csv")
    run.assert_outcomes(failed=1, skipped=len(CLEAN))
    text = " ".join(part.removeprefix("E").strip() for part in run.stdout.str().splitlines())
    assert "GeneratorError: a generator must offer fingerprint, settings" in text
    assert (
        "got object without fingerprint, settings, seeded, shareable, evaluations_per_image, generate" in text
    )
