"""Predictions -> what each screen makes of them. Higher is more suspicious; n requests, d latent values."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from memex_audit.errors import ScreenUnavailable
from memex_audit.records import Prediction


def guidance_difference(predictions: Sequence[Prediction]) -> NDArray[np.float64]:
    """Return for each request how far the prompt moves the predicted picture.

    score = mean over steps of ||x0(x_t, prompt) - x0(x_t, no prompt)||_2

    Of a memorized prompt the network knows the picture from pure noise on, so the prompt moves its
    prediction far. For a network that predicts epsilon, ||dx0|| = sqrt((1 - abar) / abar) * ||deps||: at one
    step this is the magnitude of Wen et al. times a constant, so both order prompts alike. Over several steps
    their mean is this one with each step weighted by sqrt(abar / (1 - abar)), which gives the later steps
    more. The plain mean is kept here: for v and flow models that weight is 0 at pure noise, where epsilon
    cannot differ.

    Source: Wen et al. 2024, "Detecting, explaining, and mitigating memorization in diffusion models",
    section 3.2, stated in x0.

    Args:
        predictions: one a step, each of n requests, with both halves.

    Returns:
        (n,), at least 0.

    >>> def at(conditional):
    ...     zeros = np.zeros((1, 2), np.float32)
    ...     there = np.array([conditional], np.float32)
    ...     return Prediction(latent=zeros, conditional=there, unconditional=zeros, signal=0.6, noise=0.8)
    >>> guidance_difference([at([3.0, 4.0]), at([0.0, 1.0])]).tolist()
    [3.0]
    """
    norms = [np.linalg.norm(_difference(prediction), axis=1) for prediction in predictions]
    return np.asarray(np.mean(norms, axis=0), dtype=np.float64)


def anisotropy(first: Prediction, low: Prediction) -> NDArray[np.float64]:
    """Return for each request how far the prompt moves the picture, and whether along the score.

    score = ||dx0(x_T, T)||_2 / sqrt(d) + cos(s(x_T, t, prompt) - s(x_T, t, none), s(x_T, t, none))

    with T the first step, t a low noise level, x_T pure noise in both, and s the score, which points as -eps
    does. Of a memorized prompt guidance pulls along the unconditional score.

    The norm is taken in x0, where it exists for every kind of prediction, a root mean square in units of the
    latents, which pipelines scale to a variance of 1: that weighs the two terms alike for every model. The
    authors tune a weight for each model instead, so this is not their figure.

    Source: Asthana and Belagiannis 2026, "Detecting and mitigating memorization in diffusion models through
    anisotropy of the log-probability", arXiv 2601.20642.

    Args:
        first: at the first step, n requests, both halves.
        low: for the same latents at a low noise level.

    Returns:
        (n,), from -1 up.
    """
    moved = np.sqrt(np.mean(_difference(first).astype(np.float64) ** 2, axis=1))
    # eps = (latent - signal * x0) / noise, so a difference of eps is one of x0 turned round.
    pull = -low.signal * _difference(low).astype(np.float64)
    eps = low.latent.astype(np.float64) - low.signal * np.asarray(low.unconditional, np.float64)
    return np.asarray(moved + _cosine(pull, eps), dtype=np.float64)


def one_step_clique(pictures: NDArray[np.float32]) -> float:
    """Return how alike the pictures are that several seeds begin with.

    score = largest c such that more than half of the seeds (at least two) have pairwise cosines of c or more

    of the pictures predicted at the first step with the prompt alone. A memorized prompt predicts its picture
    whatever the noise. NeMo compares eps - x_T, the predicted picture turned round as far as the latent is
    noise alone, by MS-SSIM, which needs 161 pixels a side: latents are smaller.

    Source: Hintersdorf et al. 2024, "Finding NeMo", section 3.1, with cosines.

    Args:
        pictures: predicted x0, (seeds, d), at least two.

    Returns:
        In [-1, 1].

    >>> one_step_clique(np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]], np.float32))
    1.0
    """
    lengths = np.maximum(np.linalg.norm(pictures, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    unit = pictures.astype(np.float64) / lengths
    cosines = np.clip(unit @ unit.T, -1.0, 1.0)
    size = max(2, len(pictures) // 2 + 1)
    return max(
        min(float(cosines[a, b]) for a, b in combinations(seeds, 2))
        for seeds in combinations(range(len(pictures)), size)
    )


def _difference(prediction: Prediction) -> NDArray[np.float32]:
    if prediction.unconditional is None:
        raise ScreenUnavailable(
            "a guidance difference must have predictions with and without the prompt, got none without; ask "
            "predict_steps for both."
        )
    return prediction.conditional - prediction.unconditional


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Row by row; 0 where a row has no direction."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    products = np.einsum("ij,ij->i", a, b)
    cosines: NDArray[np.float64] = np.divide(
        products, lengths, out=np.zeros_like(products), where=lengths > 0
    )
    return cosines
