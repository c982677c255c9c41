import sys

import numpy as np
import pytest

from memex_audit.errors import EmbedderError, TrainingSetError
from memex_audit.protocols import Index
from memex_audit.training_set import build_index, index, numpy_index, vectors
from memex_audit.training_set.faiss_index import FaissIndex
from memex_audit.training_set.numpy_index import NumpyIndex
from memex_audit.training_set.vectors import ArrayVectors

both = pytest.mark.parametrize("kind", ["faiss", "numpy"])


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks smaller than the sets here, so that their seams are tested."""
    monkeypatch.setattr(vectors, "ROWS_AT_A_TIME", 7)
    monkeypatch.setattr(numpy_index, "SCORES", 70)
    monkeypatch.setattr(numpy_index, "QUERIES", 10)


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
def test_vectors_on_disk_are_searched_as_an_array_is(kind, tmp_path):
    np.save(tmp_path / "vectors.npy", unit(100))
    mapped = ArrayVectors(np.load(tmp_path / "vectors.npy", mmap_mode="r"))
    found = build_index(mapped, ids(100), kind=kind).search(unit(23, seed=1), 9)
    expected = build_index(unit(100), ids(100), kind=kind).search(unit(23, seed=1), 9)
    np.testing.assert_array_equal(found, expected)


@both
@pytest.mark.parametrize("queries", [unit(3, d=8), unit(1)[0]])
def test_queries_of_another_dimension_are_refused(kind, queries):
    with pytest.raises(
        EmbedderError, match=r"index's dimension, \(n, 16\), got .*; embed them with the embedder"
    ):
        build_index(unit(5), ids(5), kind=kind).search(queries, 2)


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


def test_more_than_is_worth_a_copy_is_searched_where_it_is(monkeypatch):
    monkeypatch.setattr(index, "COPIED", 4 * 5 * 16 - 1)
    assert isinstance(build_index(unit(5), ids(5)), NumpyIndex)
    assert isinstance(build_index(unit(4), ids(4)), FaissIndex)
