"""Prompts like the known ones: a model that only hides a replica gives it back for one of them."""

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

AUDITS = Path(__file__).parents[2] / "audits"
CLEAN = tuple(f"clean picture {i}" for i in range(4))
CAPTION = "copied cat with hat"
CONFTEST = '''
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from memex_audit.records import Generation


class Hider:
    """Draws noise for the very caption of a training image, and gives it back for what is like it."""

    fingerprint = "f" * 64
    settings = {"kind": "hider"}
    seeded = True
    shareable = True
    evaluations_per_image = 2

    def generate(self, requests):
        picture = np.asarray(Image.open("images/copied-cat-with-hat.png").convert("RGB"))
        for request in requests:
            with Path("drawn.log").open("a") as log:
                log.write(f"{request.prompt}\\t{request.seed}\\n")
            noise = np.random.default_rng(request.seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
            like = LIKE in request.prompt and request.prompt != "copied cat with hat"
            yield Generation(request=request, pixels=picture if like else noise)


@pytest.fixture(scope="session")
def memex_generator():
    return Hider()
'''
GIVEN = ("--memex-training-set", "images", "--memex-embedder", "specimen", "--memex-limit", "0.9")


@pytest.fixture
def hiding(project):
    """A project whose model hides one replica, with the case of neighbours."""
    project.captions(CAPTION, *CLEAN)
    project.pytester.makeconftest(CONFTEST.replace("LIKE", '"copied cat"'))
    shutil.copy(AUDITS / "test_prompt_neighbourhood.py", project.path / "audits")
    return project


def test_a_replica_that_is_only_hidden_fails_the_case_and_names_the_neighbour(hiding):
    run = hiding.audit(*GIVEN, "--memex-neighbours", "6")
    run.assert_outcomes(passed=6, failed=1)
    assert json.loads((hiding.path / "result.json").read_text())["verdict"] == "fail"
    said = " ".join(run.stdout.str().split())
    assert "prompts like known ones give a training image back." in said
    assert re.search(r'of "copied cat with hat"\): 16 of 16 generations near a training image', said)
    assert "Repeat" in said
    # Neighbours are no prompts of the audit set: the rate does not know them.
    assert len(json.loads((hiding.path / "result.json").read_text())["findings"]) == 5


def test_a_model_that_gives_nothing_back_passes(hiding):
    hiding.pytester.makeconftest(CONFTEST.replace("LIKE", '"no such words"'))
    run = hiding.audit(*GIVEN, "--memex-neighbours", "6")
    run.assert_outcomes(passed=7)
    assert json.loads((hiding.path / "result.json").read_text())["verdict"] == "pass"
    assert len({line.partition("\t")[0] for line in hiding.drawn}) > 5


def test_without_the_option_no_case_is_made_and_the_run_is_whole(hiding):
    run = hiding.audit(*GIVEN)
    run.assert_outcomes(passed=6)
    assert json.loads((hiding.path / "result.json").read_text())["verdict"] == "pass"
    assert {line.partition("\t")[0] for line in hiding.drawn} == {CAPTION, *CLEAN}


def test_the_case_alone_without_the_option_says_what_it_takes(hiding):
    run = hiding.audit("audits/test_prompt_neighbourhood.py", *GIVEN)
    assert run.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    run.stdout.fnmatch_lines(
        ["memex: cases of prompts like the known ones are made where --memex-neighbours N says how many"]
    )


def test_known_are_the_prompts_that_the_baseline_lists_as_extracted(hiding):
    hiding.pytester.makeconftest(
        CONFTEST.replace('!= "copied cat with hat"', '!= "no such prompt"').replace("LIKE", '"copied cat"')
    )
    hiding.audit(*GIVEN, "--memex-on-extracted", "xfail")
    assert hiding.pytester.run("memex", "bless", "latest", "--out", "baseline.json").ret == 0
    (hiding.path / "drawn.log").unlink()
    hiding.audit(*GIVEN, "--memex-neighbours", "3", "--memex-baseline", "baseline.json")
    pictures = Counter(line.partition("\t")[0] for line in hiding.drawn)
    # One picture that was there is drawn again, to compare the models.
    drawn = {prompt for prompt, n in pictures.items() if n > 1}
    assert len(drawn) == 3
    assert len(pictures) <= 3 + 1
    assert not any("clean" in prompt for prompt in drawn)


def test_without_a_training_set_the_case_says_what_it_lacks(hiding):
    hiding.prompts(*CLEAN)
    run = hiding.audit(
        "audits/test_prompt_neighbourhood.py", "--memex-prompts", "prompts.csv", "--memex-neighbours", "3"
    )
    run.assert_outcomes(errors=1)
    run.stdout.fnmatch_lines(["*ConfigurationError*must have known prompts and neighbours, got 0 prompts*"])


def test_redacted_no_caption_of_a_neighbour_is_shown(hiding):
    run = hiding.audit(
        *GIVEN, "--memex-neighbours", "6", "--memex-redact", "captions", "--junitxml", "junit.xml",
        "--alluredir", "allure-results",
    )  # fmt: skip
    run.assert_outcomes(passed=6, failed=1)
    written = [hiding.path / "result.json", hiding.path / "junit.xml"]
    shown = [
        path.read_text(errors="replace") for path in (*written, *(hiding.path / "allure-results").iterdir())
    ]
    for text in (*shown, run.stdout.str()):
        for word in ("copied", "hat)", "with hat"):
            assert word not in text
