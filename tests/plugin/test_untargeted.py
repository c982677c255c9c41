"""Untargeted extraction through pytest: for models without prompts, unknown captions, and prompts in turn."""

import json
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from memex_audit.reporting.json_report import SCHEMA_FILE, read_result

AUDITS = Path(__file__).parents[2] / "audits"
CONFTEST = '''
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from memex_audit.records import Generation


class Unconditional:
    """Gives a training image back in every SHARE-th picture, and noise in the others."""

    fingerprint = "a" * 64
    settings = {"kind": "unconditional"}
    seeded = True
    shareable = True
    takes_prompts = False
    evaluations_per_image = 3

    def generate(self, requests):
        for request in requests:
            with Path("drawn.log").open("a") as log:
                log.write(f"{request.prompt}\\t{request.seed}\\n")
            with Path("workers.log").open("a") as log:
                log.write(f"{request.prompt}\\t{os.getpid()}\\n")
            if Path("breaks").exists() and len(Path("drawn.log").read_text().splitlines()) > 200:
                raise RuntimeError("the device is gone")
            random = np.random.default_rng(request.seed)
            pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            if SHARE and request.seed % SHARE == 0:
                memorized = np.asarray(Image.open("images/secret-portrait.png").convert("RGB")).astype(int)
                pixels = np.clip(memorized + random.integers(-5, 6, memorized.shape), 0, 255).astype(np.uint8)
            yield Generation(request=request, pixels=pixels)


@pytest.fixture(scope="session")
def memex_generator():
    return Unconditional()
'''
SET = ("--memex-training-set", "images", "--memex-embedder", "specimen")
SUITE = (
    "test_duplicated_prompts.py", "test_replica_rates.py", "test_controls.py",
    "test_checkpoint_regression.py", "test_untargeted.py",
)  # fmt: skip


def picture(name):
    """Return a smooth random field that is a function of the name."""
    seed = int.from_bytes(name.encode()[-8:], "big")
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC)


def write_pictures(folder, names):
    folder.mkdir(exist_ok=True)
    for name in names:
        picture(name).save(folder / f"{name}.png")


@pytest.fixture
def unprompted(project):
    """A training set without captions, and a model folder whose pipeline takes no prompts."""
    draws(project, share=10)
    shutil.rmtree(project.path / "audits")
    (project.path / "audits").mkdir()
    for name in SUITE:
        shutil.copy(AUDITS / name, project.path / "audits")
    write_pictures(project.path / "images", [*(f"picture {i:03d}" for i in range(60)), "secret-portrait"])
    (project.path / "model").mkdir()
    (project.path / "model" / "model_index.json").write_text('{"_class_name": "DDPMPipeline"}')
    return project


def draws(project, *, share):
    project.pytester.makeconftest(CONFTEST.replace("SHARE", str(share)))


def result_of(project):
    path = project.path / "result.json"
    data = json.loads(path.read_text())
    jsonschema.validate(data, json.loads(SCHEMA_FILE.read_text()))
    assert read_result(path).untargeted.generations == data["untargeted"]["generations"]
    return data


def test_the_audit_of_a_model_without_prompts_is_what_comes_back_unasked(unprompted):
    run = unprompted.audit(*SET, "--memex-model", "model", "--memex-untargeted", "200", "-rs")
    # The rate of prompts, the baseline and the negative control without held-out pictures are skipped.
    run.assert_outcomes(passed=1, failed=1, skipped=3)
    said = " ".join(run.stdout.str().split())
    assert (
        "memex: the model takes no prompts (DDPMPipeline): its audit is the untargeted extraction of 200"
        in said
    )
    assert "The model gives back 1 training image, unasked, two generations or more" in said
    assert "uncalibrated, the stated default" in said
    assert "no pictures were held out, so how often chance replicates is not known" in said
    assert "FAIL The model gives back 1 training image, unasked" in said
    found = result_of(unprompted)
    assert (found["verdict"], found["rate"], found["findings"]) == ("fail", None, [])
    n_replicas = sum(int(line.split("\t")[1]) % 10 == 0 for line in unprompted.drawn)
    assert found["untargeted"]["replicating"] == n_replicas > 10
    (image,) = found["untargeted"]["images"]
    assert (image["example_id"], image["generations"]) == ("secret-portrait.png", n_replicas)
    assert image["adaptive"] < 0.2
    assert {line.split("\t")[0] for line in unprompted.drawn} == {""}
    assert len(unprompted.drawn) == 200


def test_a_model_that_gives_nothing_back_passes_with_its_bound(unprompted):
    draws(unprompted, share=0)
    write_pictures(unprompted.path / "held-out", [f"other {i:03d}" for i in range(60)])
    run = unprompted.audit(
        *SET, "--memex-model", "model", "--memex-untargeted", "300", "--memex-untargeted-held-out", "held-out"
    )
    run.assert_outcomes(passed=3, skipped=2)
    found = result_of(unprompted)
    assert found["verdict"] == "pass"
    # 1 - 0.05 ** (1 / 300), the exact bound of none in 300.
    assert found["untargeted"]["upper"] == pytest.approx(0.0099363, abs=1e-6)
    assert found["untargeted"]["threshold"]["source"] == "calibrated"
    assert found["untargeted"]["threshold"]["held_out"] == 60
    assert {control["kind"]: control["detected"] for control in found["controls"]} == {
        "positive": 32, "negative": 0,
    }  # fmt: skip
    said = " ".join(run.stdout.str().split())
    assert "the share of untargeted generations that replicate a training image is within the limit" in said


def test_too_few_pictures_are_inconclusive_and_the_message_says_how_many_settle_it(unprompted):
    draws(unprompted, share=0)
    run = unprompted.audit(
        "audits/test_untargeted.py", *SET, "--memex-model", "model", "--memex-untargeted", "100"
    )
    run.assert_outcomes(failed=1)
    assert result_of(unprompted)["verdict"] == "inconclusive"
    assert "--memex-untargeted 299 settles it" in " ".join(run.stdout.str().split())


def test_captions_that_are_not_known_are_no_hindrance_where_pictures_are_asked_for(unprompted):
    run = unprompted.audit(*SET, "--memex-untargeted", "60")
    run.assert_outcomes(passed=1, failed=1, skipped=3)
    said = " ".join(run.stdout.str().split())
    assert "memex: the training set has no captions to make prompts of: its audit is the untargeted" in said
    assert result_of(unprompted)["untargeted"]["generations"] == 60


def test_the_prompts_of_a_file_are_asked_in_turn(unprompted):
    unprompted.prompts("a cat", "a dog", "a hen")
    unprompted.audit(
        "audits/test_untargeted.py", *SET, "--memex-untargeted", "8", "--memex-prompts", "prompts.csv"
    )
    asked = [line.split("\t")[0] for line in unprompted.drawn]
    assert sorted(asked) == ["a cat"] * 3 + ["a dog"] * 3 + ["a hen"] * 2
    assert result_of(unprompted)["untargeted"]["prompts"] == 3


def test_an_interrupted_extraction_goes_on_where_it_was_and_a_second_one_draws_nothing(unprompted):
    given = ("audits/test_untargeted.py", *SET, "--memex-model", "model", "--memex-untargeted", "300")
    (unprompted.path / "breaks").touch()
    unprompted.audit(*given).assert_outcomes(errors=1)
    assert 200 <= len(unprompted.drawn) < 220
    (unprompted.path / "breaks").unlink()
    unprompted.audit(*given).assert_outcomes(failed=1)
    assert 300 <= len(unprompted.drawn) <= 308
    first, drawn = result_of(unprompted)["untargeted"], len(unprompted.drawn)
    unprompted.audit(*given).assert_outcomes(failed=1)
    assert len(unprompted.drawn) == drawn
    assert result_of(unprompted)["untargeted"] == first


def test_a_budget_that_ends_leaves_the_bound_of_what_was_drawn(unprompted):
    unprompted.audit(
        "audits/test_untargeted.py", *SET, "--memex-model", "model", "--memex-untargeted", "300",
        "--memex-budget", "400nfe",
    )  # fmt: skip
    found = result_of(unprompted)
    assert found["untargeted"]["generations"] == 128  # at 3 evaluations each
    assert any("the budget ended after 128 of 300 pictures" in note for note in found["notes"])


def test_without_the_option_a_model_with_prompts_has_no_such_case(unprompted):
    run = unprompted.audit("audits/test_untargeted.py", *SET)
    assert run.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    run.stdout.fnmatch_lines(
        ["memex: cases of untargeted extraction are made where --memex-untargeted N says of how many"]
    )
    assert not unprompted.drawn


@pytest.mark.parametrize(
    ("n", "names", "said"),
    [
        (58, "other", "a threshold must be measured on at least 59 held-out pictures"),
        (60, "picture", "held-out pictures must not be in the training set"),
    ],
)
def test_held_out_pictures_that_measure_nothing_are_refused(unprompted, n, names, said):
    write_pictures(unprompted.path / "held-out", [f"{names} {i:03d}" for i in range(n)])
    run = unprompted.audit(
        "audits/test_untargeted.py", *SET, "--memex-model", "model", "--memex-untargeted", "20",
        "--memex-untargeted-held-out", "held-out",
    )  # fmt: skip
    run.assert_outcomes(errors=1)
    run.stdout.fnmatch_lines([f"*CalibrationError*{said}*"])


def test_redacted_no_name_of_a_training_image_is_shown_and_no_report_holds_its_pixels(unprompted):
    unprompted.audit(
        *SET, "--memex-model", "model", "--memex-untargeted", "200", "--memex-redact", "captions",
        "--alluredir", "allure-results", "--junitxml", "junit.xml", "--memex-report", "report.md",
    )  # fmt: skip
    files = [unprompted.path / name for name in ("result.json", "junit.xml", "report.md")]
    shown = [path.read_bytes() for path in (*files, *(unprompted.path / "allure-results").iterdir())]
    assert not any(b"secret" in data for data in shown)
    sheets = list((unprompted.path / "allure-results").glob("*.jpg"))
    assert len(sheets) == 1
    # An 8 x 8 mosaic: each cell of the sheet's panels is of one colour, up to compression.
    assert np.asarray(picture("secret-portrait")).tobytes() not in sheets[0].read_bytes()


def test_originals_are_written_below_the_evidence_folder_only(unprompted):
    unprompted.audit(
        "audits/test_untargeted.py", *SET, "--memex-model", "model", "--memex-untargeted", "60",
        "--memex-evidence", "full:evidence",
    )  # fmt: skip
    names = sorted(path.name for path in (unprompted.path / "evidence" / "untargeted").iterdir())
    assert "training-image.png" in names
    assert "generation-001.png" in names


def test_with_workers_one_process_draws_what_comes_back_unasked(unprompted):
    run = unprompted.audit(*SET, "--memex-model", "model", "--memex-untargeted", "60", "-n2")
    run.assert_outcomes(passed=1, failed=1, skipped=3)
    assert len(unprompted.drawn) == 60
    assert result_of(unprompted)["verdict"] == "fail"
