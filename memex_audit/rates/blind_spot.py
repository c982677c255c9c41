"""Protocol -> power: which replicating shares a protocol flags, and which a clean finding excludes.

A generation replicates when it lies within half an edge delta of one image; all that do form a clique. A
prompt replicates in a share p of its seeds, independently, so replicas among n generations are Bin(n, p).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom

from memex_audit.errors import ConfigurationError
from memex_audit.rates.bounds import binomial_upper

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

POWER = 0.95
"""Probability at which a blind spot is quoted."""

EDGE = 2
"""Replicas that make an edge, and so send a prompt on to the next look."""


def flag_power(p: "ArrayLike", looks: Sequence[int], clique_size: int) -> "NDArray[np.float64]":
    """Give the probability that a prompt replicating in a share p of its generations is flagged.

    A prompt goes on past each look but the last with two or more replicas so far, and is flagged with
    `clique_size` of them at the last. Two replicas at the first look of n_1 are two at every later one, so
    the looks between do not matter: with N generations at the last look and clique size m,

        power = sum over k from 2 to n_1 of P(Bin(n_1, p) = k) P(Bin(N - n_1, p) >= m - k),

    and P(Bin(N, p) >= m) with a single look. Cliques and edges of other origin only add to it.

    Source: design section 4; the rule of one look of 500 and a clique of 10 is Carlini et al. 2023,
    "Extracting Training Data from Diffusion Models", whose text does not give its power.

    Args:
        p: replicating shares, any shape, in [0, 1].
        looks: cumulative generations, strictly increasing, the first at least 2.
        clique_size: replicas that flag, from 2 to the last look.

    Returns:
        float64 of the shape of p, in [0, 1], increasing in p.

    Raises:
        ConfigurationError: p, looks or clique_size is out of its range.

    >>> [round(float(power), 2) for power in flag_power([0.01, 0.02, 0.04], (500,), 10)]
    [0.03, 0.54, 1.0]
    """
    _check_protocol(looks, clique_size)
    share = np.asarray(p, dtype=np.float64)
    if not np.all((share >= 0) & (share <= 1)):
        raise ConfigurationError(f"`p` must be in [0, 1], got p={p!r}. Give shares, not percent.")
    first, last = looks[0], looks[-1]
    if len(looks) == 1:
        return np.asarray(binom.sf(clique_size - 1, last, share), dtype=np.float64)
    replicas = np.arange(EDGE, first + 1)
    goes_on = binom.pmf(replicas, first, share[..., None])
    completes = binom.sf(clique_size - replicas - 1, last - first, share[..., None])
    return np.asarray(np.clip((goes_on * completes).sum(axis=-1), 0, 1), dtype=np.float64)


def blind_spot(looks: Sequence[int], clique_size: int, power: float = POWER) -> float:
    """Find the smallest replicating share that the protocol flags with the given probability.

    Prompts that replicate less often may pass unseen: a clean verdict says nothing of them.

    Args:
        looks: cumulative generations, strictly increasing, the first at least 2.
        clique_size: replicas that flag, from 2 to the last look.
        power: probability of a flag, in (0, 1).

    Returns:
        The share p with flag_power(p, looks, clique_size) = power, in (0, 1).

    Raises:
        ConfigurationError: looks, clique_size or power is out of its range.

    >>> round(blind_spot((500,), 10), 3)
    0.031
    """
    _check_protocol(looks, clique_size)
    if not 0 < power < 1:
        raise ConfigurationError(f"`power` must be in (0, 1), got power={power}. Give a share such as 0.95.")
    return float(brentq(lambda p: float(flag_power(p, looks, clique_size)) - power, 0, 1, xtol=1e-12))


def blind_spot_of_outcome(
    n_generations: int, looks: Sequence[int], clique_size: int, set_aside: int = 0
) -> float:
    """Find the smallest replicating share that the generations of one clean prompt exclude.

    A prompt that stopped before the last look had no edge, at most 1 replica; one that reached it had no
    clique, at most clique_size - 1. With k the larger count that fits, the share is the p with
    P(Bin(n_generations, p) <= k) = 0.05: any larger one would have shown more, with 95 %.

    Args:
        n_generations: generations judged, without those set aside, at least 0.
        looks: cumulative generations, strictly increasing, the first at least 2.
        clique_size: replicas that flag, from 2 to the last look.
        set_aside: generations drawn but blank or broken. They count towards the look that was reached:
            with looks (4, 16) the four left of 16 did not stop after 4.

    Returns:
        The share, in (0, 1]; 1.0 where nothing is excluded: fewer than two generations, or fewer at the
        last look than make a clique.

    Raises:
        ConfigurationError: an argument is out of its range.

    >>> round(blind_spot_of_outcome(4, (4, 16), 4), 2)
    0.75
    >>> blind_spot_of_outcome(1, (4, 16), 4, set_aside=3)
    1.0
    """
    _check_protocol(looks, clique_size)
    for name, count in (("n_generations", n_generations), ("set_aside", set_aside)):
        if count < 0:
            raise ConfigurationError(f"`{name}` must be 0 or more, got {name}={count}. Give a count.")
    reached_last_look = len(looks) == 1 or n_generations + set_aside > looks[-2]
    unseen = clique_size - 1 if reached_last_look else EDGE - 1
    if n_generations <= unseen:
        return 1.0
    return binomial_upper(unseen, n_generations, POWER)


def _check_protocol(looks: Sequence[int], clique_size: int) -> None:
    increasing = all(a < b for a, b in pairwise(looks))
    if not looks or looks[0] < EDGE or not increasing:
        raise ConfigurationError(
            f"`looks` must be strictly increasing from at least 2, got looks={tuple(looks)}. "
            "They are cumulative: (4, 16) is 4 generations, then 12 more."
        )
    if not EDGE <= clique_size <= looks[-1]:
        raise ConfigurationError(
            f"`clique_size` must be in 2 to {looks[-1]}, the last look, got clique_size={clique_size}. "
            "Ask for a smaller clique or draw more generations."
        )
