"""Screens on the specimen, whose memorized pictures are known: they see them, and are calibrated."""

import json
import shutil

import pytest
from click.testing import CliRunner

from memex_audit import specimen
from memex_audit.cli import main
from memex_audit.config import Settings
from memex_audit.extraction.calibration_file import read_calibration
from memex_audit.rates.roc import area_under_roc
from memex_audit.screening.screens import SCREENS, screen_prompts
from memex_audit.specimen.measure import read_roles
from memex_audit.workbench import Workbench

SHIPPED = specimen.twin_folder("specimen:duplicated") / "memex-calibration.json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("screens")


@pytest.fixture(scope="module")
def bench(folder):
    return Workbench(Settings(model="specimen:duplicated", store=str(folder / "store")), folder)


def take(bench, name, captions):
    found = screen_prompts(
        lambda: bench.generator, name, captions, request=bench.unit_store.request, batch_size=32,
        kept=bench.screen_scores,
    )  # fmt: skip
    return [score.score for score in found]


@pytest.mark.parametrize(
    ("name", "least"), [("guidance-difference", 0.9), ("anisotropy", 0.85), ("one-step-clique", 0.85)]
)
def test_a_screen_tells_memorized_prompts_from_ordinary_ones(bench, name, least):
    roles = read_roles()
    memorized = [caption for caption, (role, copies) in roles.items() if role == "probe" and copies >= 16]
    ordinary = sorted(caption for caption, (role, _) in roles.items() if role == "ordinary")[:30]
    assert area_under_roc(take(bench, name, memorized), take(bench, name, ordinary)) >= least


def test_the_clean_twin_does_not_score_the_same_prompts_high(bench, folder):
    clean = Workbench(Settings(model="specimen:deduplicated", store=str(folder / "store")), folder)
    memorized = [c for c, (role, copies) in read_roles().items() if role == "probe" and copies >= 16]
    for name in SCREENS:
        assert area_under_roc(take(bench, name, memorized), take(clean, name, memorized)) >= 0.9


@pytest.mark.parametrize("name", SCREENS)
def test_a_score_of_a_real_model_does_not_depend_on_the_batch(bench, name):
    captions = ["a lighthouse", "a violin", "an owl"]
    taken = [
        screen_prompts(
            lambda: bench.generator, name, those, request=bench.unit_store.request, batch_size=batch_size
        )
        for those, batch_size in ((captions, 5), (captions[1:2], 32))
    ]
    assert taken[0][1].score == pytest.approx(taken[1][0].score, rel=1e-4)


def test_scores_of_a_second_audit_cost_nothing(bench, folder, monkeypatch):
    captions = ["a lighthouse", "a violin"]
    first = take(bench, "anisotropy", captions)
    again = Workbench(bench.settings, folder)
    monkeypatch.setattr(type(again.generator), "predict_low_noise", None)
    assert take(again, "anisotropy", captions) == first


def test_calibrating_screens_changes_nothing_else(folder, bench, monkeypatch):
    monkeypatch.chdir(folder)
    shutil.copy(SHIPPED, "calibration.json")
    (folder / "negatives.txt").write_text(
        "".join(f"{line}\n" for line in specimen.HELD_OUT_CAPTIONS.read_text().splitlines()[:60])
    )
    command = [
        "calibrate", "--model", "specimen:duplicated", "--negatives", "negatives.txt", "--store", "store",
        "--only-screens",
    ]  # fmt: skip
    done = CliRunner().invoke(main, [*command, "--out", "calibration.json"])
    assert done.exit_code == 0, done.output
    assert "screen anisotropy: above " in done.output
    before, after = read_calibration(SHIPPED), read_calibration(folder / "calibration.json")
    assert (after.edge_delta, after.match_delta, after.negatives) == (
        before.edge_delta, before.match_delta, before.negatives,
    )  # fmt: skip
    assert [(s.name, s.negatives, s.flagged) for s in after.screens] == [(name, 60, 3) for name in SCREENS]
    for wrong, words in (
        ("model_fingerprint", "another model"),
        ("settings_digest", "other sampler settings"),
    ):
        values = json.loads(SHIPPED.read_text()) | {wrong: "0"}
        (folder / "wrong.json").write_text(json.dumps(values))
        refused = CliRunner().invoke(main, [*command, "--out", "wrong.json"])
        assert refused.exit_code == 1
        assert f"got one for {words}; calibrate without --only-screens" in refused.output
