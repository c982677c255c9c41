"""Near-copies against brute force: every pair in exact order, components by repeated merging."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from memex_audit.training_set import build_index, faiss_index, numpy_index
from memex_audit.training_set.duplicates import find_duplicates

both = pytest.mark.parametrize("kind", ["faiss", "numpy"])


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(faiss_index, "BLOCK", 13)
    monkeypatch.setattr(numpy_index, "SCORES", 3000)


def clustered(n=240, d=32, centers=30, seed=0):
    """Unit vectors in tight clusters: cosines of many pairs on both sides of 0.95."""
    random = np.random.default_rng(seed)
    base = random.standard_normal((centers, d))[random.integers(0, centers, n)]
    vectors = base + random.uniform(0, 0.4, (n, 1)) * random.standard_normal((n, d))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def brute_pairs(vectors, similarity):
    exact = vectors.astype(np.longdouble)
    exact /= np.sqrt((exact * exact).sum(axis=1, keepdims=True))
    pairs = itertools.combinations(range(len(vectors)), 2)
    return {(i, j) for i, j in pairs if (exact[i] * exact[j]).sum() >= similarity}


def found_pairs(vectors, similarity, kind):
    index = build_index(vectors, [str(i) for i in range(len(vectors))], kind=kind)
    found = [tuple(pair) for block in index.neighbor_pairs(similarity) for pair in block.tolist()]
    assert len(found) == len(set(found))
    assert found == sorted(found)
    return set(found)


def brute_groups(pairs, n):
    groups = [{i} for i in range(n)]
    for i, j in pairs:
        joined = next(group for group in groups if i in group) | next(group for group in groups if j in group)
        groups = [group for group in groups if not group & joined] + [joined]
    return {frozenset(group) for group in groups}


@both
@pytest.mark.parametrize("similarity", [0.5, 0.9, 0.95, 0.99])
def test_the_join_finds_exactly_the_pairs_of_brute_force(kind, similarity):
    vectors = clustered()
    expected = brute_pairs(vectors, similarity)
    assert expected
    assert found_pairs(vectors, similarity, kind) == expected


@both
def test_counts_and_groups_are_those_of_brute_force(kind):
    vectors = clustered(seed=1)
    pairs = brute_pairs(vectors, 0.95)
    index = build_index(vectors, [str(i) for i in range(len(vectors))], kind=kind)
    found = find_duplicates(index.neighbor_pairs(0.95), len(vectors))
    counts = [1 + sum(i in pair for pair in pairs) for i in range(len(vectors))]
    assert found.counts.tolist() == counts
    members = {}
    for i, group in enumerate(found.groups.tolist()):
        members.setdefault(group, set()).add(i)
    assert {frozenset(group) for group in members.values()} == brute_groups(pairs, len(vectors))
    assert any(
        len(members[group]) > count for group, count in zip(found.groups.tolist(), counts, strict=True)
    )  # a chain


@both
def test_pairs_that_float32_cannot_tell_from_the_similarity_are_decided_exactly(kind):
    # Rows (a, b, 0...) and (1, 0...): the cosine is a / sqrt(a^2 + b^2), exact in rational numbers. Steps
    # of a single unit in the last place of b carry it over 0.95.
    b = np.float32(np.sqrt(1 / 0.95**2 - 1) * 0.95)
    rows = [np.array([1, 0, 0, 0], dtype=np.float32)]
    for step in range(-40, 41):
        value = b + np.float32(step) * np.spacing(b)
        rows.append(np.array([0.95, value, 0, 0], dtype=np.float32))
    vectors = np.stack(rows)
    rational = [[Fraction(float(value)) for value in row] for row in rows[1:]]
    expected = set()
    for i, (x, y, *_) in enumerate(rational, start=1):
        if x * x >= Fraction(95, 100) ** 2 * (x * x + y * y):
            expected.add((0, i))
    assert 0 < len(expected) < 81
    found = {pair for pair in found_pairs(vectors, 0.95, kind) if pair[0] == 0}
    # A cosine within 1e-9 of the similarity counts as reaching it: one step moves it by 1.8e-8.
    assert expected <= found
    assert len(found - expected) <= 1
