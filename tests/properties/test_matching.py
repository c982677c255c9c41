"""What must hold of fitting, matching and the verdicts on a prompt for any pictures and thresholds."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_arrays import in_each_library

from memex_audit.extraction.calibration import choose_match_delta, flagging_delta, least_delta_beyond
from memex_audit.extraction.distances import l2, l2_between, l2_to_many, tile_l2
from memex_audit.extraction.fitted_images import Nearest
from memex_audit.extraction.fitting import fit_to
from memex_audit.extraction.matching import Matcher, beside
from memex_audit.extraction.protocol import clique_test
from memex_audit.extraction.verdicts import near_examples, nearest_example, read_cliques

KERNEL = ("l2", "l2_between", "l2_to_many", "tile_l2", "read_cliques")


_library = in_each_library(KERNEL)


unhurried = settings(deadline=None)
sides = st.integers(4, 40)
seeds = st.integers(0, 2**32 - 1)
deltas = st.floats(0.01, 0.6)


def noise(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@st.composite
def generations(draw, most=7):
    """Between one and seven pictures of 8 x 8, some of them near the first."""
    n, seed = draw(st.integers(1, most)), draw(seeds)
    images = noise(seed, n, 8, 8, 3)
    for i in range(1, n):
        if draw(st.booleans()):
            reach = draw(st.integers(0, 40))
            images[i] = np.clip(
                images[0] + np.random.default_rng(i).integers(-reach, reach + 1, (8, 8, 3)), 0, 255
            )
    return images


@st.composite
def near(draw):
    n, m = draw(st.integers(0, 5)), draw(st.integers(0, 5))
    steps = st.integers(0, 20).map(lambda step: step / 20)
    rows = draw(st.lists(st.lists(steps, min_size=m, max_size=m), min_size=n, max_size=n))
    return Nearest(
        distances=np.array(rows, dtype=float).reshape(n, m), example_ids=tuple(f"id-{i}" for i in range(m))
    )


@unhurried
@given(sides, sides, sides, sides, seeds)
def test_a_fitted_image_has_the_size_asked_for_and_fits_again_as_it_is(h, w, height, width, seed):
    fitted = fit_to(noise(seed, h, w, 3), height, width)
    assert fitted.shape == (height, width, 3)
    assert fitted.dtype == np.uint8
    assert fit_to(fitted, height, width) is fitted


@unhurried
@given(sides, sides, sides, sides, st.tuples(*[st.integers(0, 255)] * 3))
def test_fitting_keeps_a_flat_colour(h, w, height, width, colour):
    flat = np.full((h, w, 3), colour, dtype=np.uint8)
    assert (fit_to(flat, height, width) == colour).all()


@unhurried
@given(st.integers(0, 5), st.integers(0, 5), sides, sides, seeds)
def test_distances_by_matrix_products_are_those_of_each_pair_to_the_last_bit(n, m, height, width, seed):
    images, others = noise(seed, n, height, width, 3), noise(seed + 1, m, height, width, 3)
    if n and m:
        others[0] = images[0]
    found = l2_between(images, others)
    assert found.shape == (n, m)
    for i in range(n):
        assert (l2_to_many(images[i], others) == found[i]).all()
    assert (l2_between(others, images) == found.T).all()


@unhurried
@given(sides, sides, st.lists(seeds, min_size=3, max_size=3))
def test_l2_is_a_metric(height, width, three):
    a, b, c = (noise(seed, height, width, 3) for seed in three)
    assert l2(a, a) == 0
    assert l2(a, b) == l2(b, a)
    assert l2(a, c) <= (l2(a, b) + l2(b, c)) * (1 + 1e-12)


class Images:
    """A training set, its embedder and its exact index in one."""

    def __init__(self, images):
        self.images, self.example_ids = images, tuple(images)

    def load(self, example_ids):
        return [self.images[example_id] for example_id in example_ids]

    def embed(self, images):
        vectors = np.stack([image.reshape(-1).astype(np.float32) - 127.5 for image in images])
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def search(self, queries, n):
        cosines = queries @ self.embed(self.images.values()).T
        rows = np.argsort(-cosines, axis=1)[:, :n]
        return np.take_along_axis(cosines, rows, axis=1), rows


def matcher(images):
    everything = Images({f"id-{i}": image for i, image in enumerate(images)})
    return Matcher(everything, lambda: everything, lambda: everything)


@unhurried
@given(generations(), generations(), st.integers(1, 9))
def test_neighbours_are_told_with_their_true_distances_and_each_once(images, training_images, n):
    found = matcher(training_images).distances_to_neighbors(images, n)
    assert len(set(found.example_ids)) == len(found.example_ids) == min(n, len(training_images))
    rows = [int(example_id.removeprefix("id-")) for example_id in found.example_ids]
    assert (found.distances == l2_between(images, training_images)[:, rows]).all()


@unhurried
@given(generations(), deltas, st.floats(0, 0.3))
def test_k_counts_the_image_itself_and_grows_with_delta(training_images, delta, more):
    k = matcher(training_images).count_within("id-0", delta, 8, 8)
    assert k == (l2_to_many(training_images[0], training_images) <= delta).sum()
    assert 1 <= k <= matcher(training_images).count_within("id-0", delta + more, 8, 8)


@unhurried
@given(generations(), deltas, st.integers(2, 5), st.floats(0, 0.3))
def test_a_clique_that_flags_lies_within_delta_and_flags_at_larger_deltas_too(
    images, delta, clique_size, more
):
    found = read_cliques(images, edge_delta=delta, flag_at=clique_size, clean_at=clique_size - 1)
    assert found.flagged != found.clean
    assert found.flagged == (len(found.members) >= clique_size)
    assert (tile_l2(images)[np.ix_(found.members, found.members)] <= delta).all()
    if found.flagged:
        larger = min(1, delta + more)
        assert read_cliques(images, edge_delta=larger, flag_at=clique_size, clean_at=1).flagged


@unhurried
@given(generations().filter(lambda images: len(images) > 1), st.integers(2, 7), st.integers(2, 4))
def test_a_prompt_is_flagged_at_its_flagging_delta_and_not_below(images, first, clique_size):
    looks = (first, len(images)) if first < len(images) else (len(images),)
    test = clique_test(looks, min(clique_size, len(images)))
    least = flagging_delta(images, test)
    assert least >= least_delta_beyond(images[: looks[0]], test, 0)

    def flagged(delta):
        for n, flag_at, clean_at in zip(test.looks, test.flag_at, test.clean_at, strict=True):
            found = read_cliques(images[:n], edge_delta=delta, flag_at=flag_at, clean_at=clean_at)
            if found.flagged or found.clean:
                return found.flagged
        return False

    if 0 < least <= 1:
        assert flagged(least)
        assert not flagged(np.nextafter(least, 0))


@given(near(), st.floats(0, 1), st.integers(1, 4))
def test_the_nearest_example_is_the_nearest_of_those_that_enough_lie_near(found, delta, at_least):
    within = found.distances <= delta
    eligible = [i for i, count in enumerate(within.sum(axis=0)) if count >= at_least]
    best = nearest_example(found, match_delta=delta, at_least=at_least)
    if not eligible:
        assert best is None
        return
    column = found.example_ids.index(best.example_id)
    assert column in eligible
    assert best.distance == found.distances[:, column].min() == found.distances[:, eligible].min()
    assert best.rows == tuple(np.flatnonzero(within[:, column]))


@given(near(), st.floats(0, 1))
def test_near_examples_are_all_of_them_those_with_most_rows_first(found, delta):
    examples = near_examples(found, match_delta=delta)
    columns = np.flatnonzero((found.distances <= delta).any(axis=0))
    assert sorted(example.example_id for example in examples) == [f"id-{i}" for i in columns]
    assert sum(len(example.rows) for example in examples) == (found.distances <= delta).sum()
    order = [(-len(example.rows), example.distance) for example in examples]
    assert order == sorted(order)


@given(near(), st.floats(0, 1), st.floats(0, 0.5))
def test_a_larger_match_delta_loses_no_example(found, delta, more):
    before = {example.example_id for example in near_examples(found, match_delta=delta)}
    after = {example.example_id for example in near_examples(found, match_delta=delta + more)}
    assert before <= after


@given(near())
def test_distances_beside_each_other_keep_their_ids(found):
    both = beside(found, found)
    assert both.example_ids == found.example_ids * 2
    assert (both.distances == np.tile(found.distances, 2)).all()


@given(
    st.lists(st.floats(0.01, 1), max_size=40),
    st.lists(st.floats(0.01, 1), max_size=40),
    st.floats(0.001, 0.5),
)
def test_more_negatives_that_come_near_never_loosen_the_match_delta(nearest, second_seed, alpha):
    chosen = choose_match_delta(nearest, second_seed, alpha=alpha)
    assert chosen <= choose_match_delta(nearest, alpha=alpha)
    assert chosen <= choose_match_delta((), second_seed, alpha=alpha)
    assert choose_match_delta(nearest, second_seed, alpha=alpha, few_captions=[0.02]) <= min(chosen, 0.012)
