"""The screens' thresholds in a calibration file: read as written, left out by older ones, or refused."""

import json
from dataclasses import asdict

import pytest

from memex_audit import specimen
from memex_audit.errors import CalibrationError
from memex_audit.extraction.calibration_file import read_calibration, write_calibration
from memex_audit.records import Calibration, ScreenThreshold
from memex_audit.screening.screens import SCREENS

THRESHOLD = ScreenThreshold(
    name="anisotropy", threshold=1.25, flagged=6, negatives=657, lower=0.0034, upper=0.0198, seeds=1, steps=1
)
CALIBRATION = Calibration(
    source="calibrated", edge_delta=0.12, match_delta=0.1, clique_size=4, protocol="default", negatives=60,
    flagged=3, upper=0.1243, model_fingerprint="f" * 64, settings_digest="d" * 16, looks=(4, 16),
    embedder="specimen@0123", screens=(THRESHOLD,),
)  # fmt: skip


def test_thresholds_are_read_as_they_were_written(tmp_path):
    write_calibration(tmp_path / "calibration.json", CALIBRATION)
    assert read_calibration(tmp_path / "calibration.json") == CALIBRATION


def test_a_calibration_from_before_there_were_screens_is_read(tmp_path):
    values = asdict(CALIBRATION)
    del values["screens"]
    (tmp_path / "calibration.json").write_text(json.dumps(values))
    assert read_calibration(tmp_path / "calibration.json").screens == ()


@pytest.mark.parametrize(
    "screens",
    [
        {}, "anisotropy", [1], [{"name": "anisotropy"}], [asdict(THRESHOLD) | {"colour": 1}],
        [asdict(THRESHOLD) | {"name": ""}], [asdict(THRESHOLD) | {"threshold": float("nan")}],
        [asdict(THRESHOLD) | {"flagged": -1}], [asdict(THRESHOLD) | {"negatives": 0}],
        [asdict(THRESHOLD) | {"upper": 1.1}], [asdict(THRESHOLD) | {"seeds": 0}],
    ],
)  # fmt: skip
def test_thresholds_that_cannot_be_are_refused(tmp_path, screens):
    (tmp_path / "calibration.json").write_text(json.dumps(asdict(CALIBRATION) | {"screens": screens}))
    with pytest.raises(
        CalibrationError, match=r"screens = .*, which is not a list of the screens' thresholds"
    ):
        read_calibration(tmp_path / "calibration.json")


@pytest.mark.parametrize("twin", specimen.TWINS)
def test_the_specimens_calibrations_have_a_threshold_for_every_screen(twin):
    shipped = read_calibration(specimen.twin_folder(specimen.PREFIX + twin) / "memex-calibration.json")
    assert {screen.name for screen in shipped.screens} == set(SCREENS)
    for screen in shipped.screens:
        assert (screen.seeds, screen.steps) == (SCREENS[screen.name].seeds, SCREENS[screen.name].steps)
        assert screen.flagged <= 0.01 * screen.negatives
