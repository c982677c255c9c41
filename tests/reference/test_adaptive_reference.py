"""The adaptive distance against its definition, written out picture by picture."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memex_audit.errors import ConfigurationError
from memex_audit.extraction.adaptive_distance import adaptive_nearest
from memex_audit.extraction.distances import l2_between


def adaptive_by_hand(distances, n, alpha):
    """Carlini et al. 2023, section 5.1: l2(x', x) / (alpha * mean over the n nearest of l2(x', y))."""
    nearest = sorted(distances)
    mean = sum(nearest[:n]) / len(nearest[:n])
    return nearest[0] / (alpha * mean)


def test_it_is_the_study_s_formula_over_the_fifty_nearest_of_many_training_images():
    random = np.random.default_rng(0)
    training = random.integers(0, 256, (120, 8, 8, 3), dtype=np.uint8)
    generations = random.integers(0, 256, (7, 8, 8, 3), dtype=np.uint8)
    generations[0] = training[17]
    generations[1] = np.clip(training[30].astype(int) + 9, 0, 255)
    distances = l2_between(generations, training)
    found = adaptive_nearest(distances)
    assert found.columns[:2].tolist() == [17, 30]
    for row in range(len(generations)):
        by_hand = [
            float(np.sqrt(np.mean(((generations[row].astype(float) - image) / 255) ** 2)))
            for image in training
        ]
        assert found.adaptive[row] == pytest.approx(adaptive_by_hand(by_hand, 50, 0.5))
    assert found.adaptive[0] == 0
    assert found.adaptive[1] < 0.5
    assert found.adaptive[2:].min() > 1.5


def test_a_replica_of_an_image_that_stands_sixty_four_times_is_near_once_its_copies_count_as_one():
    random = np.random.default_rng(1)
    others = random.integers(0, 256, (80, 8, 8, 3), dtype=np.uint8)
    copies = np.repeat(others[:1], 64, axis=0)
    generation = np.clip(others[:1].astype(int) + random.integers(-9, 10, (1, 8, 8, 3)), 0, 255).astype(
        np.uint8
    )
    distances = l2_between(generation, np.concatenate([copies, others[1:]]))
    assert adaptive_nearest(distances).adaptive[0] == pytest.approx(2)
    kept = [0, *range(64, 143)]
    by_hand = adaptive_by_hand(distances[0, kept], 50, 0.5)
    found = adaptive_nearest(distances, lambda column: [other for other in range(64) if other != column])
    assert found.adaptive[0] == pytest.approx(by_hand)
    assert by_hand < 0.3


rows = st.lists(st.floats(0.001, 1), min_size=3, max_size=12)


@given(rows, st.randoms(use_true_random=False), st.integers(2, 15), st.floats(0.1, 1))
def test_neither_the_order_nor_the_scale_of_the_training_images_matters(row, random, n, alpha):
    shuffled = random.sample(row, len(row))
    first = adaptive_nearest(np.array([row]), neighbours=n, alpha=alpha)
    second = adaptive_nearest(np.array([shuffled]) / 2, neighbours=n, alpha=alpha)
    assert first.adaptive[0] == pytest.approx(second.adaptive[0])
    assert first.adaptive[0] == pytest.approx(adaptive_by_hand(row, n, alpha))
    assert 0 <= first.adaptive[0] <= 1 / alpha * (1 + 1e-9)


@given(rows, st.floats(0, 1), st.integers(2, 5))
def test_training_images_beyond_the_n_nearest_change_nothing(row, further, n):
    row = sorted([*row, *row][: max(n, len(row))])
    more = [*row, row[-1] + further, 1.0]
    before = adaptive_nearest(np.array([row]), neighbours=n)
    after = adaptive_nearest(np.array([more]), neighbours=n)
    if len(row) >= n:
        assert after.adaptive[0] == pytest.approx(before.adaptive[0])


@given(rows, st.floats(0.001, 1))
def test_a_nearer_generation_never_has_the_larger_distance_to_the_same_image(row, share):
    row = sorted(row)
    nearer = [row[0] * share, *row[1:]]
    assert (
        adaptive_nearest(np.array([nearer])).adaptive[0]
        <= adaptive_nearest(np.array([row])).adaptive[0] + 1e-9
    )


@pytest.mark.parametrize(
    ("distances", "options", "said"),
    [
        (np.zeros((2, 1)), {}, r"at least 2 training images, got shape \(2, 1\)"),
        (np.zeros((2, 3)), {"neighbours": 1}, "got neighbours=1, alpha=0.5"),
        (np.zeros((2, 3)), {"alpha": 0.0}, "got neighbours=50, alpha=0.0"),
    ],
)
def test_what_no_distance_can_be_made_of_is_refused(distances, options, said):
    with pytest.raises(ConfigurationError, match=said):
        adaptive_nearest(distances, **options)


def test_no_generation_has_no_distance():
    assert adaptive_nearest(np.zeros((0, 3))).adaptive.shape == (0,)
