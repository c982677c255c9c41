"""Two models that say the same of themselves are not audited as one."""

import json
import os

import numpy as np
import pytest

from memex_audit.errors import GeneratorError, StoreError
from memex_audit.extraction.block_sums import block_sums
from memex_audit.generation.filling import fill
from memex_audit.generation.identity import MODEL_FILE, Identity
from memex_audit.generation.same_model import SameModel
from memex_audit.generation.store import UnitStore
from memex_audit.records import Generation

FINGERPRINT = "f" * 64
LONG_AGO, LATER = 0.0, 4e9  # seconds since 1970


def summarize(pixels):
    return block_sums(pixels[None]).sums[0]


class Noise:
    """Draws noise of a request's seed, in its own way, with so many levels of rounding."""

    settings, seeded, shareable, evaluations_per_image = {}, True, True, 1

    def __init__(self, way=0, rounding=0, size=32):
        self.fingerprint, self.way, self.rounding, self.size = FINGERPRINT, way, rounding, size
        self.drawn = []

    def generate(self, requests):
        for request in requests:
            self.drawn.append((request.prompt, request.seed))
            random = np.random.default_rng([request.seed, self.way])
            pixels = random.integers(20, 230, (self.size, self.size, 3), dtype=np.uint8)
            yield Generation(request=request, pixels=pixels + np.uint8(self.rounding))


def open_store(tmp_path, began=LATER, **options):
    store = UnitStore(
        tmp_path, digest="d" * 16, root_seed=0, summarize=summarize, **{"fingerprint": FINGERPRINT, **options}
    )
    store.same_model = SameModel(store, began)
    return store


def draw_in_new_process(tmp_path, generator, prompts, n=2, **options):
    store = open_store(tmp_path, **options)
    fill(store, lambda: generator, prompts, n, batch_size=4)
    return store


@pytest.fixture
def begun(tmp_path):
    """Return a store in which another process drew two prompts."""
    draw_in_new_process(tmp_path, Noise(), ["a cat", "a dog"])
    return tmp_path


def test_the_first_process_draws_nothing_twice(tmp_path):
    noise = Noise()
    draw_in_new_process(tmp_path, noise, ["a cat", "a dog"])
    assert len(noise.drawn) == len(set(noise.drawn)) == 4


def test_a_process_that_adds_draws_one_picture_again_and_goes_on_where_it_is_the_same(begun):
    noise = Noise()
    store = draw_in_new_process(begun, noise, ["a cat", "a bird", "a horse"])
    fill(store, lambda: noise, ["a fish"], 2, batch_size=4)
    again = store.request("a cat", 0)
    assert noise.drawn.count((again.prompt, again.seed)) == 1
    assert len(noise.drawn) == 1 + 3 * 2


def test_rounding_of_another_batch_or_machine_is_the_same_picture(begun):
    store = draw_in_new_process(begun, Noise(rounding=3), ["a cat", "a bird"])
    assert store.missing("a bird", 2) == []


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (Noise(way=1), r"\(\d+ levels of 255 apart, 4 may be rounding\)"),
        (Noise(size=40), r"\(another size, 4 may"),
    ],
    ids=["other pictures", "another size"],
)
def test_another_model_of_the_same_fingerprint_adds_nothing_and_both_reasons_are_named(begun, other, said):
    with pytest.raises(GeneratorError, match=said) as raised:
        draw_in_new_process(begun, other, ["a cat", "a bird"])
    text = str(raised.value)
    assert "another model that says the same fingerprint, 'ffff" in text
    assert "give each a digest of its weights" in text
    assert "say seeded = False" in text
    assert len(other.drawn) == 1
    store = open_store(begun)
    assert store.missing("a bird", 2) == [0, 1]
    assert store.missing("a cat", 2) == []


def test_what_is_only_read_is_not_drawn_again(begun):
    noise = Noise(way=1)
    draw_in_new_process(begun, noise, ["a cat", "a dog"])
    assert noise.drawn == []


def test_pictures_of_a_process_that_runs_beside_this_one_are_not_compared(begun):
    noise = Noise()
    draw_in_new_process(begun, noise, ["a cat", "a bird"], began=LONG_AGO)
    assert len(noise.drawn) == 2


def test_a_prompt_of_which_the_process_only_hears_will_do(begun):
    store = open_store(begun)
    store.same_model.know(prompt for prompt in ["a fish", "a dog"])
    with pytest.raises(GeneratorError, match="must draw again what is in the store"):
        fill(store, lambda: Noise(way=1), ["a bird"], 2, batch_size=4)


def test_two_fingerprints_that_begin_alike_are_told_apart(begun):
    alike = "f" * 63 + "0"
    with pytest.raises(
        StoreError, match=r"with the fingerprint 'f+0', got those of 'f+', which is named alike"
    ):
        draw_in_new_process(begun, Noise(), ["a bird"], fingerprint=alike)


def test_a_folder_of_other_settings_that_was_renamed_is_refused(tmp_path):
    of = {settings: Identity(fingerprint=FINGERPRINT, settings_sha256=settings * 64) for settings in "ab"}
    draw_in_new_process(tmp_path, Noise(), ["a cat"], identity=of["a"])
    draw_in_new_process(tmp_path, Noise(), ["a bird"], identity=of["a"])
    with pytest.raises(StoreError, match=r"drawn with the settings that it is named by, got others"):
        draw_in_new_process(tmp_path, Noise(), ["a dog"], identity=of["b"])


@pytest.mark.parametrize("content", ["", "[]", '{"fingerprint": "f"}'])
def test_a_record_that_was_altered_is_written_anew(begun, content):
    (record,) = begun.rglob(MODEL_FILE)
    record.write_text(content)
    os.utime(record, (0, 0))
    draw_in_new_process(begun, Noise(), ["a cat", "a bird"])
    assert json.loads(record.read_text())["fingerprint"] == FINGERPRINT
