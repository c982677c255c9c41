"""What must hold of embeddings, and of the near-copies among them, for any vectors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memex_audit.errors import EmbedderError
from memex_audit.training_set.vectors import check_vectors, keep_within, norm_deviation, screening_margin

unhurried = settings(deadline=None)


@st.composite
def unit_vectors(draw, least=1, most=14):
    """Unit vectors of which some are copies of others, or near them."""
    n, d = draw(st.integers(least, most)), draw(st.sampled_from([2, 3, 16, 65]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    vectors = random.standard_normal((n, d))
    for i in range(1, n):
        if draw(st.booleans()):
            reach = draw(st.sampled_from([0, 1e-8, 1e-3, 0.1]))
            vectors[i] = vectors[draw(st.integers(0, i - 1))] + reach * random.standard_normal(d)
    vectors = vectors.astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def exact_cosines(vectors):
    wide = vectors.astype(np.longdouble)
    wide /= np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    return wide @ wide.T


similarities = st.sampled_from([0.05, 0.5, 0.9, 0.95, 0.999, 1.0])


@unhurried
@given(unit_vectors())
def test_unit_vectors_pass_and_longer_ones_do_not(vectors):
    check_vectors(vectors)
    assert norm_deviation(vectors) < 1e-6
    with pytest.raises(EmbedderError, match="must have unit norm, got norms off by up to"):
        check_vectors(vectors * np.float32(1.01))


@unhurried
@given(unit_vectors())
def test_no_float32_product_lies_farther_from_the_cosine_than_the_margin(vectors):
    off = np.abs((vectors @ vectors.T).astype(np.longdouble) - exact_cosines(vectors))
    assert off.max() <= screening_margin(vectors)


@unhurried
@given(unit_vectors(least=2), similarities)
def test_what_the_scores_leave_open_is_decided_by_the_vectors_alone(vectors, similarity):
    pairs = np.stack(np.triu_indices(len(vectors), 1), axis=1).astype(np.int64)
    scores = np.einsum("md,md->m", vectors[pairs[:, 0]], vectors[pairs[:, 1]])
    margin = screening_margin(vectors)
    sure = keep_within(vectors, pairs, scores, similarity, margin)
    asked_of_all = keep_within(vectors, pairs, scores, similarity, 3.0)
    assert sure.tolist() == asked_of_all.tolist()
