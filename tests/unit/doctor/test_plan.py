"""What is ahead: thresholds, pictures, time."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from memex_audit import specimen
from memex_audit.config import Settings
from memex_audit.doctor import plan
from memex_audit.doctor.checks import State
from memex_audit.doctor.model import Drawing
from memex_audit.doctor.plan import bytes_to_keep, check_calibration, check_plan, draw_one, pictures_to_draw
from memex_audit.errors import CalibrationError
from memex_audit.generation.fingerprints import model_fingerprint, model_key
from memex_audit.records import AuditPrompt, Frame, Generation, PromptSet

TWIN = specimen.DATA / "deduplicated"
CALIBRATION = TWIN / "memex-calibration.json"
DRAWING = Drawing(steps=10, guidance=3.0, size=(32, 48), evaluations=20)


@pytest.fixture
def calibrated(model):
    """Write the twin's calibration for the small model, changed as asked for."""

    def write(path, **changes):
        values = (
            json.loads(CALIBRATION.read_text()) | {"model_fingerprint": model_fingerprint(model)} | changes
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
        return path

    return write


def test_a_calibration_beside_the_model_is_found(bench):
    check = check_calibration(bench(), TWIN)
    assert check.state is State.OK
    assert check.said == "beside the model: 0 of 657 negatives flagged"


def test_one_in_the_store_is_found_by_the_model(bench, model, calibrated, tmp_path):
    key = model_key(model_fingerprint(model))
    path = calibrated(tmp_path / "store" / "calibrations" / f"{key}-0123.json")
    check = check_calibration(bench(model=str(model)), model)
    assert check.state is State.OK
    assert path.name in check.said


def test_without_one_false_alarms_are_not_bounded(bench, model):
    check = check_calibration(bench(model=str(model)), model)
    assert check.state is State.WARNING
    assert check.said.startswith("none: the shipped thresholds are used")
    assert "memex calibrate" in check.advice


@pytest.mark.parametrize(
    "changes", [{"model_fingerprint": "0" * 64}, {"protocol": "carlini-2023"}, {"looks": [16]}]
)
def test_one_of_another_model_or_protocol_is_not_taken(bench, model, calibrated, changes):
    path = calibrated(model / "memex-calibration.json", **changes)
    check = check_calibration(bench(model=str(model)), model)
    assert check.state is State.WARNING
    assert "1 of another model or protocol" in check.said
    check = check_calibration(bench(model=str(model), calibration=str(path)), model)
    assert check.state is State.MISSING


def test_one_that_was_named_is_read_where_it_is(bench, model, calibrated, tmp_path):
    path = calibrated(tmp_path / "mine.json")
    assert check_calibration(bench(model=str(model), calibration=str(path)), model).state is State.OK
    with pytest.raises(CalibrationError, match="must be a JSON file written by"):
        check_calibration(bench(model=str(model), calibration=str(tmp_path / "nowhere.json")), model)


def test_a_lora_makes_another_model(bench, tmp_path):
    lora = tmp_path / "lora.safetensors"
    shutil.copy(TWIN / "vae" / "diffusion_pytorch_model.safetensors", lora)
    check = check_calibration(bench(lora=str(lora)), TWIN)
    assert check.state is State.WARNING


def test_pictures_are_those_of_the_first_and_the_last_look():
    assert pictures_to_draw(Settings(), None, 3) == (12, 96)
    assert pictures_to_draw(Settings(preset="carlini-2023"), None, 3) == (1500, 1500)
    assert pictures_to_draw(Settings(generations=7), None, 3) == (21, 21)


def test_a_test_for_rare_replicas_draws_more_than_its_first_look_of_every_prompt():
    # looks at 4, 8, 16, 32 and 64; no two agreeing is clean from 16 on
    assert pictures_to_draw(Settings(blind_spot=0.3), None, 3) == (48, 192)


def test_a_caption_of_many_images_is_drawn_as_often_as_they_need():
    captions = tuple(
        AuditPrompt(prompt_id=text, text=text, group_id=text, duplication_count=1, example_ids=(text,) * n)
        for text, n in (("one", 1), ("dozen", 12))
    )
    few = PromptSet(prompts=captions, frame=Frame(description="captions", size=2), n_captions=2)
    # 16 for one image, 8 an image for twelve.
    assert pictures_to_draw(Settings(), few, 2) == (16 + 96, 16 + 96)
    assert pictures_to_draw(Settings(generations=7), few, 2) == (14, 14)


def test_bytes_are_those_of_the_pixels():
    assert bytes_to_keep((12, 48), (10, 20)) == (12 * 600, 48 * 600)
    assert bytes_to_keep((12, 48), None) is None


def test_without_pixels_the_bytes_are_those_of_block_sums():
    assert bytes_to_keep((12, 48), (512, 512), "none") == (12 * 6144, 48 * 6144)
    assert bytes_to_keep((12, 48), (512, 512), "evidence") == (12 * 6144, 48 * 3 * 512**2)


def test_the_plan_says_what_is_drawn():
    check = check_plan((12, 48), DRAWING, None, "cpu")
    assert check.state is State.OK
    assert check.said.startswith("12 to 48 pictures of 48 x 32, 20 network evaluations each, less what")
    assert "memex doctor --try" in check.said
    unknown = Drawing(steps=None, guidance=None, size=None, evaluations=None)
    assert check_plan((12, 12), unknown, None, "cpu").said.startswith("12 pictures, less what")


def test_the_plan_says_how_long_it_takes_where_a_picture_was_timed():
    check = check_plan((1280, 5120), DRAWING, 0.5, "cpu")
    assert check.state is State.OK
    assert check.said.endswith("at 0.5 s each on cpu, 11 min to 43 min")
    assert check_plan((10, 10), DRAWING, 1.0, "cpu").said.endswith("on cpu, 10 s")


def test_more_than_half_a_day_is_a_warning():
    check = check_plan((1280, 5120), DRAWING, 60.0, "cpu")
    assert check.state is State.WARNING
    assert check.said.endswith("21.3 h to 85.3 h")
    assert "--memex-device" in check.advice


class Drawer:
    """Draws a picture, or none, and counts them."""

    def __init__(self, pixels):
        self.pixels = pixels
        self.drawn = 0

    def generate(self, requests):
        for request in requests:
            self.drawn += 1
            reason = None if self.pixels is not None else "not a number"
            yield Generation(request=request, pixels=self.pixels, reason=reason)


def laid_out(generator):
    return SimpleNamespace(generator=generator, batch_size=8, calibration=SimpleNamespace(calibrated=False))


def test_a_batch_is_timed_after_the_first_picture():
    drawer = Drawer(np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8))
    seconds, check = draw_one(laid_out(drawer), "a cat")
    assert check.state is State.OK
    assert "48 x 32" in check.said
    assert "8 at once" in check.said
    assert "uncalibrated" in check.said
    assert drawer.drawn == 9
    assert seconds > 0


def test_where_a_picture_takes_long_it_is_the_only_one(monkeypatch):
    drawer = Drawer(np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8))
    monkeypatch.setattr(plan, "QUICK_S", -1.0)
    seconds, check = draw_one(laid_out(drawer), "a cat")
    assert drawer.drawn == 1
    assert "at once" not in check.said
    assert seconds >= 0


def test_a_model_that_gives_no_picture_is_missing_something():
    seconds, check = draw_one(laid_out(Drawer(None)), "a cat")
    assert seconds is None
    assert check.state is State.MISSING
    assert check.said == "the model gave no picture: not a number"
    assert "--memex-dtype" in check.advice
