"""A model folder as small as can be, and a bench on it."""

import json

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from memex_audit.config import Settings, read_settings
from memex_audit.workbench import Workbench


@pytest.fixture
def model(tmp_path):
    """A folder that looks like a pipeline: 6 + 4 numbers of weights, 64 x 64 pictures."""
    folder = tmp_path / "model"
    configs = {"unet": {"sample_size": 8}, "vae": {"block_out_channels": [1, 1, 1, 1]}}
    index = {"_class_name": "StableDiffusionPipeline", **{part: ["diffusers", "Part"] for part in configs}}
    for part, config in configs.items():
        (folder / part).mkdir(parents=True)
        (folder / part / "config.json").write_text(json.dumps(config))
    (folder / "model_index.json").write_text(json.dumps(index))
    save_file({"a": np.zeros((2, 3), np.float32)}, folder / "unet" / "diffusion_pytorch_model.safetensors")
    save_file({"b": np.zeros(4, np.float16)}, folder / "vae" / "diffusion_pytorch_model.safetensors")
    (folder / "memex.toml").write_text("[generation]\nsteps = 10\nguidance = 3.0\n")
    return folder


@pytest.fixture
def images(tmp_path):
    """Make an image folder with a picture for each caption."""

    def make(*captions):
        folder = tmp_path / "images"
        folder.mkdir()
        for number, caption in enumerate(captions):
            pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
            (folder / f"{number}.txt").write_text(caption)
        return folder

    return make


@pytest.fixture
def bench(tmp_path):
    """Lay out an audit of these options in a project of its own."""

    def make(**options: str) -> Workbench:
        settings: Settings = read_settings({"store": str(tmp_path / "store"), **options})
        return Workbench(settings, tmp_path)

    return make
