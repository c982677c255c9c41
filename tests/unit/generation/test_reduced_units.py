"""A picture whose pixels were not kept: what a unit says of it."""

from dataclasses import replace

import numpy as np

from memex_audit.extraction.block_sums import block_sums
from memex_audit.generation.store import UnitStore
from memex_audit.records import Generation

PROMPT = "a lighthouse"


def sums_of(pixels):
    return block_sums(pixels[None]).sums[0]


def store_in(root):
    return UnitStore(root, fingerprint="f" * 64, digest="d" * 16, root_seed=0, summarize=sums_of)


def drawn(store, n):
    rng = np.random.default_rng(1)
    return [
        Generation(request=store.request(PROMPT, i), pixels=rng.integers(0, 256, (24, 36, 3), dtype=np.uint8))
        for i in range(n)
    ]


def test_a_picture_comes_back_with_its_block_sums_and_its_size(tmp_path):
    store = store_in(tmp_path)
    pictures = drawn(store, 2)
    store.write(PROMPT, [0, 1], pictures)
    for kept, picture in zip(store.read(PROMPT, 2), pictures, strict=True):
        assert np.array_equal(kept.sums, sums_of(picture.pixels))
        assert kept.size == (24, 36)
        assert np.array_equal(kept.pixels, picture.pixels)
        assert not kept.reduced


def test_a_picture_without_pixels_comes_back_reduced_and_is_not_missing(tmp_path):
    store = store_in(tmp_path)
    one, two = drawn(store, 2)
    reduced = replace(one, pixels=None, sums=sums_of(one.pixels), size=(24, 36))
    store.write(PROMPT, [0, 1], [reduced, two])
    first, second = store.read(PROMPT, 2)
    assert (first.pixels, first.reason, first.size, first.reduced) == (None, None, (24, 36), True)
    assert np.array_equal(first.sums, sums_of(one.pixels))
    assert not second.reduced
    assert store.missing(PROMPT, 2) == []


def test_a_picture_set_aside_is_not_taken_for_a_reduced_one(tmp_path):
    store = store_in(tmp_path)
    blank = Generation(request=store.request(PROMPT, 0), pixels=None, reason="blank")
    store.write(PROMPT, [0], [blank])
    (kept,) = store.read(PROMPT, 1)
    assert (kept.reason, kept.sums, kept.reduced) == ("blank", None, False)


def test_block_sums_are_those_of_the_pixels_whatever_comes_with_them(tmp_path):
    store = store_in(tmp_path)
    (picture,) = drawn(store, 1)
    store.write(PROMPT, [0], [replace(picture, sums=np.zeros((144, 3), np.uint16), size=(24, 36))])
    (kept,) = store.read(PROMPT, 1)
    assert np.array_equal(kept.sums, sums_of(picture.pixels))
