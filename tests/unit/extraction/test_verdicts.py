"""One prompt's generations -> what can be said of it."""

import numpy as np
import pytest

from memex_audit.extraction.cliques import CliqueAnswer, CliqueStatus
from memex_audit.extraction.distances import tile_l2
from memex_audit.extraction.fitted_images import Nearest
from memex_audit.extraction.verdicts import (
    EVERY_EDGE,
    CliqueReading,
    NearestExample,
    enough_judged,
    near_examples,
    nearest_example,
    read_cliques,
)


def pictures(seed, n, side=16):
    return np.random.default_rng(seed).integers(40, 216, (n, side, side, 3), dtype=np.uint8)


def planted(n, rows, deviation=4, seed=0):
    """`n` pictures of noise where `rows` repeat one picture with noise of this deviation in levels."""
    images = pictures(seed, n)
    noise = np.random.default_rng(seed + 1).normal(0, deviation, (len(rows), *images.shape[1:]))
    images[list(rows)] = np.clip(pictures(seed + 2, 1) + noise, 0, 255)
    return images


def near(distances, ids="abcdef"):
    distances = np.array(distances, dtype=float)
    return Nearest(distances=distances, example_ids=tuple(ids[: distances.shape[1]]))


@pytest.mark.parametrize(
    ("judged", "aside", "answer"),
    [(0, 0, False), (1, 0, False), (2, 0, True), (2, 2, True), (2, 3, False), (8, 8, True), (7, 9, False)],
)
def test_half_of_the_pictures_and_two_of_them_decide(judged, aside, answer):
    assert enough_judged(judged, aside) is answer


def read(images, *, flag_at=4, clean_at=3, delta=0.1):
    return read_cliques(images, edge_delta=delta, flag_at=flag_at, clean_at=clean_at)


@pytest.mark.parametrize("rows", [(0, 3, 5, 9), (1, 2, 4, 7, 8, 11)])
def test_a_planted_clique_flags_with_all_its_members(rows):
    images = planted(12, rows)
    assert read(images) == CliqueReading(members=rows, flagged=True)
    close = tile_l2(images) <= 0.1
    assert close[np.ix_(rows, rows)].all()


def test_one_replica_too_few_is_clean_and_still_named():
    assert read(planted(12, (0, 3, 5))) == CliqueReading(members=(0, 3, 5), clean=True)


def test_between_the_boundaries_nothing_is_decided():
    assert read(planted(12, (0, 3, 5)), flag_at=5, clean_at=2) == CliqueReading(members=(0, 3, 5))


@pytest.mark.parametrize("n", [2, 4, 12])
def test_independent_pictures_are_clean_where_one_alone_is(n):
    assert read(pictures(0, n), clean_at=1) == CliqueReading(clean=True)
    assert read(pictures(0, n), clean_at=0) == CliqueReading(clean=False)


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_pictures_have_no_edge(n):
    assert read(pictures(0, n), clean_at=1, delta=0.5) == CliqueReading(clean=True)


def test_fewer_pictures_than_a_clique_needs_flag_nothing():
    same = np.repeat(pictures(0, 1), 3, axis=0)
    assert read(same) == CliqueReading(members=(0, 1, 2), clean=True)


def test_a_chain_is_no_clique():
    # Each step of 20 levels is 20 / 255 = 0.078; the ends lie three steps apart.
    chain = np.stack([np.full((16, 16, 3), level, np.uint8) for level in (60, 80, 100, 120)])
    assert len(read(chain, flag_at=3, clean_at=2).members) == 2
    assert read(chain, flag_at=3, clean_at=2, delta=0.16).flagged


@pytest.mark.parametrize("n_replicas", [0, 2, 9, 10, 30])
def test_of_many_pictures_only_cliques_that_decide_are_looked_for(n_replicas):
    rows = tuple(range(5, 5 + n_replicas))
    found = read(planted(EVERY_EDGE + 16, rows), flag_at=10, clean_at=9)
    assert found == (
        CliqueReading(members=rows, flagged=True) if n_replicas >= 10 else CliqueReading(clean=True)
    )


def test_a_search_that_gives_up_decides_nothing(monkeypatch):
    monkeypatch.setattr(
        "memex_audit.extraction.verdicts.find_clique",
        lambda graph, size: CliqueAnswer(status=CliqueStatus.UNKNOWN),
    )
    assert read(planted(12, (0, 3, 5))) == CliqueReading()


def test_the_nearest_of_the_images_that_enough_generations_lie_near_is_taken():
    distances = [[0.09, 0.02, 0.05], [0.08, 0.90, 0.06], [0.07, 0.90, 0.90]]
    found = nearest_example(near(distances), match_delta=0.1, at_least=2)
    assert found == NearestExample(example_id="c", distance=0.05, rows=(0, 1))
    found = nearest_example(near(distances), match_delta=0.1, at_least=3)
    assert found == NearestExample(example_id="a", distance=0.07, rows=(0, 1, 2))
    found = nearest_example(near(distances), match_delta=0.1, at_least=1)
    assert found == NearestExample(example_id="b", distance=0.02, rows=(0,))


def test_generations_near_different_images_do_not_add_up():
    assert nearest_example(near([[0.05, 0.9], [0.9, 0.05]]), match_delta=0.1, at_least=2) is None


def test_a_distance_at_the_limit_counts():
    assert nearest_example(near([[0.1], [0.1]]), match_delta=0.1, at_least=2).rows == (0, 1)
    assert nearest_example(near([[0.1], [0.1001]]), match_delta=0.1, at_least=2) is None


@pytest.mark.parametrize("shape", [(3, 0), (0, 3), (0, 0)])
def test_nothing_is_near_where_there_is_nothing(shape):
    assert nearest_example(near(np.zeros(shape)), match_delta=0.1, at_least=2) is None


def test_as_many_pictures_as_a_clique_needs_can_hold_one():
    same = np.repeat(pictures(0, 1), 4, axis=0)
    assert read(same) == CliqueReading(members=(0, 1, 2, 3), flagged=True)


def test_those_that_most_generations_lie_near_come_first_and_the_nearer_of_equals():
    distances = [[0.09, 0.02, 0.05, 0.3], [0.08, 0.90, 0.06, 0.3], [0.07, 0.90, 0.90, 0.3]]
    found = near_examples(near(distances), match_delta=0.1)
    assert found == (
        NearestExample(example_id="a", distance=0.07, rows=(0, 1, 2)),
        NearestExample(example_id="c", distance=0.05, rows=(0, 1)),
        NearestExample(example_id="b", distance=0.02, rows=(0,)),
    )
    tied = near_examples(near([[0.09, 0.02, 0.05]]), match_delta=0.09)
    assert [example.example_id for example in tied] == ["b", "c", "a"]
