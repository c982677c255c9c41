"""What screens make of predictions, with the values worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memex_audit.errors import ScreenUnavailable
from memex_audit.records import Prediction
from memex_audit.screening.scores import anisotropy, guidance_difference, one_step_clique


def prediction(conditional, unconditional, latent=None, *, signal=0.6, noise=0.8):
    conditional = np.array(conditional, np.float32)
    return Prediction(
        latent=np.zeros_like(conditional) if latent is None else np.array(latent, np.float32),
        conditional=conditional,
        unconditional=None if unconditional is None else np.array(unconditional, np.float32),
        signal=signal,
        noise=noise,
    )


def test_a_guidance_difference_is_the_mean_length_over_steps():
    first = prediction([[3.0, 4.0], [1.0, 1.0]], [[0.0, 0.0], [1.0, 1.0]])
    second = prediction([[1.0, 0.0], [0.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]])
    assert guidance_difference([first, second]).tolist() == [3.0, 1.0]


def from_epsilon(latent, eps, abar):
    """x0 of a network that predicts epsilon, by the definition of its noisy latent."""
    return (latent - np.sqrt(1 - abar) * eps) / np.sqrt(abar)


@given(seed=st.integers(0, 2**32), abar=st.floats(0.004, 0.9))
def test_at_one_step_it_is_wens_magnitude_times_a_constant(seed, abar):
    """Wen et al. 2024: ||eps(x_t, prompt) - eps(x_t, none)||_2, written out here."""
    random = np.random.default_rng(seed)
    latent, with_prompt, without = random.standard_normal((3, 5, 16))
    wen = np.sqrt(((with_prompt - without) ** 2).sum(axis=1))
    ours = guidance_difference(
        [prediction(from_epsilon(latent, with_prompt, abar), from_epsilon(latent, without, abar), latent)]
    )
    np.testing.assert_allclose(ours, np.sqrt((1 - abar) / abar) * wen, rtol=1e-4)
    assert np.argsort(ours).tolist() == np.argsort(wen).tolist()


def test_over_several_steps_it_is_wens_mean_with_each_step_weighted_by_its_level():
    random, abars = np.random.default_rng(0), (0.005, 0.1, 0.5)
    latent, with_prompt, without = random.standard_normal((3, len(abars), 4, 16))
    wen = np.linalg.norm(with_prompt - without, axis=2)
    steps = [
        prediction(from_epsilon(x, a, abar), from_epsilon(x, b, abar), x)
        for x, a, b, abar in zip(latent, with_prompt, without, abars, strict=True)
    ]
    by_step = np.stack([guidance_difference([step]) for step in steps])
    weights = np.array([[np.sqrt(abar / (1 - abar))] for abar in abars])
    np.testing.assert_allclose((weights * by_step).mean(axis=0), wen.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(guidance_difference(steps), by_step.mean(axis=0), rtol=1e-6)


@given(seed=st.integers(0, 2**32))
def test_it_sees_a_flow_at_pure_noise_where_the_noise_cannot_differ(seed):
    """x_1 = eps at t = 1, so eps = x + (1 - t) v = x whatever v is, and x0 = x - v."""
    latent, with_prompt, without = np.random.default_rng(seed).standard_normal((3, 2, 8))
    at_noise = prediction(latent - with_prompt, latent - without, latent, signal=0.0, noise=1.0)
    expected = np.linalg.norm(with_prompt - without, axis=1)
    np.testing.assert_allclose(guidance_difference([at_noise]), expected, rtol=1e-4)


def test_without_the_unconditional_half_there_is_no_difference():
    with pytest.raises(
        ScreenUnavailable, match=r"must have predictions with and without the prompt, got none"
    ):
        guidance_difference([prediction([[1.0]], None)])


def test_anisotropy_is_largest_where_guidance_pulls_along_the_score():
    first = prediction([[2.0, 0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0, 0.0]])  # ||dx0|| / sqrt(4) = 1
    # eps without = (latent - signal * 0) / noise points along (1, 0, 0, 0); dx0 against it is deps along it.
    along = prediction([[-3.0, 0.0, 0.0, 0.0]], [[0.0] * 4], [[1.0, 0.0, 0.0, 0.0]])
    across = prediction([[0.0, -3.0, 0.0, 0.0]], [[0.0] * 4], [[1.0, 0.0, 0.0, 0.0]])
    against = prediction([[3.0, 0.0, 0.0, 0.0]], [[0.0] * 4], [[1.0, 0.0, 0.0, 0.0]])
    scores = [anisotropy(first, low).tolist() for low in (along, across, against)]
    assert scores == [[2.0], [1.0], [0.0]]


@given(seed=st.integers(0, 2**32), abar=st.floats(0.5, 0.999))
def test_the_cosine_of_anisotropy_is_that_of_the_scores(seed, abar):
    """s = -eps / sqrt(1 - abar), written out for a network that predicts epsilon."""
    latent, with_prompt, without = np.random.default_rng(seed).standard_normal((3, 4, 16))
    nothing = prediction(np.zeros((4, 16)), np.zeros((4, 16)))
    low = prediction(
        from_epsilon(latent, with_prompt, abar), from_epsilon(latent, without, abar), latent,
        signal=abar**0.5, noise=(1 - abar) ** 0.5,
    )  # fmt: skip
    with_score, score = (-eps / np.sqrt(1 - abar) for eps in (with_prompt, without))
    pull = with_score - score
    expected = (pull * score).sum(axis=1) / (np.linalg.norm(pull, axis=1) * np.linalg.norm(score, axis=1))
    np.testing.assert_allclose(anisotropy(nothing, low), expected, atol=1e-3)


def test_a_prompt_that_moves_nothing_has_no_anisotropy():
    still = prediction([[1.0, 2.0]], [[1.0, 2.0]], [[1.0, 1.0]])
    assert anisotropy(still, still).tolist() == [0.0]


def test_a_clique_is_as_alike_as_more_than_half_of_the_seeds():
    degrees = np.radians([0.0, 10.0, 25.0, 90.0])
    pictures = np.stack([np.cos(degrees), np.sin(degrees)], axis=1).astype(np.float32)
    # Three of four seeds: the outer two of 0, 10 and 25 degrees lie 25 apart.
    assert one_step_clique(pictures) == pytest.approx(np.cos(np.radians(25.0)), abs=1e-6)
    assert one_step_clique(pictures[[0, 3]]) == pytest.approx(0.0, abs=1e-6)


@given(seed=st.integers(0, 2**32), n=st.integers(2, 6), scale=st.floats(0.01, 100))
def test_a_clique_depends_neither_on_order_nor_on_brightness(seed, n, scale):
    random = np.random.default_rng(seed)
    pictures = random.standard_normal((n, 5)).astype(np.float32)
    shuffled = random.permutation(pictures) * np.float32(scale)
    assert one_step_clique(shuffled) == pytest.approx(one_step_clique(pictures), abs=1e-5)
    assert one_step_clique(np.repeat(pictures[:1], n, axis=0)) == pytest.approx(1.0, abs=1e-6)


def test_a_picture_of_nothing_is_like_no_other():
    assert one_step_clique(np.zeros((3, 4), np.float32)) == 0.0
