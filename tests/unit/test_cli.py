"""The command line: mine, calibrate and card."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from PIL import Image

from memex_audit.cli import main
from memex_audit.records import AuditResult, Provenance, Rate, RunVerdict
from memex_audit.reporting.json_report import write_json
from memex_audit.training_set import read_prompt_file


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, list(words))


def picture(name: str, colours: tuple[int, int]) -> None:
    gradient = Image.linear_gradient("L").resize((32, 32))
    other = gradient.rotate(90)
    Image.merge(
        "RGB", (gradient.point(lambda v: v * colours[0] // 255), other, gradient.point(lambda v: colours[1]))
    ).save(name)


def test_mine_writes_prompts_with_their_counts(run, tmp_path):
    for name, caption, colours in (
        ("a", "a sunset", (255, 0)),
        ("b", "a sunset again", (255, 0)),
        ("c", "a lawn", (0, 200)),
    ):
        picture(f"{name}.png", colours)
        (tmp_path / f"{name}.txt").write_text(caption)
    (tmp_path / "alone.png").write_bytes(b"")
    done = run(
        "mine", str(tmp_path), "--embedder", "specimen", "--out", "out/prompts.parquet", "--store", "store"
    )
    assert done.exit_code == 0, done.output
    assert "3 images, 66.7% with a near-copy; 3 prompts in 2 groups" in done.output
    assert "set aside: alone.png" in done.output
    prompts = read_prompt_file(tmp_path / "out/prompts.parquet").prompts
    assert {p.text: p.duplication_count for p in prompts} == {"a sunset": 2, "a sunset again": 2, "a lawn": 1}


def test_errors_are_one_line(run):
    done = run("mine", "nowhere", "--out", "prompts.parquet")
    assert done.exit_code == 1
    assert done.output.startswith("Error: ")
    assert "nowhere" in done.output
    assert "Traceback" not in done.output


def test_calibrating_on_too_few_negatives_is_refused(run, tmp_path):
    (tmp_path / "negatives.txt").write_text("".join(f"caption {i}\n" for i in range(58)))
    done = run(
        "calibrate", "--model", "specimen:deduplicated", "--negatives", "negatives.txt", "--store", "store"
    )
    assert done.exit_code == 1
    assert "needs at least 59 negative prompts, got 58" in done.output


def test_a_calibration_is_found_by_the_next_audit_of_this_model(run, tmp_path):
    (tmp_path / "negatives.txt").write_text("".join(f"caption {i}\n" for i in range(60)))
    done = run(
        "calibrate", "--model", "specimen:deduplicated", "--negatives", "negatives.txt", "--store", "store",
        "--generations", "2", "--clique-size", "2", "--steps", "2", "--out", "calibration.json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    made = json.loads((tmp_path / "calibration.json").read_text())
    assert made["source"] == "calibrated"
    assert made["negatives"] == 60
    assert made["flagged"] <= 3
    assert 0 < made["edge_delta"] <= 0.2
    assert 0 < made["match_delta"] <= 0.15


@pytest.fixture
def result_file(tmp_path):
    """A result as --memex-json writes it."""
    rate = Rate(
        extracted=0, flagged=0, undecided=0, near_misses=0, prompts=320, groups=320, extracted_groups=0,
        undecided_groups=0, generations=1280, replicas=0, lower=0.0, upper=0.0093178, confidence=0.95,
        limit=0.01, frame="captions", frame_size=320, method="binomial", blind_spot=0.75,
    )  # fmt: skip
    provenance = Provenance(
        memex_version="0.1.0", started="2026-01-01T00:00:00Z", model="./my-model", model_fingerprint="ab",
        settings={}, settings_digest="cd", training_set=None, training_set_fingerprint=None, embedder=None,
        device="cpu", seed=0, versions={}, store="store",
    )  # fmt: skip
    result = AuditResult(
        verdict=RunVerdict.PASS, rate=rate, protocol=None, calibration=None, findings=(), set_aside=(),
        controls=(), provenance=provenance,
    )  # fmt: skip
    write_json(tmp_path / "result.json", result)
    return result


def test_a_card_is_printed_from_a_result(run, result_file):
    done = run("card", "result.json")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("---\nmodel-index:\n- name: my-model\n")
    assert "**PASS**" in done.stdout
    assert "- name: another\n" in run("card", "result.json", "--name", "another").stdout


def test_a_file_for_the_hub_is_written_where_it_is_asked_for(run, result_file, tmp_path):
    (tmp_path / "repository").mkdir()
    words = ("card", "result.json", "--eval-results", "repository")
    refused = run(*words)
    assert refused.exit_code == 2
    assert "--eval-results needs --benchmark ORG/DATASET and --task-id ID" in refused.output
    assert list((tmp_path / "repository").iterdir()) == []
    done = run(*words, "--benchmark", "org/memorization", "--task-id", "extraction")
    assert done.exit_code == 0, done.output
    assert done.stderr == "written: repository/.eval_results/memex-audit.yaml\n"
    text = (tmp_path / "repository/.eval_results/memex-audit.yaml").read_text()
    assert "id: org/memorization" in text
    assert "value: 0.009318" in text


def test_a_card_of_a_result_without_a_rate_is_refused_in_one_line(run, result_file, tmp_path):
    write_json(tmp_path / "bare.json", replace(result_file, rate=None))
    done = run("card", "bare.json")
    assert done.exit_code == 1
    assert done.output.startswith("Error: a result must hold a rate to be put on a model card")


def test_a_card_of_what_is_no_result_is_refused_in_one_line(run, tmp_path):
    (tmp_path / "other.json").write_text("{}")
    done = run("card", "other.json")
    assert done.exit_code == 1
    assert done.output.startswith("Error: other.json must be a result of schema 1, got schema=None")
