"""A calibration is read as it was written, or refused with the value that is at fault."""

import json
import math
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from memex_audit import specimen
from memex_audit.errors import CalibrationError
from memex_audit.extraction.calibration_file import read_calibration, write_calibration
from memex_audit.records import Calibration

CALIBRATION = Calibration(
    source="calibrated", edge_delta=0.12, match_delta=0.1, clique_size=4, protocol="default", negatives=60,
    flagged=3, upper=0.1243, model_fingerprint="f" * 64, settings_digest="d" * 16, looks=(4, 16),
    embedder="specimen@0123",
)  # fmt: skip


def write(tmp_path, **changes):
    path = tmp_path / "calibration.json"
    values = {name: value for name, value in (asdict(CALIBRATION) | changes).items() if value is not ...}
    path.write_text(json.dumps(values))
    return path


def test_a_calibration_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "new" / "calibration.json"
    write_calibration(path, CALIBRATION)
    assert read_calibration(path) == CALIBRATION
    assert read_calibration(path).calibrated
    assert json.loads(path.read_text())["edge_delta"] == 0.12
    assert [file.name for file in path.parent.iterdir()] == ["calibration.json"]


@pytest.mark.parametrize("twin", ["duplicated", "deduplicated"])
def test_the_specimens_calibrations_say_how_they_were_made(twin):
    shipped = read_calibration(specimen.twin_folder(specimen.PREFIX + twin) / "memex-calibration.json")
    assert (shipped.protocol, shipped.looks) == ("default", (4, 8, 16, 32))
    assert shipped.embedder


def test_what_only_some_calibrations_have_may_be_left_out(tmp_path):
    found = read_calibration(write(tmp_path, reference=..., embedder=...))
    assert (found.reference, found.embedder) == (None, None)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"edge_delta": -0.1}, "edge_delta = -0.1, which is not in (0, 1]"),
        ({"edge_delta": 0}, "edge_delta = 0, which is not in (0, 1]"),
        ({"edge_delta": math.nan}, "edge_delta = nan, which is not in (0, 1]"),
        ({"edge_delta": "0.1"}, "edge_delta = '0.1', which is not in (0, 1]"),
        ({"match_delta": math.inf}, "match_delta = inf, which is not in (0, 1]"),
        ({"match_delta": True}, "match_delta = True, which is not in (0, 1]"),
        ({"match_delta": None}, "match_delta = None, which is not in (0, 1]"),
        ({"clique_size": 1}, "clique_size = 1, which is not a whole number from 2 up"),
        ({"clique_size": 4.0}, "clique_size = 4.0, which is not a whole number from 2 up"),
        ({"source": "given"}, "source = 'given', which is not \"calibrated\""),
        ({"protocol": 3}, "protocol = 3, which is not a text"),
        ({"looks": []}, "looks = [], which is not a list of growing numbers from 2 up"),
        ({"looks": [16, 4]}, "looks = [16, 4], which is not a list of growing"),
        ({"looks": [4, "16"]}, "looks = [4, '16'], which is not a list of growing"),
        ({"looks": 16}, "looks = 16, which is not a list of growing"),
        ({"looks": ...}, "no looks"),
        ({"negatives": 0}, "negatives = 0, which is not a whole number from 1 up"),
        ({"flagged": -1}, "flagged = -1, which is not a whole number from 0 up"),
        ({"upper": 1.2}, "upper = 1.2, which is not in [0, 1]"),
        ({"model_fingerprint": ""}, "model_fingerprint = '', which is not a text"),
        ({"settings_digest": ...}, "no settings_digest"),
        ({"reference": 3}, "reference = 3, which is not a text or null"),
        ({"edge_deltas": 0.1}, "an unknown 'edge_deltas', did you mean edge_delta?"),
        ({"colour": 0.1}, "an unknown 'colour'"),
    ],
)
def test_a_value_that_cannot_be_is_named(tmp_path, changes, found):
    path = write(tmp_path, **changes)
    message = f"got {path}: {found}; run `memex calibrate` again."
    with pytest.raises(CalibrationError, match=re.escape(message) if found[-1] != "g" else re.escape(found)):
        read_calibration(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "Expecting property name"),
        (b"", "Expecting value"),
        (b"[]", "JSON of a list"),
        (b"\xff", "decode"),
    ],
)
def test_a_file_that_is_no_calibration_is_named(tmp_path, content, reason):
    path = tmp_path / "calibration.json"
    path.write_bytes(content)
    with pytest.raises(
        CalibrationError, match=rf"written by `memex calibrate`, got .*calibration\.json: .*{reason}"
    ):
        read_calibration(path)


def test_a_calibration_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CalibrationError, match=r"got .*absent\.json: .*No such file"):
        read_calibration(tmp_path / "absent.json")


def test_a_full_disk_leaves_the_calibration_before_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "calibration.json"
    write_calibration(path, CALIBRATION)
    before = path.read_bytes()

    def fill_up(file, text, **options):
        file.write_bytes(b"{")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fill_up)
    with pytest.raises(CalibrationError, match=r"calibration\.json must be writable, got No space left"):
        write_calibration(path, CALIBRATION)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("calibration.json", before)]


def test_folders_that_are_missing_are_made(tmp_path):
    path = tmp_path / "new" / "newer" / "calibration.json"
    write_calibration(path, CALIBRATION)
    write_calibration(path, CALIBRATION)
    assert read_calibration(path) == CALIBRATION


@pytest.mark.parametrize(
    "changes",
    [
        {"edge_delta": 1}, {"match_delta": 1.0}, {"clique_size": 2}, {"negatives": 1}, {"flagged": 0},
        {"upper": 0}, {"upper": 1}, {"looks": [2]}, {"looks": [2, 3]}, {"reference": "specimen"},
    ],
)  # fmt: skip
def test_the_ends_of_every_range_belong_to_it(tmp_path, changes):
    found = asdict(read_calibration(write(tmp_path, **changes)))
    assert {name: list(found[name]) if name == "looks" else found[name] for name in changes} == changes


def test_looks_that_do_not_grow_are_named(tmp_path):
    with pytest.raises(CalibrationError, match=r"looks = \[4, 4\], which is not a list of growing numbers"):
        read_calibration(write(tmp_path, looks=[4, 4]))


def test_of_several_near_names_the_nearest_is_offered(tmp_path):
    with pytest.raises(CalibrationError, match=r"an unknown 'match_edge_delta', did you mean \w+\?;"):
        read_calibration(write(tmp_path, match_edge_delta=0.1))


def test_a_calibration_is_utf8_whatever_the_locale(tmp_path, monkeypatch):
    encodings = []
    read, written = Path.read_text, Path.write_text
    monkeypatch.setattr(
        Path, "read_text", lambda f, encoding: encodings.append(encoding) or read(f, encoding)
    )
    monkeypatch.setattr(
        Path, "write_text", lambda f, text, encoding: encodings.append(encoding) or written(f, text, encoding)
    )
    write_calibration(tmp_path / "calibration.json", CALIBRATION)
    read_calibration(tmp_path / "calibration.json")
    assert [encoding.lower() for encoding in encodings] == ["utf-8", "utf-8"]


def test_a_calibration_that_cannot_be_written_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    message = r"json must be writable, got .*; name another file with --out: what was drawn for it is kept\.$"
    with pytest.raises(CalibrationError, match=message):
        write_calibration(tmp_path / "file" / "calibration.json", CALIBRATION)


def test_a_partial_file_that_cannot_be_removed_does_not_hide_why_the_calibration_was_not_written(
    tmp_path, monkeypatch
):
    def fail(number, words):
        def method(*arguments, **options):
            raise OSError(number, words)

        return method

    monkeypatch.setattr(Path, "write_text", fail(28, "No space left on device"))
    monkeypatch.setattr(Path, "unlink", fail(30, "Read-only file system"))
    with pytest.raises(CalibrationError, match="must be writable, got No space left on device"):
        write_calibration(tmp_path / "calibration.json", CALIBRATION)
