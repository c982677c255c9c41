"""Looking generations up in a training set, against brute force over every pixel."""

import numpy as np
import pytest
from PIL import Image

from memex_audit.extraction import fitted_images, matching
from memex_audit.extraction import matching as extraction_matching
from memex_audit.extraction.fitted_images import LOADED
from memex_audit.extraction.fitting import fit_to
from memex_audit.extraction.matching import K_NEIGHBORS, NEIGHBORS, Matcher

SIDE = 16


def picture(seed, height=SIDE, width=SIDE):
    return np.random.default_rng(seed).integers(40, 216, (height, width, 3), dtype=np.uint8)


def noisy(image, deviation, seed=0):
    noise = np.random.default_rng(1000 + seed).normal(0, deviation, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def l2_by_hand(a, b):
    return np.sqrt(np.mean((a.astype(float) / 255 - b.astype(float) / 255) ** 2))


class Images:
    """A training set, its embedder (pixels, unit norm) and its exact index in one."""

    dimension, duplicate_similarity, name, location = SIDE * SIDE * 3, 0.9, "pixels", "memory"

    def __init__(self, images):
        self.images = images
        self.example_ids = tuple(images)
        self.loaded, self.asked = [], []

    def load(self, example_ids):
        self.loaded += example_ids
        return [self.images[example_id] for example_id in example_ids]

    def embed(self, images):
        vectors = np.stack([fit_to(i, SIDE, SIDE).reshape(-1).astype(np.float32) - 127.5 for i in images])
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def search(self, queries, n):
        self.asked.append(n)
        similarities = queries @ self.embed(self.images.values()).T
        rows = np.argsort(-similarities, axis=1)[:, :n]
        return np.take_along_axis(similarities, rows, axis=1), rows


def matcher(images):
    everything = Images(images)
    return Matcher(everything, lambda: everything, lambda: everything), everything


def never():
    raise AssertionError("nothing is to be embedded or searched")


@pytest.fixture
def many():
    return {f"image-{i}": picture(i) for i in range(60)}


def test_distances_are_the_root_mean_square_of_every_pair(many):
    generations = np.stack([picture(100 + i) for i in range(5)])
    found = Matcher(Images(many), never, never).distances_to(generations, ["image-3", "image-8"])
    assert found.example_ids == ("image-3", "image-8")
    expected = [[l2_by_hand(generation, many[f"image-{i}"]) for i in (3, 8)] for generation in generations]
    np.testing.assert_allclose(found.distances, expected, rtol=1e-12)


def test_a_caption_without_training_images_has_no_column(many):
    found = Matcher(Images(many), never, never).distances_to(np.stack([picture(0)] * 3), [])
    assert found.distances.shape == (3, 0)
    assert found.example_ids == ()


def test_planted_replicas_are_nearest_to_their_own_images(many):
    planted = [7, 7, 31]
    generations = np.stack([noisy(many[f"image-{i}"], 6, seed) for seed, i in enumerate(planted)])
    found = matcher(many)[0].distances_to_neighbors(generations)
    assert len(found.example_ids) == NEIGHBORS
    nearest = [found.example_ids[column] for column in found.distances.argmin(axis=1)]
    brute = [min(many, key=lambda name: l2_by_hand(generation, many[name])) for generation in generations]
    assert nearest == brute == ["image-7", "image-7", "image-31"]
    # Noise of deviation 6 of 255 levels lies at 6 / 255.
    assert found.distances.min(axis=1) == pytest.approx([6 / 255] * 3, rel=0.1)


def test_neighbors_of_all_generations_compete_by_their_best_similarity(many):
    generations = np.stack([noisy(many[f"image-{i}"], 6) for i in (7, 31, 50)])
    found = matcher(many)[0].distances_to_neighbors(generations, 3)
    assert set(found.example_ids) == {"image-7", "image-31", "image-50"}


def test_a_small_training_set_is_searched_whole():
    images = {name: picture(i) for i, name in enumerate("ab")}
    find, everything = matcher(images)
    assert set(find.distances_to_neighbors(picture(9)[None]).example_ids) == {"a", "b"}
    assert everything.asked == [2]


@pytest.mark.parametrize("copies", [1, 2, 5])
def test_k_counts_the_copies_and_the_image_itself(many, copies):
    near = {f"copy-{i}": noisy(many["image-4"], 5, i) for i in range(copies - 1)}
    images = {**many, **near}
    find, everything = matcher(images)
    k = find.count_within("image-4", 0.05, SIDE, SIDE)
    assert k == sum(l2_by_hand(image, many["image-4"]) <= 0.05 for image in images.values()) == copies
    assert everything.asked == [min(K_NEIGHBORS, len(images))]


def test_a_training_image_is_brought_to_the_size_of_the_generations():
    images = {"wide": picture(0, 20, 40)}
    find = Matcher(Images(images), never, never)
    fitted = find.training_image("wide", SIDE, SIDE)
    np.testing.assert_array_equal(fitted, fit_to(images["wide"], SIDE, SIDE))
    assert find.distances_to(fitted[None], ["wide"]).distances.tolist() == [[0.0]]


def test_an_image_of_the_right_size_is_not_touched():
    image = picture(0)
    assert fit_to(image, SIDE, SIDE) is image


@pytest.mark.parametrize("shape", [(10, 40), (40, 10), (16, 17), (7, 7), (100, 33)])
def test_fitting_covers_the_wanted_size_without_distortion(shape):
    fitted = fit_to(picture(1, *shape), 16, 24)
    assert fitted.shape == (16, 24, 3)
    assert fitted.dtype == np.uint8


def test_the_overhang_is_cut_off_equally_on_both_sides():
    stripes = np.zeros((16, 48, 3), np.uint8)
    stripes[:, 16:32] = 200  # the middle third is what remains
    assert (fit_to(stripes, 16, 16) == 200).all()
    tall = stripes.transpose(1, 0, 2).copy()
    assert (fit_to(tall, 16, 16) == 200).all()


def test_resizing_is_bicubic():
    image = picture(2, 32, 32)
    expected = np.asarray(Image.fromarray(image).resize((16, 16), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(fit_to(image, 16, 16), expected)


def test_a_training_image_counts_by_the_generation_that_it_is_most_like(many):
    # Each of the two is like one image and unlike the other's: the last similarity alone would drop one.
    found = matcher(many)[0].distances_to_neighbors(
        np.stack([noisy(many["image-7"], 3), noisy(many["image-30"], 3)]), 2
    )
    assert set(found.example_ids) == {"image-7", "image-30"}


def test_a_training_image_at_exactly_delta_is_counted():
    images = {"a": picture(0), "b": picture(0).copy()}
    images["b"][0, 0, 0] += 60
    delta = float(matcher(images)[0].distances_to(images["a"][None], ["b"]).distances[0, 0])
    assert matcher(images)[0].count_within("a", delta, SIDE, SIDE) == 2
    assert matcher(images)[0].count_within("a", np.nextafter(delta, 0), SIDE, SIDE) == 1


@pytest.mark.parametrize(("overhang", "cut"), [(1, 0), (2, 1), (3, 1), (7, 3)])
def test_of_an_odd_overhang_one_more_is_cut_at_the_end(overhang, cut):
    wide = picture(3, 16, 16 + overhang)
    np.testing.assert_array_equal(fit_to(wide, 16, 16), wide[:, cut : cut + 16])
    tall = picture(4, 16 + overhang, 16)
    np.testing.assert_array_equal(fit_to(tall, 16, 16), tall[cut : cut + 16])


def test_of_thousands_of_training_images_only_some_are_in_memory_at_a_time(many, monkeypatch):
    largest = []
    matching, everything = matcher(many)
    compare = extraction_matching.l2_between
    monkeypatch.setattr(fitted_images, "FITTED_BYTES", 7 * SIDE * SIDE * 3)
    monkeypatch.setattr(
        extraction_matching, "l2_between", lambda a, b: largest.append(len(b)) or compare(a, b)
    )
    load = everything.load
    monkeypatch.setattr(everything, "load", lambda ids: largest.append(len(ids)) or load(ids))
    images = np.stack([noisy(many["image-7"], 3), noisy(many["image-30"], 3)])
    found = matching.distances_to(images, list(many))
    assert max(largest) <= LOADED
    assert found.example_ids == tuple(many)
    expected = [[l2_by_hand(image, training_image) for training_image in many.values()] for image in images]
    np.testing.assert_allclose(found.distances, expected)


def test_every_generation_proposes_others_than_the_captions_own(many):
    images = np.stack([noisy(image, 3) for image in many.values()])
    matching, everything = matcher(many)
    own = everything.example_ids[:20]
    found = matching.distances_to_others(images, own)
    # More of them than the neighbours of all generations together would be.
    assert set(found.example_ids) == set(everything.example_ids[20:])
    assert len(found.example_ids) > NEIGHBORS


def test_where_every_image_is_the_captions_own_nothing_is_embedded(many):
    everything = Images(many)
    found = Matcher(everything, lambda: everything, never).distances_to_others(
        picture(1)[None], everything.example_ids
    )
    assert found.distances.shape == (1, 0)


@pytest.mark.parametrize(("held", "loaded"), [(1, 3), (4, 16), (7, 2), (1000, 16)])
def test_training_images_that_do_not_fit_in_memory_come_in_blocks(many, monkeypatch, held, loaded):
    monkeypatch.setattr(fitted_images, "FITTED_BYTES", held * SIDE * 8 * 3 + 1)
    monkeypatch.setattr(fitted_images, "LOADED", loaded)
    generations = np.stack([picture(100 + i, SIDE, 8) for i in range(2)])
    stacked = []
    between = matching.l2_between

    def counted(images, block):
        stacked.append(len(block))
        return between(images, block)

    monkeypatch.setattr(matching, "l2_between", counted)
    names = [f"image-{i}" for i in range(10)]
    found = Matcher(Images(many), never, never).distances_to(generations, names)
    expected = [[l2_by_hand(g, fit_to(many[name], SIDE, 8)) for name in names] for g in generations]
    np.testing.assert_allclose(found.distances, expected, rtol=1e-12)
    assert sum(stacked) == 10
    assert max(stacked) == min(held, 10)


def test_one_training_image_larger_than_the_room_is_taken_alone(many, monkeypatch):
    monkeypatch.setattr(fitted_images, "FITTED_BYTES", 1)
    stacked = []
    between = matching.l2_between
    monkeypatch.setattr(matching, "l2_between", lambda a, b: stacked.append(len(b)) or between(a, b))
    Matcher(Images(many), never, never).distances_to(picture(0)[None], ["image-1", "image-2"])
    assert stacked == [1, 1]


def test_the_largest_cosine_of_a_training_image_counts_whichever_generation_comes_last(many):
    generations = np.stack([many["image-7"], 255 - many["image-7"], noisy(many["image-30"], 60)])
    everything = Images({name: many[name] for name in ("image-7", "image-30", "image-8")})
    found = Matcher(everything, lambda: everything, lambda: everything).distances_to_neighbors(generations, 3)
    assert found.example_ids[0] == "image-7"


def test_k_is_counted_among_a_bounded_number_of_pictures_that_are_read_one_by_one():
    images = {str(i): picture(i) for i in range(K_NEIGHBORS + 40)}

    class OneByOne(Images):
        def load_each(self, example_ids):
            self.loaded += example_ids
            assert len(example_ids) <= LOADED
            yield from (self.images[example_id] for example_id in example_ids)

    everything = OneByOne(images)
    found = Matcher(everything, lambda: everything, lambda: everything).count_within("3", 0.01, SIDE, SIDE)
    assert found == 1
    assert len(everything.loaded) == K_NEIGHBORS + 1


def test_of_very_many_images_of_a_caption_the_nearest_by_embedding_are_read(monkeypatch):
    monkeypatch.setattr(extraction_matching, "MOST_OWN", 3)
    images = {str(i): picture(i) for i in range(40)}
    finder, everything = matcher(images)
    own = [str(i) for i in range(20, 40)]
    drawn = np.stack([noisy(images["33"], 2), noisy(images["5"], 2)])
    near = finder.distances_to_own(drawn, own)
    assert len(near.example_ids) == len(everything.loaded) == 3
    assert set(near.example_ids) <= set(own)
    assert near.example_ids[int(near.distances[0].argmin())] == "33"
    few = finder.distances_to_own(drawn, own[:3])
    assert few.example_ids == tuple(own[:3])
