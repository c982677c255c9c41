"""SSCD from a TorchScript file: a module of the same interface stands for it."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from memex_audit.errors import EmbedderError
from memex_audit.training_set.sscd import DEVIATION, MEAN, SscdDetector


class Averages(torch.nn.Module):
    """Gives the mean colour of each of 16 x 16 cells: an embedding with SSCD's shapes."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(pixels, 20).flatten(1)


class Wrong(torch.nn.Module):
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels


class Nothing(torch.nn.Module):
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.zeros(pixels.shape[0], 4)


def saved(path, module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.script(module.eval()).save(str(path))
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("sscd") / "sscd.pt", Averages())


def test_pictures_are_brought_to_320_and_normalised_as_imagenet(file):
    detector = SscdDetector(file)
    assert detector.dimension == 3 * 16 * 16
    assert detector.duplicate_similarity == 0.75
    assert detector.name.startswith("sscd.pt@")
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    resized = np.asarray(Image.fromarray(image).resize((320, 320), Image.Resampling.BILINEAR), float) / 255
    cells = ((resized - MEAN) / DEVIATION).reshape(16, 20, 16, 20, 3).mean(axis=(1, 3))
    expected = cells.transpose(2, 0, 1).ravel()
    found = detector.embed([image])
    assert found.dtype == np.float32
    assert found[0] == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)


def test_a_recompressed_copy_is_nearer_than_another_picture(file):
    detector = SscdDetector(file)
    random = np.random.default_rng(1)
    one, other = (random.integers(0, 256, (5, 5, 3), dtype=np.uint8) for _ in range(2))
    large = np.asarray(Image.fromarray(one).resize((80, 60), Image.Resampling.BICUBIC))
    small = np.asarray(Image.fromarray(large).resize((40, 30), Image.Resampling.BICUBIC))
    vectors = detector.embed([large, small, np.asarray(Image.fromarray(other).resize((80, 60)))])
    assert vectors[0] @ vectors[1] > 0.99
    assert vectors[0] @ vectors[2] < 0.75


def test_what_is_no_torchscript_is_refused_in_one_line(tmp_path):
    (tmp_path / "broken.pt").write_bytes(b"no zip")
    for path in (tmp_path / "broken.pt", tmp_path / "missing.pt", saved(tmp_path / "wrong.pt", Wrong())):
        with pytest.raises(EmbedderError, match=rf"must be TorchScript .* got .*{path.name}") as refused:
            SscdDetector(path)
        assert "\n" not in str(refused.value)


def test_a_module_that_gives_nothing_is_refused_when_it_embeds(tmp_path):
    detector = SscdDetector(saved(tmp_path / "nothing.pt", Nothing()))
    with pytest.raises(EmbedderError, match="must give finite vectors other than 0"):
        detector.embed([np.zeros((8, 8, 3), np.uint8)])
