"""What must hold of cliques for every graph: a witness is one, absence is true, order counts for nothing."""

from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from memex_audit.extraction.cliques import (
    CliqueStatus,
    bottleneck_clique_delta,
    degree_core,
    extend_clique,
    find_clique,
)

FOUND, ABSENT, UNKNOWN = CliqueStatus.FOUND, CliqueStatus.ABSENT, CliqueStatus.UNKNOWN
unhurried = settings(deadline=None)


@st.composite
def graphs(draw, most=9):
    n = draw(st.integers(1, most))
    graph = np.zeros((n, n), dtype=bool)
    for a, b in combinations(range(n), 2):
        graph[a, b] = graph[b, a] = draw(st.booleans())
    return graph


@st.composite
def distance_matrices(draw, most=7):
    n = draw(st.integers(2, most))
    distances = np.zeros((n, n))
    for a, b in combinations(range(n), 2):
        distances[a, b] = distances[b, a] = draw(st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.4]))
    return distances


def is_clique(graph, members):
    return all(graph[a, b] for a, b in combinations(members, 2))


def largest_clique(graph):
    n = len(graph)
    subsets = (s for size in range(n, 0, -1) for s in combinations(range(n), size))
    return len(next(subset for subset in subsets if is_clique(graph, subset)))


@unhurried
@given(graphs(), st.integers(1, 10))
def test_a_clique_is_found_exactly_where_brute_force_has_one(graph, size):
    answer = find_clique(graph, size)
    assert answer.status is (FOUND if largest_clique(graph) >= size else ABSENT)
    assert len(answer.members) == (size if answer.status is FOUND else 0)
    assert list(answer.members) == sorted(set(answer.members))
    assert is_clique(graph, answer.members)


@unhurried
@given(graphs(), st.integers(1, 6), st.randoms(use_true_random=False))
def test_renumbering_the_images_changes_no_answer(graph, size, random):
    order = random.sample(range(len(graph)), len(graph))
    assert find_clique(graph[np.ix_(order, order)], size).status is find_clique(graph, size).status


@unhurried
@given(graphs(), st.integers(2, 6), st.integers(0, 40))
def test_a_small_budget_may_leave_the_answer_open_and_never_turns_it_around(graph, size, budget):
    answer = find_clique(graph, size, work_budget=budget)
    assert answer.status in (UNKNOWN, find_clique(graph, size).status)
    assert is_clique(graph, answer.members)


@given(graphs(), st.integers(0, 6))
def test_a_core_is_in_the_graph_keeps_its_degree_and_is_its_own_core(graph, degree):
    core = degree_core(graph, degree)
    counts = core.sum(axis=0)
    assert (core <= graph).all()
    assert (core == core.T).all()
    assert (counts[counts > 0] >= degree).all()
    assert (degree_core(core, degree) == core).all()


@given(graphs(), st.integers(0, 5))
def test_a_higher_degree_leaves_a_smaller_core(graph, degree):
    assert (degree_core(graph, degree + 1) <= degree_core(graph, degree)).all()


@unhurried
@given(graphs(), st.integers(2, 6))
def test_cliques_are_those_of_the_core(graph, size):
    core = degree_core(graph, size - 1)
    assert find_clique(core, size).status is find_clique(graph, size).status


@unhurried
@given(graphs(), st.integers(1, 4))
def test_an_extension_holds_its_witness_and_nothing_can_be_added(graph, size):
    witness = find_clique(graph, size).members
    extended = extend_clique(graph, witness)
    assert set(witness) <= set(extended)
    assert is_clique(graph, extended)
    outside = set(range(len(graph))) - set(extended)
    assert not any(graph[vertex, list(extended)].all() for vertex in outside)
    assert extend_clique(graph, extended) == extended


@unhurried
@given(distance_matrices(), st.integers(2, 7))
def test_the_bottleneck_is_where_the_clique_appears(distances, size):
    delta = bottleneck_clique_delta(distances, size)
    if len(distances) < size:
        assert delta == np.inf
        return
    assert find_clique(distances <= delta, size).status is FOUND
    assert delta == 0 or find_clique(distances <= np.nextafter(delta, -1), size).status is ABSENT


@unhurried
@given(distance_matrices(), st.integers(2, 6))
def test_a_larger_clique_has_no_smaller_bottleneck(distances, size):
    assert bottleneck_clique_delta(distances, size) <= bottleneck_clique_delta(distances, size + 1)
