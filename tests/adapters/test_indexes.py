"""What every Index promises, shown on FAISS and on NumPy alone."""

import pytest

from memex_audit.testing import IndexContract
from memex_audit.training_set import build_index, numpy_index


class TestFaissIndex(IndexContract):
    def build(self, embeddings, example_ids):
        return build_index(embeddings, example_ids, kind="faiss")


class TestNumpyIndex(IndexContract):
    @pytest.fixture(autouse=True)
    def small_blocks(self, monkeypatch):
        """Blocks smaller than the sets here, so that their seams are tested."""
        monkeypatch.setattr(numpy_index, "SCORES", 70)
        monkeypatch.setattr(numpy_index, "QUERIES", 10)

    def build(self, embeddings, example_ids):
        return build_index(embeddings, example_ids, kind="numpy")
