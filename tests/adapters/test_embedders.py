"""What every Embedder promises, shown on the specimen's and on an open_clip model with random weights."""

import json

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from memex_audit import specimen
from memex_audit.testing import EmbedderContract
from memex_audit.training_set import load_embedder

CONFIG = {
    "model_cfg": {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
        "text_cfg": {"context_length": 8, "vocab_size": 100, "width": 32, "heads": 2, "layers": 1},
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
}


@pytest.fixture(scope="module")
def random_embedder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps(CONFIG))
    # Random weights tell pictures apart, but not by much.
    (folder / "memex.toml").write_text("[embedder]\nduplicate_similarity = 0.999\n")
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return load_embedder(f"local-dir:{folder}")


class TestSpecimenEmbedder(EmbedderContract):
    @pytest.fixture
    def memex_embedder(self):
        return load_embedder(specimen.EMBEDDER)


class TestOpenClipEmbedder(EmbedderContract):
    @pytest.fixture
    def memex_embedder(self, random_embedder):
        return random_embedder
