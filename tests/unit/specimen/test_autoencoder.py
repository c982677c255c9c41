"""The specimen's autoencoder, both ways: image-to-image audits start from what it encodes.

The pictures are those of the LoRA: neither twin nor autoencoder saw them.
"""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from memex_audit import specimen
from memex_audit.extraction.calibration_file import read_calibration
from memex_audit.extraction.distances import l2_between
from memex_audit.training_set import open_training_set


@pytest.fixture(scope="module", params=specimen.TWINS)
def twin(request):
    return specimen.DATA / request.param


@pytest.fixture(scope="module")
def vae(twin):
    torch.set_num_threads(1)
    return AutoencoderKL.from_pretrained(twin / "vae", use_safetensors=True).eval()


@pytest.fixture(scope="module")
def held_out():
    examples = open_training_set(specimen.LORA_TRAINING_SET).examples()
    return np.stack([example.pixels for example in examples])


def encode(vae, images):
    with torch.inference_mode():
        return vae.encode(torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1).latent_dist


@pytest.fixture(scope="module")
def decoded(vae, held_out):
    with torch.inference_mode():
        values = vae.decode(encode(vae, held_out).mode()).sample
    pixels = ((values + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).numpy()


def test_a_held_out_picture_comes_back_within_nine_percent_root_mean_square(decoded, held_out):
    errors = l2_between(decoded, held_out).diagonal()
    # Measured: 0.056 in the mean, 0.081 at most; 0.051 on training rows, 0.27 on noise.
    assert errors.mean() < 0.06
    assert errors.max() < 0.09


def test_what_comes_back_is_a_match_of_its_picture_and_of_no_other(twin, decoded, held_out):
    distances = l2_between(decoded, held_out)
    match_delta = read_calibration(twin / "memex-calibration.json").match_delta
    assert (distances.diagonal() <= match_delta).all()
    assert (distances.argmin(axis=1) == np.arange(len(held_out))).all()


def test_a_code_is_one_value_and_no_distribution(vae, held_out):
    assert encode(vae, held_out).std.max() < 1e-6
