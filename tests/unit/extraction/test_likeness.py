"""What plain l2 does not see: mirrored and cropped copies, templates, and what a copy detector says."""

import numpy as np
import pytest
from PIL import Image

from memex_audit.extraction.altered import ALTERATIONS, cropped, mirrored
from memex_audit.extraction.distances import l2
from memex_audit.extraction.likeness import altered_neighbor, altered_own, detected_copy, template_of
from memex_audit.extraction.matching import Matcher
from memex_audit.extraction.template import l2_outside, template_mask
from memex_audit.training_set.numpy_index import NumpyIndex

SIDE = 32
DELTA = 0.1


def soft(seed):
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def noisy(image, seed):
    noise = np.random.default_rng(seed).integers(-4, 5, image.shape)
    return np.clip(image.astype(int) + noise, 0, 255).astype(np.uint8)


class Pictures(dict):
    def load(self, ids):
        return [self[name] for name in ids]


class Small:
    """Embeds a picture as itself at 4 x 4."""

    name, dimension = "small", 48

    def __init__(self, duplicate_similarity=0.97):
        self.duplicate_similarity = duplicate_similarity

    def embed(self, images):
        small = [np.asarray(Image.fromarray(image).resize((4, 4), Image.Resampling.BOX)) for image in images]
        vectors = np.stack(small).reshape(len(small), -1).astype(np.float32) - 127.3
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def matcher_of(pictures, *, detector=None, similarity=0.97):
    embedder = Small(similarity)
    index = NumpyIndex(embedder.embed(list(pictures.values())), tuple(pictures))
    return Matcher(Pictures(pictures), lambda: index, lambda: embedder, detector and (lambda: detector))


TRAINING = {f"image {seed}": soft(seed) for seed in range(40)}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_altered_copy_of_the_caption_s_own_image_is_found_by_two_seeds_and_named(name):
    altered = ALTERATIONS[name](TRAINING["image 3"])
    images = np.stack([noisy(altered, 1), soft(100), noisy(altered, 2)])
    found = altered_own(images, ["image 3", "image 4"], matcher_of(TRAINING), match_delta=DELTA, at_least=2)
    assert found.alteration == name
    assert (found.example_id, found.rows) == ("image 3", (0, 2))
    assert found.distance < 0.03
    one_seed = altered_own(images[:2], ["image 3"], matcher_of(TRAINING), match_delta=DELTA, at_least=2)
    assert one_seed is None


def test_plain_l2_does_not_see_a_mirrored_picture():
    assert l2(TRAINING["image 3"], mirrored(TRAINING["image 3"])) > 2 * DELTA


def test_a_clique_finds_the_mirrored_image_of_another_caption_by_embedding():
    clique = np.stack([noisy(mirrored(TRAINING["image 7"]), seed) for seed in range(4)])
    found = altered_neighbor(clique, matcher_of(TRAINING), match_delta=DELTA, at_least=4)
    assert (found.example_id, found.alteration, found.rows) == ("image 7", "mirrored", (0, 1, 2, 3))
    others = np.stack([noisy(soft(100), seed) for seed in range(4)])
    assert altered_neighbor(others, matcher_of(TRAINING), match_delta=DELTA, at_least=4) is None


def test_a_crop_keeps_the_size_and_the_centre():
    image = np.zeros((20, 30, 3), np.uint8)
    image[6:14, 9:21] = 200
    shown = cropped(image, 0.9)
    assert shown.shape == image.shape
    assert shown[10, 15].tolist() == [200, 200, 200]
    bright = np.argwhere(shown[..., 0] > 100)
    # 8 x 12 pixels in the middle of 18 x 27 become 8.9 x 13.3 of 20 x 30.
    assert (bright.min(axis=0) + bright.max(axis=0)).tolist() == pytest.approx([19, 29], abs=1)
    assert len(bright) > 8 * 12


def template_images(n):
    """One photograph with a hole in its middle, that each image fills in its own way."""
    ground = soft(1)
    images = {}
    for number in range(n):
        image = ground.copy()
        image[8:24, 8:24] = soft(200 + number)[8:24, 8:24]
        images[f"carpet {number}"] = image
    return images


def test_a_template_of_the_training_set_is_found_outside_of_its_varying_region():
    images = template_images(6)
    matcher = matcher_of({**TRAINING, **images}, similarity=0.5)
    clique = soft(1).copy()
    clique[8:24, 8:24] = soft(999)[8:24, 8:24]
    pictures = np.stack([noisy(clique, seed) for seed in range(4)])
    assert min(l2(picture, image) for picture in pictures for image in images.values()) > DELTA
    found = template_of(pictures, matcher, match_delta=DELTA, at_least=4)
    assert found.example_id in images
    assert found.rows == (0, 1, 2, 3)
    assert found.distance < 0.03


def test_a_picture_that_only_shares_the_region_is_no_template():
    images = template_images(6)
    matcher = matcher_of({**TRAINING, **images}, similarity=0.5)
    picture = soft(50).copy()
    picture[8:24, 8:24] = images["carpet 0"][8:24, 8:24]
    pictures = np.stack([noisy(picture, seed) for seed in range(4)])
    assert template_of(pictures, matcher, match_delta=DELTA, at_least=4) is None


@pytest.mark.parametrize(
    "images",
    [
        pytest.param([soft(1)] * 2, id="two images"),
        pytest.param([soft(1)] * 5, id="copies of each other"),
        pytest.param([soft(seed) for seed in range(5)], id="different images"),
        pytest.param(
            [
                np.pad(soft(seed)[8:24, 8:24], ((8, 8), (8, 8), (0, 0)), constant_values=255)
                for seed in range(5)
            ],
            id="pictures on the same blank ground",
        ),
    ],
)
def test_what_makes_no_template(images):
    assert template_mask(np.stack(images)) is None


def test_the_distance_outside_is_the_root_mean_square_over_the_mask():
    random = np.random.default_rng(5)
    images = random.integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    image, mask = random.integers(0, 256, (8, 8, 3), dtype=np.uint8), random.random((8, 8)) < 0.6
    by_hand = [
        np.sqrt(np.mean([((one[y, x].astype(float) - image[y, x]) / 255) ** 2 for y, x in np.argwhere(mask)]))
        for one in images
    ]
    assert l2_outside(images, image, mask) == pytest.approx(by_hand)


def test_a_copy_detector_names_the_training_image_from_its_threshold_on():
    clique = np.stack([noisy(TRAINING["image 9"], seed) for seed in range(4)])
    assert detected_copy(clique, matcher_of(TRAINING, detector=Small(0.75))) == "image 9"
    assert detected_copy(np.stack([soft(500)]), matcher_of(TRAINING, detector=Small(0.99))) is None
    assert detected_copy(clique, matcher_of(TRAINING)) is None


def test_cosines_report_how_alike_two_pictures_are():
    matcher = matcher_of(TRAINING, detector=Small())
    assert matcher.cosine(TRAINING["image 1"], TRAINING["image 1"]) == pytest.approx(1)
    assert matcher.copy_cosine(TRAINING["image 1"], TRAINING["image 2"]) < 0.9
    assert matcher_of(TRAINING).copy_cosine(TRAINING["image 1"], TRAINING["image 2"]) is None
