"""Where a sampler stands between noise and picture, and the picture that a network predicts from there.

    latent = signal * x0 + noise * eps

Variance preserving samplers: signal = sqrt(abar), noise = sqrt(1 - abar). Flow matching: signal = 1 - t,
noise = t. Samplers that count in sigma = noise / signal (Euler, Heun) give the network their latent divided
by sqrt(1 + sigma^2), the same latent in the variance preserving form: levels are given in that form.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memex_audit.errors import ScreenUnavailable

FLOW = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler")
KINDS = ("epsilon", "v_prediction", "sample", "flow_prediction")
# Share of the training's noise that counts as low: for 1,000 training steps, timestep 20.
LOW_NOISE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseLevel:
    """A level with what the network predicts there: epsilon, v_prediction, sample or flow_prediction."""

    signal: float
    noise: float
    kind: str


def predicted_picture(
    level: NoiseLevel, latent: NDArray[np.float32], output: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the picture x0 that the network's output stands for.

    epsilon: (latent - noise * output) / signal. v = signal * eps - noise * x0:
    signal * latent - noise * output. Flow, v = eps - x0: latent - t * output. Sample: the output.

    Nothing is clipped: a sampler may clip what it makes of this.

    Source: Salimans and Ho 2022, "Progressive distillation", appendix D (v); Lipman et al. 2023 (flow).

    Args:
        level: noise above 0; for epsilon, signal above 0.
        latent: what the network saw, (n, d).
        output: what it answered, (n, d).

    >>> level = NoiseLevel(signal=0.6, noise=0.8, kind="epsilon")
    >>> latent = np.array([[0.6 * 2.0 + 0.8 * 5.0]], np.float32)
    >>> float(predicted_picture(level, latent, np.array([[5.0]], np.float32)).round(4)[0, 0])
    2.0
    """
    signal, noise = np.float32(level.signal), np.float32(level.noise)
    picture: NDArray[np.float32] = output
    if level.kind == "v_prediction":
        picture = np.asarray(signal * latent - noise * output, np.float32)
    elif level.kind == "flow_prediction":
        picture = np.asarray(latent - noise * output, np.float32)
    elif level.kind == "epsilon":
        if level.signal <= 0:
            raise ScreenUnavailable(
                "a network that predicts epsilon must start from a latent with some signal, got zero "
                "terminal SNR: its prediction holds no picture there; audit without this screen."
            )
        picture = np.asarray((latent - noise * output) / signal, np.float32)
    return picture


def prediction_kind(scheduler: Any) -> str:
    """Return what the network of this scheduler predicts.

    Raises:
        ScreenUnavailable: it is of no family whose noise levels are known here.
    """
    name = type(scheduler).__name__
    if name in FLOW:
        return "flow_prediction"
    kind = scheduler.config.get("prediction_type")
    if kind not in KINDS or not hasattr(scheduler, "alphas_cumprod") or hasattr(scheduler, "sigmas_interpol"):
        raise ScreenUnavailable(
            f"a screen must know the noise levels of the sampler, got {name} with prediction_type {kind!r}; "
            "give the model a scheduler such as DDIM, DPM++ multistep, Euler or FlowMatchEuler, or audit "
            "without a screen."
        )
    return str(kind)


def level_of_step(scheduler: Any, number: int, timestep: float) -> NoiseLevel:
    """Return the level of the sampler's step of that number, from 0, in a run from the start.

    Args:
        scheduler: with its timesteps set.
        number: of the step.
        timestep: that the sampler is given for it.

    Raises:
        ScreenUnavailable: the levels of this sampler are not known here.
    """
    kind = prediction_kind(scheduler)
    sigmas = getattr(scheduler, "sigmas", None)
    if sigmas is None:
        return _variance_preserving(scheduler, timestep, kind)
    if len(sigmas) != len(scheduler.timesteps) + 1:
        raise ScreenUnavailable(
            f"{type(scheduler).__name__} must have a sigma a step, got {len(sigmas)} for "
            f"{len(scheduler.timesteps)} steps; give the model another scheduler, or audit without a screen."
        )
    sigma = float(sigmas[number])
    if kind == "flow_prediction":
        return NoiseLevel(signal=1 - sigma, noise=sigma, kind=kind)
    total = math.sqrt(1 + sigma**2)
    return NoiseLevel(signal=1 / total, noise=sigma / total, kind=kind)


def low_noise_level(scheduler: Any) -> tuple[NoiseLevel, float]:
    """Return a level near the picture, whatever the number of steps, and its timestep in training steps.

    Raises:
        ScreenUnavailable: the levels of this sampler are not known here, or it counts time in another way.
    """
    kind = prediction_kind(scheduler)
    n = int(scheduler.config.num_train_timesteps)
    if kind == "flow_prediction":
        return NoiseLevel(signal=1 - LOW_NOISE, noise=LOW_NOISE, kind=kind), LOW_NOISE * n
    if scheduler.config.get("timestep_type") == "continuous":
        raise ScreenUnavailable(
            f"{type(scheduler).__name__} must count time in training steps for this screen, got "
            "timestep_type 'continuous'; take another screen."
        )
    timestep = round(LOW_NOISE * n)
    return _variance_preserving(scheduler, timestep, kind), timestep


def _variance_preserving(scheduler: Any, timestep: float, kind: str) -> NoiseLevel:
    abar = float(scheduler.alphas_cumprod[int(timestep)])
    return NoiseLevel(signal=math.sqrt(abar), noise=math.sqrt(1 - abar), kind=kind)
