"""Which thresholds an audit is decided by."""

import json
from dataclasses import asdict, replace

import pytest

from memex_audit.config import Settings
from memex_audit.errors import CalibrationError, ConfigurationError
from memex_audit.records import Calibration
from memex_audit.thresholds import choose_calibration, choose_protocol

CALIBRATION = Calibration(
    source="calibrated", edge_delta=0.12, match_delta=0.11, clique_size=8, protocol="default", negatives=60,
    flagged=3, upper=0.1243, model_fingerprint="f" * 64, settings_digest="d" * 16, looks=(4, 8, 16, 32),
    clean_at=(1, 1, 3, 7),
)  # fmt: skip


def write(path, **changes):
    path.write_text(json.dumps(asdict(replace(CALIBRATION, **changes))))
    return path


def choose(given=None, places=(), **settings):
    return choose_calibration(
        Settings(calibration=str(given) if given else None, **settings),
        given=given,
        places=places,
        fingerprint="f" * 64,
        settings_key="d" * 16,
    )


def test_a_calibration_of_this_model_and_protocol_is_taken_from_its_place(tmp_path):
    assert choose(places=[tmp_path / "absent.json", write(tmp_path / "a.json")]) == CALIBRATION


def test_of_two_that_fit_the_first_place_wins(tmp_path):
    places = [write(tmp_path / "own.json", edge_delta=0.05), write(tmp_path / "shipped.json")]
    assert choose(places=places).edge_delta == 0.05


MISFITS = [
    ({"model_fingerprint": "0" * 64}, {}, "for another model; run"),
    ({"settings_digest": "0" * 16}, {}, "for other sampler settings; run"),
    (
        {"protocol": "carlini-2023", "looks": (500,)},
        {},
        "for the protocol carlini-2023, 500 generations; run",
    ),
    ({"looks": (8,), "clean_at": (4,)}, {}, "for the protocol default, 8 generations; run"),
    ({"clean_at": (0, 1, 3, 7)}, {}, "for another blind spot or clique size; run"),
    ({}, {"blind_spot": 0.5}, "for another blind spot or clique size; run"),
    ({}, {"generations": 16}, "for the protocol default, 4 then 8 then 16 then 32 generations; run"),
]


@pytest.mark.parametrize(("changes", "settings", "got"), MISFITS)
def test_a_given_calibration_that_does_not_fit_is_refused_with_what_it_is_for(
    tmp_path, changes, settings, got
):
    path = write(tmp_path / "calibration.json", **changes)
    with pytest.raises(
        CalibrationError, match=rf"must be made for the model, .* got {path} {got} `memex cal"
    ):
        choose(given=path, **settings)


@pytest.mark.parametrize(("changes", "settings", "got"), MISFITS)
def test_one_in_its_place_that_does_not_fit_is_passed_over(tmp_path, changes, settings, got):
    found = choose(places=[write(tmp_path / "calibration.json", **changes)], **settings)
    assert found.source == "default"
    assert (found.edge_delta, found.match_delta) == (0.10, 0.10)


def test_a_damaged_one_in_its_place_is_named_and_not_passed_over(tmp_path):
    path = tmp_path / "calibration.json"
    path.write_text("{")
    with pytest.raises(CalibrationError, match=rf"got {path}: "):
        choose(places=[path])


def test_one_made_with_a_number_of_generations_fits_an_audit_with_that_number(tmp_path):
    assert choose(given=write(tmp_path / "c.json", looks=(8,), clean_at=(3,)), generations=8).calibrated


def test_options_are_laid_over_it_and_it_is_no_calibration_any_more(tmp_path):
    found = choose(given=write(tmp_path / "c.json"), edge_delta=0.07)
    assert (found.source, found.edge_delta, found.match_delta) == ("given", 0.07, 0.11)


def test_a_clique_larger_than_the_generations_is_refused():
    with pytest.raises(
        ConfigurationError, match="must not exceed the generations a prompt, got 4 of 3; give"
    ):
        choose_protocol(Settings(generations=3, clique_size=4), CALIBRATION)


def decided_by(**settings):
    protocol = choose_protocol(Settings(**settings), CALIBRATION)
    return protocol.looks, protocol.flag_at, protocol.clean_at


def test_the_default_is_sequential_and_a_smaller_blind_spot_takes_more_looks():
    assert decided_by() == ((4, 8, 16, 32), (4, 5, 6, 8), (1, 1, 3, 7))
    assert decided_by(blind_spot=0.5)[2] == (0, 1, 3, 7)
    assert decided_by(blind_spot=0.3)[0] == (4, 8, 16, 32, 64)


def test_a_number_of_generations_is_one_look_and_the_study_keeps_its_clique():
    assert decided_by(generations=16) == ((16,), (6,), (5,))
    assert decided_by(preset="carlini-2023") == ((500,), (10,), (9,))
    assert decided_by(preset="carlini-2023", generations=50) == ((50,), (10,), (9,))


def test_a_clique_size_is_the_least_that_flags_at_any_look():
    assert decided_by(clique_size=3) == ((4, 8, 16, 32), (4, 5, 6, 3), (1, 1, 2, 2))
    assert decided_by(clique_size=12) == ((4, 8, 16, 32), (5, 9, 12, 12), (1, 1, 3, 11))
    assert decided_by(generations=16, clique_size=3) == ((16,), (3,), (2,))


def test_a_calibration_of_the_protocol_fits_under_a_clique_size_given_on_top(tmp_path):
    found = choose(given=write(tmp_path / "c.json"), clique_size=5)
    assert (found.source, found.clique_size) == ("given", 5)


def test_so_few_generations_that_none_can_flag_are_refused():
    with pytest.raises(ConfigurationError, match="so few generations cannot flag a prompt, got 2: "):
        choose_protocol(Settings(generations=2), CALIBRATION)
