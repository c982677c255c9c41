"""What is no picture is set aside before it can look like a replica."""

from types import SimpleNamespace

import numpy as np
import pytest

from memex_audit.errors import ConfigurationError, GeneratorError
from memex_audit.generation.guards import (
    check_answers,
    check_draws_again,
    check_generator,
    flat_reason,
    to_bytes,
)
from memex_audit.records import Generation, GenerationRequest


def noise(shape=(8, 8, 3)):
    return np.random.default_rng(0).random(shape, dtype=np.float32)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_value_that_is_not_finite_sets_a_picture_aside(value):
    pixels = noise()
    pixels[3, 4, 1] = value
    assert to_bytes(pixels) == (None, "not finite")


def test_a_black_picture_is_blank():
    assert to_bytes(np.zeros((8, 8, 3), np.float32)) == (None, "blank")


def test_a_picture_of_one_colour_is_blank():
    assert to_bytes(np.full((8, 8, 3), [0.2, 0.5, 0.9], np.float32)) == (None, "blank")


def test_one_level_of_dither_on_a_flat_colour_is_blank():
    image = np.random.default_rng(1).integers(100, 102, (16, 16, 3), dtype=np.uint8)
    assert flat_reason(image) == "blank"


def test_a_picture_that_varies_in_one_channel_only_is_kept():
    image = np.zeros((8, 8, 3), np.uint8)
    image[:4, :, 2] = 40
    assert flat_reason(image) is None


@pytest.mark.parametrize(
    ("shape", "reason"),
    [((8, 8), "shape (8, 8)"), ((8, 8, 4), "shape (8, 8, 4)"), ((1, 8, 8, 3), "shape (1, 8, 8, 3)")],
)
def test_a_wrong_shape_is_named(shape, reason):
    assert to_bytes(noise(shape)) == (None, reason)


def test_levels_are_rounded_to_the_nearest_and_clipped():
    pixels = noise()
    pixels[0, 0] = (0.5, 1.0, 0.0)
    pixels[0, 1] = (-0.2, 1.7, 0.0039)
    image, reason = to_bytes(pixels)
    assert reason is None
    assert image.dtype == np.uint8
    assert image[0, 0].tolist() == [128, 255, 0]  # 127.5 rounds to the even 128
    assert image[0, 1].tolist() == [0, 255, 1]


def generator(**changes):
    offered = {
        "fingerprint": "my model", "settings": {"steps": 4}, "seeded": True, "shareable": True,
        "evaluations_per_image": 4, "generate": iter,
    }  # fmt: skip
    return SimpleNamespace(
        **{name: value for name, value in (offered | changes).items() if value is not None}
    )


def test_an_object_that_offers_what_a_generator_must_is_one():
    whole = generator()
    assert check_generator(whole) is whole


def test_what_a_generator_lacks_is_named():
    with pytest.raises(
        GeneratorError, match=r"got SimpleNamespace without settings, generate; see memex_audit"
    ):
        check_generator(generator(settings=None, generate=None))


@pytest.mark.parametrize("fingerprint", ["", 7])
def test_a_fingerprint_that_identifies_nothing_is_refused(fingerprint):
    with pytest.raises(
        GeneratorError, match=rf"must be a text that .*, got {fingerprint!r} of SimpleNamespace"
    ):
        check_generator(generator(fingerprint=fingerprint))


@pytest.mark.parametrize(
    ("settings", "got"), [({"x": object()}, "not JSON serializable"), (3, "not iterable")]
)
def test_settings_that_cannot_be_digested_are_refused(settings, got):
    with pytest.raises(
        GeneratorError, match=rf"settings must be a mapping .*SimpleNamespace: .*{got}; write"
    ):
        check_generator(generator(settings=settings))


def test_a_generator_that_is_not_seeded_keeps_its_pixels():
    with pytest.raises(
        ConfigurationError, match=r"got --memex-keep evidence with SimpleNamespace, which says "
    ):
        check_draws_again(SimpleNamespace(seeded=False), "evidence")


def test_pictures_that_are_paid_for_are_kept():
    paid = SimpleNamespace(seeded=True, keeps_every_batch=True)
    with pytest.raises(ConfigurationError, match=r"paid for again; keep all \(--memex-keep all\)"):
        check_draws_again(paid, "none")


def test_a_seeded_generator_may_drop_what_it_can_draw_again():
    check_draws_again(SimpleNamespace(seeded=True), "none")


def test_a_generator_cannot_answer_with_block_sums_alone():
    request = GenerationRequest(prompt="p", seed=1)
    answer = Generation(request=request, pixels=None, sums=np.zeros((16, 3), np.uint16), size=(4, 4))
    (taken,) = check_answers("Own", [request], [answer], whole=True)
    assert (taken.reason, taken.sums, taken.reduced) == ("no pixels", None, False)
