import sys

import numpy as np
import pytest

from memex_audit.errors import EmbedderError, TrainingSetError
from memex_audit.protocols import Index
from memex_audit.training_set import build_index, faiss_index, numpy_index
from memex_audit.training_set.faiss_index import FaissIndex
from memex_audit.training_set.numpy_index import NumpyIndex

both = pytest.mark.parametrize("kind", ["faiss", "numpy"])


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks smaller than the sets here, so that their seams are tested."""
    monkeypatch.setattr(faiss_index, "BLOCK", 7)
    monkeypatch.setattr(numpy_index, "SCORES", 700)


def unit(n, d=16, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def ids(n):
    return [f"id-{i}" for i in range(n)]


@both
def test_an_index_offers_what_the_protocol_asks(kind):
    index = build_index(unit(5), ids(5), kind=kind)
    assert isinstance(index, Index)
    assert index.example_ids == ids(5)


@both
def test_the_nearest_are_those_of_a_full_sort(kind):
    vectors, queries = unit(100), unit(23, seed=1)
    cosines, rows = build_index(vectors, ids(100), kind=kind).search(queries, 9)
    expected = np.argsort(-(queries @ vectors.T), axis=1)[:, :9]
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_allclose(cosines, np.take_along_axis(queries @ vectors.T, expected, 1), atol=1e-6)
    assert cosines.dtype == np.float32
    assert rows.dtype == np.int64


@both
@pytest.mark.parametrize(("queries", "n", "shape"), [(3, 99, (3, 5)), (0, 2, (0, 2)), (3, 0, (3, 0))])
def test_asking_for_more_than_there_is_gives_what_there_is(kind, queries, n, shape):
    cosines, rows = build_index(unit(5), ids(5), kind=kind).search(unit(queries), n)
    assert cosines.shape == rows.shape == shape
    assert (rows >= 0).all()


@both
def test_equal_vectors_are_neighbors_even_at_a_similarity_of_one(kind):
    vectors = unit(4)[[0, 1, 0, 2, 0, 3]]
    pairs = np.concatenate(list(build_index(vectors, ids(6), kind=kind).neighbor_pairs(1.0)))
    assert pairs.tolist() == [[0, 2], [0, 4], [2, 4]]


@both
def test_equal_vectors_whose_float32_product_is_below_one_are_neighbors_too(kind):
    vectors = unit(50, d=64)
    assert (np.einsum("nd,nd->n", vectors, vectors) < 1).any()
    pairs = np.concatenate(
        list(build_index(vectors.repeat(2, axis=0), ids(100), kind=kind).neighbor_pairs(1.0))
    )
    assert pairs.tolist() == [[2 * i, 2 * i + 1] for i in range(50)]


@both
def test_a_set_of_one_has_no_pairs(kind):
    assert sum(map(len, build_index(unit(1), ids(1), kind=kind).neighbor_pairs(0.5))) == 0


@both
def test_ids_and_embeddings_must_be_as_many(kind):
    with pytest.raises(TrainingSetError, match="one embedding, got 5 for 4; mine again"):
        build_index(unit(5), ids(4), kind=kind)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (unit(5).astype(np.float64), r"must be float32 \(n, d\), got float64 \(5, 16\); convert"),
        (unit(5)[0], r"must be float32 \(n, d\), got float32 \(16,\)"),
        (unit(5) * np.float32(1.5), "must have unit norm, got norms off by up to 0.5; divide by them"),
        (unit(5) * np.float32("nan"), "must have unit norm, got norms off by up to nan"),
    ],
)
def test_embeddings_must_be_float32_of_unit_norm(vectors, message):
    with pytest.raises(EmbedderError, match=message):
        build_index(vectors, ids(5), kind="numpy")


def test_macos_gets_the_index_without_a_second_libomp(monkeypatch):
    assert isinstance(build_index(unit(2), ids(2)), FaissIndex)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert isinstance(build_index(unit(2), ids(2)), NumpyIndex)
    assert isinstance(build_index(unit(2), ids(2), kind="faiss"), FaissIndex)
