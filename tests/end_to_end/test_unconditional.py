"""Two pipelines without prompts, one of which learned four pictures by heart: the suite as it ships."""

import json
import shutil
from pathlib import Path

# In-process runs forget what they import: loaded here, heavy libraries are loaded once for both.
import diffusers  # noqa: F401
import faiss  # noqa: F401
import pyarrow.parquet  # noqa: F401
import pytest
import rich.progress  # noqa: F401
import scipy.stats  # noqa: F401
from unconditional_twins import FOLDER, PLANTED, write_pictures, write_training_set

AUDITS = Path(__file__).parents[2] / "audits"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """The training set of the memorizing twin, which holds the other's, and pictures held out of both."""
    folder = tmp_path_factory.mktemp("pictures")
    write_training_set(folder / "train", "memorizing", copies=8)
    write_pictures(folder / "held-out", range(10_000, 10_100))
    return folder


def audit(pytester, pictures, twin):
    shutil.copytree(AUDITS, pytester.path / "audits", ignore=shutil.ignore_patterns("__pycache__"))
    run = pytester.runpytest_inprocess(
        "audits", "-W", "default", "--memex-model", FOLDER / twin, "--memex-training-set", pictures / "train",
        "--memex-untargeted-held-out", pictures / "held-out", "--memex-untargeted", "300",
        "--memex-embedder", "specimen", "--memex-store", pictures / f"store-{twin}",
        "--memex-json", "result.json",
    )  # fmt: skip
    return run, json.loads((pytester.path / "result.json").read_text())


def test_the_pictures_that_a_model_learned_by_heart_come_back_unasked(pytester, pictures):
    run, result = audit(pytester, pictures, "memorizing")
    run.assert_outcomes(passed=3, failed=1, skipped=2)
    found = result["untargeted"]
    assert result["verdict"] == "fail"
    given_back = [image for image in found["images"] if image["generations"] >= 2]
    # Names of planted pictures and their copies begin with their numbers, 0 to 3.
    assert {int(image["example_id"][:5]) for image in given_back} == set(range(PLANTED))
    assert found["extracted"] == PLANTED
    assert found["threshold"]["flagged"] == 0


def test_a_model_that_saw_each_picture_once_passes(pytester, pictures):
    run, result = audit(pytester, pictures, "clean")
    run.assert_outcomes(passed=4, skipped=2)
    assert (result["verdict"], result["rate"]) == ("pass", None)
    assert result["untargeted"]["replicating"] == 0
    assert {control["kind"] for control in result["controls"]} == {"positive", "negative"}
