"""Cliques against networkx's enumeration of all maximal cliques, and against trying all subsets."""

from itertools import combinations

import networkx
import numpy as np
import pytest

from memex_audit.extraction.cliques import (
    CliqueStatus,
    bottleneck_clique_delta,
    degree_core,
    extend_clique,
    find_clique,
)


def random_graph(n, share, seed):
    upper = np.triu(np.random.default_rng(seed).random((n, n)) < share, 1)
    return upper | upper.T


def clique_number(graph):
    return max(len(clique) for clique in networkx.find_cliques(networkx.from_numpy_array(graph)))


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4, 0.6, 0.8, 0.95])
@pytest.mark.parametrize("n", [7, 20, 45])
def test_a_clique_is_found_up_to_the_clique_number_and_none_beyond(n, share):
    for seed in range(5):
        graph = random_graph(n, share, seed)
        largest = clique_number(graph)
        for size in range(1, largest + 1):
            answer = find_clique(graph, size)
            assert answer.status is CliqueStatus.FOUND
            assert len(answer.members) == size
            assert all(graph[a, b] for a, b in combinations(answer.members, 2))
        assert find_clique(graph, largest + 1).status is CliqueStatus.ABSENT


def test_a_hundred_vertices_where_greedy_growth_falls_short():
    """Seeds where the first clique that greedy growth gives is smaller than the largest."""
    for seed in range(10):
        graph = random_graph(100, 0.5, seed)
        largest = clique_number(graph)
        assert find_clique(graph, largest).status is CliqueStatus.FOUND
        assert find_clique(graph, largest + 1).status is CliqueStatus.ABSENT


@pytest.mark.parametrize("degree", [1, 2, 3, 5])
def test_the_degree_core_is_that_of_networkx(degree):
    for seed in range(10):
        graph = random_graph(30, 0.15, seed)
        expected = networkx.k_core(networkx.from_numpy_array(graph), degree).nodes
        core = degree_core(graph, degree)
        assert set(np.flatnonzero(core.any(axis=0))) == set(expected)
        assert (core == graph)[np.ix_(list(expected), list(expected))].all()


def test_an_extended_witness_is_one_of_the_maximal_cliques():
    for seed in range(10):
        graph = random_graph(30, 0.5, seed)
        maximal = {frozenset(clique) for clique in networkx.find_cliques(networkx.from_numpy_array(graph))}
        for start in range(30):
            assert frozenset(extend_clique(graph, (start,))) in maximal


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_the_bottleneck_is_the_smallest_diameter_of_all_subsets(size):
    for seed in range(5):
        points = np.random.default_rng(seed).random((10, 2))
        distances = np.sqrt(((points[:, None] - points) ** 2).sum(axis=2))
        expected = min(
            max(distances[a, b] for a, b in combinations(subset, 2))
            for subset in combinations(range(10), size)
        )
        assert bottleneck_clique_delta(distances, size) == expected
