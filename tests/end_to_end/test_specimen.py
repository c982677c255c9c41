"""The instrument on really trained models: it finds what is planted, and nothing where nothing is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Probes that stand 64 and 32 times come first: six of each.
N_PROMPTS = 12


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


def audit(store: Path, model: str, *arguments: str) -> tuple[subprocess.CompletedProcess[str], dict]:
    report = store / f"{model.replace(':', '-')}.json"
    command = [
        sys.executable, "-m", "pytest", "-q",
        "audits/test_duplicated_prompts.py", "audits/test_replica_rates.py",
        "-p", "no:cacheprovider", "--memex-model", model, "--memex-store", str(store),
        "--memex-json", str(report),
        "--memex-max-prompts", str(N_PROMPTS), *arguments,
    ]  # fmt: skip
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    return run, json.loads(report.read_text())


def test_planted_replicas_are_extracted_from_the_duplicated_twin(store):
    run, found = audit(store, "specimen:duplicated")
    assert run.returncode == 1, run.stdout + run.stderr
    assert found["verdict"] == "fail"
    assert found["calibration"]["source"] == "calibrated"
    assert {f["verdict"] for f in found["findings"]} == {"extracted"}
    assert all(f["match"]["kind"] == "matching" and f["match"]["k"] >= 30 for f in found["findings"])
    # The text of a failure is wrapped, the id of its case is not.
    failed = [line for line in run.stdout.splitlines() if line.startswith("FAILED ")]
    for finding in found["findings"]:
        assert any(finding["prompt_id"] in line for line in failed)


def test_the_same_prompts_give_nothing_back_from_the_deduplicated_twin(store):
    run, found = audit(store, "specimen:deduplicated")
    assert run.returncode == 0, run.stdout + run.stderr
    assert found["verdict"] == "pass"
    assert {f["verdict"] for f in found["findings"]} == {"not_flagged"}
    # The frame is the twelve most duplicated groups, and all of them were audited.
    rate = found["rate"]
    assert (rate["groups"], rate["frame_size"], rate["upper"]) == (N_PROMPTS, N_PROMPTS, 0)
    assert rate["frame"].startswith(f"the {N_PROMPTS} most duplicated of ")
    assert rate["upper_of_alike"] == pytest.approx(1 - 0.045 ** (1 / N_PROMPTS))


def test_the_same_prompts_as_a_file_show_what_prompts_like_them_do(store, tmp_path):
    _, mined = audit(store, "specimen:deduplicated")
    listed = tmp_path / "prompts.csv"
    texts = [finding["prompt"] for finding in mined["findings"]]
    listed.write_text("prompt\n" + "".join(f'"{text}"\n' for text in texts))
    run, found = audit(store, "specimen:deduplicated", "--memex-prompts", str(listed), "--memex-limit", "0.3")
    assert run.returncode == 0, run.stdout + run.stderr
    assert found["verdict"] == "pass"
    assert found["rate"]["strata"] == []
    assert found["rate"]["upper"] == pytest.approx(1 - 0.045 ** (1 / N_PROMPTS))
