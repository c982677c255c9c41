"""--memex-minimal-trigger and `memex trigger`: the words of an extracted prompt that are enough."""

import json

import pytest
from click.testing import CliRunner

from memex_audit.cli import main

CLEAN = tuple(f"clean picture {i}" for i in range(12))
CAPTION = "a drawing of a copied cat at night"
CONFTEST = '''
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from memex_audit.records import Generation


class Reader:
    """Gives back one training image for prompts that hold both words, and noise for any other."""

    fingerprint = "f" * 64
    settings = {"kind": "reader"}
    seeded = True
    shareable = True
    evaluations_per_image = 2

    def generate(self, requests):
        with Path("drawn.log").open("a") as log:
            for request in requests:
                log.write(f"{request.prompt}\\t{request.seed}\\n")
        picture = np.asarray(Image.open("images/CAPTION.png").convert("RGB"))
        for request in requests:
            noise = np.random.default_rng(request.seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
            replica = {"copied", "cat"} <= set(request.prompt.split())
            yield Generation(request=request, pixels=picture if replica else noise)


@pytest.fixture(scope="session")
def memex_generator():
    return Reader()
'''.replace("CAPTION", CAPTION.replace(" ", "-"))
GIVEN = ("--memex-training-set", "images", "--memex-embedder", "specimen")


@pytest.fixture
def reading(project):
    project.captions(CAPTION, *CLEAN)
    project.pytester.makeconftest(CONFTEST)
    return project


def trigger_of(project) -> dict | None:
    findings = json.loads((project.path / "result.json").read_text())["findings"]
    return next(finding["trigger"] for finding in findings if finding["verdict"] == "extracted")


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_the_words_that_are_enough_stand_in_failure_and_result(reading, workers):
    run = reading.audit(*GIVEN, "--memex-minimal-trigger", "200", *workers)
    found = trigger_of(reading)
    assert (found["text"], found["kept"]) == ("copied cat", ["copied", "cat"])
    assert (found["n_kept"], found["n_words"], found["replaced"], found["complete"]) == (2, 8, 0, True)
    assert found["network_evaluations"] == 2 * found["generations"]
    said = " ".join(run.stdout.str().split())
    assert '2 of its 8 words are enough: "copied cat"' in said


def test_it_is_off_by_default_and_draws_nothing(reading):
    reading.audit(*GIVEN)
    assert trigger_of(reading) is None
    assert {line.partition("\t")[0] for line in reading.drawn} == {CAPTION, *CLEAN}


def test_a_second_audit_finds_the_same_and_draws_nothing(reading):
    reading.audit(*GIVEN, "--memex-minimal-trigger", "200")
    first, n_drawn = trigger_of(reading), len(reading.drawn)
    reading.audit(*GIVEN, "--memex-minimal-trigger", "200")
    assert trigger_of(reading) == first
    assert len(reading.drawn) == n_drawn


def test_no_more_generations_are_drawn_than_were_given(reading):
    reading.audit(*GIVEN)
    n_drawn = len(reading.drawn)
    run = reading.audit(*GIVEN, "--memex-minimal-trigger", "7")
    found = trigger_of(reading)
    assert not found["complete"]
    assert found["generations"] <= 7
    assert len(reading.drawn) - n_drawn <= 7 + 1  # one that was there, to compare the models
    assert "did not settle it" in " ".join(run.stdout.str().split())


def test_redacted_only_how_many_words_is_shown(reading):
    run = reading.audit(
        *GIVEN, "--memex-minimal-trigger", "200", "--memex-redact", "captions", "--junitxml", "junit.xml",
        "--alluredir", "allure-results", "--memex-report", "report.md",
    )  # fmt: skip
    found = trigger_of(reading)
    assert (found["text"], found["kept"], found["n_kept"]) == ("", [], 2)
    assert "2 of its 8 words are enough" in " ".join(run.stdout.str().split())
    written = [reading.path / name for name in ("result.json", "junit.xml", "report.md")]
    for path in (*written, *(reading.path / "allure-results").iterdir()):
        assert "copied cat" not in path.read_text(errors="replace"), path
    assert "copied" not in run.stdout.str()


def test_the_command_wants_a_prompt_that_gives_an_image_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["trigger", "tram car", "--model", "specimen:duplicated"])
    assert done.exit_code == 1
    assert 'PROMPT must give a training image back, got "tram car": not flagged' in done.output
