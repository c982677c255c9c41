"""What must hold of embeddings, and of the near-copies among them, for any vectors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vector_sets import unit_vectors

from memex_audit.errors import EmbedderError
from memex_audit.training_set.vectors import check_vectors, keep_within, norm_deviation, screening_margin

unhurried = settings(deadline=None)


def exact_cosines(vectors):
    wide = vectors.astype(np.longdouble)
    wide /= np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    return wide @ wide.T


similarities = st.sampled_from([0.05, 0.5, 0.9, 0.95, 0.999, 1.0])


@unhurried
@given(unit_vectors(least=1))
def test_unit_vectors_pass_and_longer_ones_do_not(vectors):
    check_vectors(vectors)
    assert norm_deviation(vectors) < 1e-6
    with pytest.raises(EmbedderError, match="must have unit norm, got norms off by up to"):
        check_vectors(vectors * np.float32(1.01))


@unhurried
@given(unit_vectors(least=1))
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
