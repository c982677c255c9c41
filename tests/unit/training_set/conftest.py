"""Small training sets on disk, and an embedder that costs nothing."""

import io

import numpy as np
import pytest
from PIL import Image


def encode(pixels, kind="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def png():
    """Encode pixels as PNG, or as another format."""
    return encode


@pytest.fixture
def picture():
    """Make the picture of a number: noise, uint8 (8, 8, 3)."""
    return lambda seed: np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path, png, picture):
    """Make a folder of files: text as given, and the picture of a number where a number is given."""

    def make(files):
        for name, content in files.items():
            path = tmp_path / "set" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            data = png(picture(content)) if isinstance(content, int) else content
            path.write_bytes(data.encode() if isinstance(data, str) else data)
        return tmp_path / "set"

    return make


class PixelEmbedder:
    """Unit vectors of the pixels themselves, of 8 x 8 pictures."""

    name = "pixels"
    dimension = 192
    duplicate_similarity = 0.9

    def embed(self, images):
        vectors = np.stack([image.reshape(-1).astype(np.float32) - 127.5 for image in images])
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def embedder():
    return PixelEmbedder()
