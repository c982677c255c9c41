"""Near-copies against brute force: every pair in exact order, components by merging, leaders one by one."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from memex_audit.training_set import exact_join, screen
from memex_audit.training_set.duplicates import find_duplicates
from memex_audit.training_set.vectors import ArrayVectors, screening_margin


@pytest.fixture(autouse=True, params=["screened by few dimensions", "by all"])
def small_blocks(monkeypatch, request):
    """Tiles smaller than the sets here, so that their seams are tested; with a screen and without."""
    monkeypatch.setattr(exact_join, "TILE", 13)
    if request.param == "screened by few dimensions":
        monkeypatch.setattr(screen, "LEAST_VECTORS", 5)
        monkeypatch.setattr(screen, "WIDTHS", (2, 3, 8))
        monkeypatch.setattr(screen, "PROBED", 40)
        monkeypatch.setattr(screen, "IN_MEMORY", 1000)  # bytes; more lie in a file


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


def found_tally(vectors, similarity):
    return exact_join.join_exactly(ArrayVectors(vectors), similarity, screening_margin(vectors))


def members(labels):
    sets = {}
    for row, label in enumerate(labels.tolist()):
        sets.setdefault(label, set()).add(row)
    return {frozenset(rows) for rows in sets.values()}


def brute_groups(pairs, n):
    groups = [{i} for i in range(n)]
    for i, j in pairs:
        joined = next(group for group in groups if i in group) | next(group for group in groups if j in group)
        groups = [group for group in groups if not group & joined] + [joined]
    return {frozenset(group) for group in groups}


def led_groups(pairs, counts):
    """Take the row with most near-copies that is left, with all of them that are left, until none is."""
    left, groups = set(range(len(counts))), set()
    while left:
        leader = min(left, key=lambda row: (-counts[row], row))
        group = {row for row in left if row == leader or tuple(sorted((leader, row))) in pairs}
        groups.add(frozenset(group))
        left -= group
    return groups


@pytest.mark.parametrize("similarity", [0.5, 0.9, 0.95, 0.99])
def test_counts_and_components_are_those_of_brute_force(similarity):
    vectors = clustered()
    pairs = brute_pairs(vectors, similarity)
    assert pairs
    found = found_tally(vectors, similarity)
    assert found.counts.tolist() == [1 + sum(i in pair for pair in pairs) for i in range(len(vectors))]
    assert members(found.components()) == brute_groups(pairs, len(vectors))


def test_groups_are_those_of_leaders_taken_one_by_one():
    vectors = clustered(seed=1)
    pairs = brute_pairs(vectors, 0.95)
    found = find_duplicates(vectors, 0.95)
    groups = members(found.groups)
    assert groups == led_groups(pairs, found.counts.tolist())
    assert groups != brute_groups(pairs, len(vectors))  # there are chains


def test_pairs_that_float32_cannot_tell_from_the_similarity_are_decided_exactly():
    # Rows (a, b, 0...) and (1, 0...): the cosine is a / sqrt(a^2 + b^2), exact in rational numbers. Steps
    # of a single unit in the last place of b carry it over 0.95.
    b = np.float32(np.sqrt(1 / 0.95**2 - 1) * 0.95)
    over, found_rows = [], []
    for step in range(-40, 41):
        x, y = np.float32(0.95), b + np.float32(step) * np.spacing(b)
        row = np.array([x, y, 0, 0], np.float32)
        over.append(
            Fraction(float(x)) ** 2 * 400 >= 361 * (Fraction(float(x)) ** 2 + Fraction(float(y)) ** 2)
        )
        found = found_tally(np.stack([np.eye(4, dtype=np.float32)[0], row]), 0.95).counts[0] == 2
        found_rows.append(found)
    assert 0 < sum(over) < 81
    # A cosine within 1e-9 of the similarity counts as reaching it: one step moves it by 1.8e-8.
    assert all(found for found, is_over in zip(found_rows, over, strict=True) if is_over)
    assert sum(found_rows) - sum(over) <= 1
