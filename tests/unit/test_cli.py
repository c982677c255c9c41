"""The command line: mine and calibrate."""

import json

import pytest
from click.testing import CliRunner
from PIL import Image

from memex_audit.cli import main
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
