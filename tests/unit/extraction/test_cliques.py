"""Cliques on graphs whose answer is known by construction."""

import time

import numpy as np
import pytest

from memex_audit.errors import ConfigurationError
from memex_audit.extraction.cliques import (
    CliqueAnswer,
    CliqueStatus,
    bottleneck_clique_delta,
    degree_core,
    extend_clique,
    find_clique,
)

FOUND, ABSENT, UNKNOWN = CliqueStatus.FOUND, CliqueStatus.ABSENT, CliqueStatus.UNKNOWN


# The budget is one of two seconds; coverage traces every line, and doubles them.
SECONDS = 4


def random_graph(n, share, seed=0):
    upper = np.triu(np.random.default_rng(seed).random((n, n)) < share, 1)
    return upper | upper.T


def parts(n, n_parts):
    """Complete multipartite: its largest clique has one vertex of each part."""
    part = np.arange(n) % n_parts
    return part[:, None] != part


def planted(n, size, share, seed=0):
    graph = random_graph(n, share, seed)
    members = np.sort(np.random.default_rng(seed + 1).choice(n, size, replace=False))
    graph[np.ix_(members, members)] = True
    np.fill_diagonal(graph, val=False)
    return graph, tuple(members.tolist())


def is_clique(graph, members):
    return (graph[np.ix_(members, members)] | np.eye(len(members), dtype=bool)).all()


def test_an_empty_graph_has_a_clique_of_one_and_none_of_two():
    assert find_clique(np.zeros((5, 5), dtype=bool), 1) == CliqueAnswer(status=FOUND, members=(0,))
    assert find_clique(np.zeros((5, 5), dtype=bool), 2) == CliqueAnswer(status=ABSENT)


def test_no_vertices_have_no_clique_of_one():
    assert find_clique(np.zeros((0, 0), dtype=bool), 1).status is ABSENT


def test_the_diagonal_is_no_edge():
    assert find_clique(np.eye(5, dtype=bool), 2).status is ABSENT


@pytest.mark.parametrize("size", [2, 10, 500])
def test_all_identical_images_form_a_clique_of_every_size(size):
    assert len(find_clique(np.ones((500, 500), dtype=bool), size).members) == size


def test_a_clique_larger_than_the_graph_is_absent():
    assert find_clique(np.ones((9, 9), dtype=bool), 10).status is ABSENT


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.2])
def test_a_planted_clique_of_ten_among_500_is_given_back(share):
    graph, members = planted(500, 10, share)
    assert find_clique(graph, 10) == CliqueAnswer(status=FOUND, members=members)


@pytest.mark.parametrize("n_parts", [9, 50, 125, 250])
def test_a_turan_graph_has_a_clique_of_its_parts_and_none_larger(n_parts):
    graph = parts(500, n_parts)
    assert find_clique(graph, n_parts).status is FOUND
    assert find_clique(graph, n_parts + 1).status is ABSENT


def test_a_moon_moser_graph_with_its_3_to_the_166_maximal_cliques_is_decided():
    graph = parts(498, 166)
    assert find_clique(graph, 166).status is FOUND
    assert find_clique(graph, 167).status is ABSENT


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1, 0.2, 0.3, 0.34, 0.36, 0.4, 0.5, 0.7, 0.95])
def test_a_clique_of_ten_among_500_random_edges_is_decided_in_seconds(share):
    graph = random_graph(500, share)
    started = time.process_time()
    answer = find_clique(graph, 10)
    assert time.process_time() - started < SECONDS
    assert answer.status is not UNKNOWN
    assert is_clique(graph, answer.members)


def test_a_search_without_budget_says_unknown_and_never_absent():
    answer = find_clique(random_graph(200, 0.5), 12, work_budget=1000)
    assert answer == CliqueAnswer(status=UNKNOWN, members=())


def test_a_hard_question_ends_within_its_budget_of_seconds():
    started = time.process_time()
    assert find_clique(random_graph(500, 0.95), 80).status is UNKNOWN
    assert time.process_time() - started < SECONDS


@pytest.mark.parametrize("size", [0, -1])
def test_a_size_below_one_is_refused(size):
    with pytest.raises(ConfigurationError, match=f"`size` must be at least 1, got size={size}"):
        find_clique(np.ones((3, 3), dtype=bool), size)


@pytest.mark.parametrize("graph", [np.ones((3, 4), dtype=bool), np.ones((3, 3)), np.tri(3, dtype=bool)])
def test_what_is_no_symmetric_bool_matrix_is_refused(graph):
    with pytest.raises(ConfigurationError, match=r"a graph must be a symmetric bool \(n, n\) matrix, got"):
        find_clique(graph, 2)


def test_the_core_of_a_triangle_with_a_tail_is_the_triangle():
    graph = np.zeros((5, 5), dtype=bool)
    for a, b in [(0, 1), (1, 2), (0, 2), (2, 3), (3, 4)]:
        graph[a, b] = graph[b, a] = True
    core = degree_core(graph, 2)
    assert np.flatnonzero(core.any(axis=0)).tolist() == [0, 1, 2]
    assert graph[3, 4]  # the argument is left as it was


def test_extending_a_witness_takes_all_that_fit():
    graph, members = planted(60, 12, 0.1)
    assert extend_clique(graph, members[:9]) == members


def test_extending_prefers_the_larger_rest_to_the_lower_index():
    graph = np.zeros((6, 6), dtype=bool)
    for a, b in [(0, 1), (0, 2), (0, 3), (0, 4), (2, 3), (2, 4), (3, 4)]:
        graph[a, b] = graph[b, a] = True
    assert extend_clique(graph, (0,)) == (0, 2, 3, 4)


def test_extending_what_is_no_clique_is_refused():
    with pytest.raises(ConfigurationError, match=r"members must be a clique of the graph, got \(0, 1\)"):
        extend_clique(np.zeros((3, 3), dtype=bool), (0, 1))


def test_the_bottleneck_is_the_longest_side_of_the_tightest_group():
    """Points on a line at 0 1 2 10 11 13: three within 2 (0 1 2), four within 10 (0 1 2 10)."""
    points = np.array([0.0, 1.0, 2.0, 10.0, 11.0, 13.0])
    distances = np.abs(points[:, None] - points)
    assert bottleneck_clique_delta(distances, 2) == 1
    assert bottleneck_clique_delta(distances, 3) == 2
    assert bottleneck_clique_delta(distances, 4) == 10
    assert bottleneck_clique_delta(distances, 6) == 13


def test_too_few_images_have_no_bottleneck():
    assert bottleneck_clique_delta(np.zeros((3, 3)), 4) == float("inf")


def test_the_bottleneck_of_identical_images_is_zero():
    assert bottleneck_clique_delta(np.zeros((6, 6)), 4) == 0.0


def test_where_the_search_cannot_tell_the_bottleneck_errs_downwards(monkeypatch):
    monkeypatch.setattr(
        "memex_audit.extraction.cliques.find_clique", lambda *_: CliqueAnswer(status=CliqueStatus.UNKNOWN)
    )
    distances = np.array([[0, 0.1, 0.3], [0.1, 0, 0.2], [0.3, 0.2, 0]])
    assert bottleneck_clique_delta(distances, 3) == 0.1


def test_a_bottleneck_of_one_vertex_is_refused():
    with pytest.raises(ConfigurationError, match="`size` must be at least 2, got size=1"):
        bottleneck_clique_delta(np.zeros((3, 3)), 1)


def test_distances_that_are_not_symmetric_are_refused():
    with pytest.raises(ConfigurationError, match=r"distances must be a symmetric \(n, n\) matrix"):
        bottleneck_clique_delta(np.triu(np.ones((3, 3))), 2)


def test_one_vertex_is_a_clique_of_one():
    assert find_clique(np.zeros((1, 1), dtype=bool), 1) == CliqueAnswer(status=FOUND, members=(0,))


@pytest.mark.parametrize("shape", [(3,), (3, 3, 3)])
def test_an_array_of_another_dimension_is_no_graph(shape):
    with pytest.raises(
        ConfigurationError, match=r"must be a symmetric bool \(n, n\) matrix, got bool of shape"
    ):
        find_clique(np.ones(shape, dtype=bool), 2)


def test_extending_nothing_gives_a_maximal_clique():
    graph, members = planted(30, 8, 0.1)
    assert extend_clique(graph, ()) == members
    assert extend_clique(np.zeros((0, 0), dtype=bool), ()) == ()


def test_what_is_added_is_joined_to_every_member():
    graph = np.zeros((4, 4), dtype=bool)
    for a, b in [(0, 1), (1, 2), (1, 3), (2, 3)]:
        graph[a, b] = graph[b, a] = True
    assert extend_clique(graph, (0, 1)) == (0, 1)


def test_extending_takes_the_lowest_index_where_two_rests_are_as_large():
    graph = np.zeros((5, 5), dtype=bool)
    for a, b in [(0, 1), (0, 2), (1, 2), (0, 3), (0, 4), (3, 4)]:
        graph[a, b] = graph[b, a] = True
    assert extend_clique(graph, (0,)) == (0, 1, 2)


def test_extending_prefers_the_larger_rest_to_the_higher_index_too():
    graph = np.zeros((6, 6), dtype=bool)
    for a, b in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3), (0, 5)]:
        graph[a, b] = graph[b, a] = True
    assert extend_clique(graph, (0,)) == (0, 1, 2, 3)
