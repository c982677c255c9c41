"""What every Embedder promises, shown on the specimen's and on an open_clip model with random weights."""

import shutil

import pytest

from memex_audit import specimen
from memex_audit.testing import EmbedderContract
from memex_audit.training_set import load_embedder


@pytest.fixture(scope="module")
def random_embedder(random_open_clip, tmp_path_factory):
    folder = shutil.copytree(random_open_clip, tmp_path_factory.mktemp("models") / "tiny")
    # Random weights tell pictures apart, but not by much.
    (folder / "memex.toml").write_text("[embedder]\nduplicate_similarity = 0.999\n")
    return load_embedder(f"local-dir:{folder}")


class TestSpecimenEmbedder(EmbedderContract):
    @pytest.fixture
    def memex_embedder(self):
        return load_embedder(specimen.EMBEDDER)


class TestOpenClipEmbedder(EmbedderContract):
    @pytest.fixture
    def memex_embedder(self, random_embedder):
        return random_embedder
