"""The shipped embedder on rows it was not trained on, and the parts of the recipe that made it."""

import tomllib

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from memex_audit.specimen.embedder import nt_xent, shared_threshold
from memex_audit.specimen.embedder_evaluation import (
    SHIPPED,
    TRAINING_SET,
    Similarities,
    choose_similarity,
    judge,
    load_embedder,
    measure_groups,
    measure_rows,
    read_examples,
    split,
)
from memex_audit.specimen.embedder_images import (
    CROPS_PER_SCENE,
    KINDS,
    LEAST_CHANGE,
    look_alike,
    scene_crops,
    shifted,
    to_array,
)

FOLDER = SHIPPED / "embedder"


@pytest.fixture(scope="module")
def embed():
    torch.set_num_threads(1)
    return load_embedder(FOLDER)


@pytest.fixture(scope="module")
def examples():
    return read_examples(SHIPPED / TRAINING_SET)


@pytest.fixture(scope="module")
def tau():
    return tomllib.loads((FOLDER / "memex.toml").read_text())["embedder"]["duplicate_similarity"]


@pytest.fixture(scope="module")
def figures(embed, examples, tau):
    return judge(measure_rows(embed, examples, "held-out", draws=1), tau)


@pytest.mark.parametrize("kind", KINDS)
def test_at_least_98_percent_of_the_near_duplicates_of_held_out_rows_are_found(figures, kind):
    assert figures.images > 400
    assert figures.recall[kind] >= 0.98


def test_at_most_one_in_a_thousand_pairs_of_different_rows_of_a_caption_is_called_a_duplicate(figures):
    assert figures.pairs > 6000
    assert figures.false_share <= 1e-3


def test_vectors_have_unit_norm_whatever_the_size_of_the_image(embed):
    noise = np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)
    vectors = embed([Image.fromarray(noise), Image.fromarray(noise[:5, :3])])
    assert vectors.shape == (2, 64)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1], abs=1e-5)


def test_an_enlargement_is_a_near_duplicate_of_its_original(embed, examples, tau):
    rows = [i for i in examples.originals if examples.splits[i] == "held-out"][:50]
    images = [examples.images[i] for i in rows]
    enlarged = [image.resize((512, 512), Image.Resampling.BICUBIC) for image in images]
    assert ((embed(images) * embed(enlarged)).sum(axis=1) >= tau).mean() >= 0.98


def test_most_crops_of_one_synthetic_scene_are_told_apart(embed, examples, tau):
    pictures = np.stack([np.asarray(examples.images[i]) for i in examples.originals[:200]])
    crops = [Image.fromarray(crop) for crop in scene_crops(np.random.default_rng(1), pictures, 60)]
    measured = measure_groups(embed, crops, [i // CROPS_PER_SCENE for i in range(len(crops))])
    assert judge(measured, tau).false_share <= 0.02


def test_the_text_tower_reads_captions_through_the_tokenizer_of_the_folder():
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{FOLDER}")
    tokens = open_clip.get_tokenizer(f"local-dir:{FOLDER}")(["abacus", "soccer ball"])
    with torch.inference_mode():
        assert model.eval().encode_text(tokens, normalize=True).shape == (2, 64)


def test_the_folder_stays_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 2.5e6


def test_a_copy_is_in_the_split_of_its_original(examples):
    assert {split(family) for family in examples.families} == {"training", "validation", "held-out"}
    assert all(split(examples.families[i]) == examples.splits[i] for i in range(len(examples.families)))


def test_a_shift_moves_by_a_32nd_of_the_side_and_repeats_the_border():
    pixels = np.zeros((64, 64, 3), dtype=np.uint8)
    pixels[32:, 32:] = 255
    for seed in range(20):
        moved = np.asarray(shifted(Image.fromarray(pixels), np.random.default_rng(seed)))[..., 0]
        assert moved.shape == (64, 64)
        assert {int(moved[-1].argmax()), int(moved[:, -1].argmax())} <= {30, 32, 34}
        assert (moved != pixels[..., 0]).any()


def test_images_are_squashed_not_cropped():
    wide = np.zeros((32, 128, 3), dtype=np.uint8)
    wide[:, 64:] = 255
    assert to_array(Image.fromarray(wide))[:, [0, -1], 0].tolist() == [[0, 255]] * 32


def test_nt_xent_of_two_orthogonal_pairs():
    views = torch.eye(2)
    # Of the three others, one has cosine 1 and two have cosine 0: -log(e / (e + 2)).
    assert nt_xent(views, views, 1.0).item() == pytest.approx(0.5514, abs=1e-4)


def test_the_shared_threshold_charges_low_near_duplicates_and_high_others():
    apart, together = torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    # Orthogonal images: the pairs of 1 cost log(1 + exp(-30 * 0.1)) = 0.0486 each, two an image.
    assert shared_threshold(apart, apart).item() == pytest.approx(0.0972, abs=1e-4)
    # Two images with one vector: also two pairs of log(1 + exp(30 * 0.1)) = 3.0486 an image.
    assert shared_threshold(together, together).item() == pytest.approx(0.0972 + 6.0972, abs=1e-3)


def test_the_similarity_lies_midway_between_the_lowest_near_duplicates_and_the_highest_other_pairs():
    values = np.linspace(0.8, 1, 1001, dtype=np.float32)
    near = {"jpeg": values, "shifted": values - np.float32(0.02)}
    different = np.linspace(-0.3, 0.7, 1001, dtype=np.float32)
    measured = Similarities(n_images=1001, near_duplicates=near, different=different)
    # The 0.5 % quantile of the lower kind is 0.781, the 99.9 % quantile of the others 0.699: 0.74 between.
    assert choose_similarity(measured) == pytest.approx(0.74, abs=0.0101)
    assert judge(measured, 0.9).recall == {"jpeg": 0.5005, "shifted": 0.4006}
    assert judge(measured, 0.69).false_pairs == 11


def test_a_look_alike_differs_by_more_than_any_near_duplicate_should():
    random = np.random.default_rng(3)
    for image in scene_crops(random, np.zeros((4, 32, 32, 3), dtype=np.uint8), 10):
        difference = look_alike(image, random).astype(float) - image
        assert np.sqrt(np.square(difference).mean()) >= LEAST_CHANGE


def test_the_projection_of_the_shipped_image_tower_is_smooth():
    weights = load_file(FOLDER / "open_clip_model.safetensors")["visual.conv1.weight"].float()
    roughness = weights.diff(dim=-1).square().sum() / weights.square().sum()
    assert roughness < 0.5  # of white noise: 2
