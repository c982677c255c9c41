"""A LoRA that was trained on a dozen pictures under one caption, and the model that it was trained on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from memex_audit import specimen
from memex_audit.cli import main
from memex_audit.config import read_settings
from memex_audit.controls import negative_control
from memex_audit.specimen.lora import CAPTION, NAMES
from memex_audit.workbench import Workbench

ROOT = Path(__file__).parents[2]
LORA = specimen.LORA / "pytorch_lora_weights.safetensors"
# A third of what an audit takes by itself: enough for most of the dozen.
N_GENERATIONS = 32
IDS = {f"{name.replace(' ', '-')}.png" for name in NAMES}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


def audit(store: Path, *arguments: str):
    """Audit the prompts and the rate; return the run and what it wrote."""
    report = store / "result.json"
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
        "audits/test_duplicated_prompts.py", "audits/test_replica_rates.py",
        "--memex-store", str(store), "--memex-json", str(report), "--memex-device", "cpu",
        "--memex-generations", str(N_GENERATIONS), *arguments,
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    return done, json.loads(report.read_text())


def bench_of(store: Path, **options: str) -> Workbench:
    return Workbench(read_settings({"device": "cpu", "store": str(store), **options}), ROOT)


def test_a_lora_that_memorized_fails_and_its_pictures_are_named(store):
    done, found = audit(store, "--memex-lora", "specimen:lora", "--memex-report", str(store / "report.md"))
    assert done.returncode == 1, done.stdout + done.stderr
    (finding,) = found["findings"]
    given_back = {image["example_id"] for image in finding["images"]}
    assert given_back <= IDS
    assert len(given_back) >= 8
    rate = found["rate"]
    assert (rate["unit"], rate["captions"], rate["groups"]) == ("training image", 1, 12)
    assert rate["extracted_groups"] == len(given_back)
    assert found["verdict"] == "fail"
    assert (found["provenance"]["lora"], found["provenance"]["lora_weight"]) == ("specimen:lora", 1.0)
    for name in given_back:
        assert name in done.stdout
    reason = "the training set has 1 distinct caption, fewer than 50"
    page = (store / "report.md").read_text()
    for text in (" ".join(done.stdout.split()), page, rate["unit_reason"]):
        assert reason in text
    assert "- **LoRA**: `specimen:lora` with weight 1" in page


def test_the_model_that_it_was_trained_on_passes_with_the_same_training_set(store):
    done, found = audit(
        store, "--memex-training-set", str(specimen.LORA_TRAINING_SET), "--memex-embedder", "specimen"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert found["verdict"] == "pass"
    assert (found["rate"]["unit"], found["rate"]["upper"]) == ("training image", 0)
    # In the store of the LoRA: its pictures were not taken for the base model's.
    assert found["findings"][0]["nearest"] > 0.15


def test_a_weight_of_next_to_nothing_is_the_model_alone_and_drawn_anew(store):
    options = {"training_set": str(specimen.LORA_TRAINING_SET), "embedder": "specimen", "generations": "8"}
    bench = bench_of(store, lora=f"{LORA}:0.001", **options)
    (finding,) = bench.audit(bench.prompts).findings()
    assert finding.images_extracted == 0
    assert finding.nearest > 0.15


def test_the_negative_control_of_a_lora_is_its_model_under_the_same_caption(store):
    control = negative_control(bench_of(store, lora="specimen:lora", generations=str(N_GENERATIONS)))
    assert (control.unit, control.prompts, control.detected) == ("training images", 12, 0)


def test_a_fine_tune_is_calibrated_on_the_model_that_it_was_trained_on(store):
    arguments = ["--lora", "specimen:lora", "--steps", "2", "--store", str(store), "--device", "cpu"]
    done = CliRunner().invoke(main, ["calibrate", *arguments, "--reference", "specimen:deduplicated"])
    assert done.exit_code == 0, done.output
    assert "of 59 negatives flagged" in done.output
    bench = bench_of(store, lora="specimen:lora", steps="2")
    assert bench.calibration.calibrated
    assert bench.calibration.reference == "specimen:deduplicated"
    assert f"match delta {bench.calibration.match_delta}" in done.output


def test_the_shipped_pictures_are_a_training_set_of_one_caption_that_the_twins_never_saw(store):
    bench = bench_of(store, lora="specimen:lora")
    assert {example.id for example in bench.training_set.examples()} == IDS
    assert {example.caption for example in bench.training_set.examples()} == {CAPTION}
    twins = bench_of(store, max_prompts="10000")
    assert CAPTION not in {prompt.text for prompt in twins.prompts.prompts}
    assert not set(NAMES) & {prompt.text for prompt in twins.prompts.prompts}
    assert LORA.stat().st_size < 1_000_000
