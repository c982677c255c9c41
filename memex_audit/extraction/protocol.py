"""How many generations decide a prompt: the sequential test, and what it can and cannot see.

A prompt is looked at after n_1 < n_2 < ... generations. At look i, K is the size of the largest clique of
generations that nearly agree (1 where no two do):

    K >= flag_at[i]     flagged
    K <= clean_at[i]    clean
    else                the next look; undecided after the last

A share r of a prompt's generations replicates one picture, and replicas nearly agree with each other, so K is
at least the number of replicas, Bin(n, r). The study's rule, 10 of 500, has one look.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.stats import beta, binom

from memex_audit.errors import ConfigurationError
from memex_audit.records import Protocol

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

POWER = 0.95
"""Probability at which a blind spot is quoted."""

EDGE = 2
"""Generations of the smallest clique: two that nearly agree."""

LONGEST = 4096
"""Generations beyond which a test is not planned: so small a share is not to be seen by repetition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SequentialTest:
    """The looks at a prompt (cumulative generations) and what decides at each.

    `flag_at`: clique size that flags, `n + 1` where none can; `clean_at`: largest clique with which a prompt
    is clean, 0 where none is.

    Raises:
        ConfigurationError: looks that do not increase from 2, or boundaries that do not fit them.
    """

    looks: tuple[int, ...]
    flag_at: tuple[int, ...]
    clean_at: tuple[int, ...]

    def __post_init__(self) -> None:
        _check_looks(self.looks)
        if not len(self.looks) == len(self.flag_at) == len(self.clean_at):
            raise ConfigurationError(
                f"a test must have a boundary a look, got {len(self.flag_at)} to flag and "
                f"{len(self.clean_at)} to stop clean for {len(self.looks)} looks."
            )
        if not EDGE <= self.flag_at[-1] <= self.looks[-1]:
            raise ConfigurationError(
                f"`clique_size` must be in 2 to {self.looks[-1]}, the last look, got "
                f"clique_size={self.flag_at[-1]}. Ask for a smaller clique or draw more generations."
            )
        if any(clean >= flag for clean, flag in zip(self.clean_at, self.flag_at, strict=True)):
            raise ConfigurationError(
                f"a clique must not flag and be clean at one look, got flag_at={self.flag_at} and "
                f"clean_at={self.clean_at}."
            )


def clique_test(looks: Sequence[int], clique_size: int) -> SequentialTest:
    """Return the test that flags a clique of one size at the last look; earlier ones stop where no two agree.

    >>> clique_test((4, 16), 4)
    SequentialTest(looks=(4, 16), flag_at=(5, 4), clean_at=(1, 3))
    """
    looks = _check_looks(looks)
    return SequentialTest(
        looks=looks,
        flag_at=(*(n + 1 for n in looks[:-1]), clique_size),
        clean_at=(*(EDGE - 1 for _ in looks[:-1]), clique_size - 1),
    )


def sequential_test(protocol: Protocol) -> SequentialTest:
    """Return the test by which a protocol decides."""
    if not protocol.flag_at:
        return clique_test(protocol.looks, protocol.clique_size)
    return SequentialTest(looks=protocol.looks, flag_at=protocol.flag_at, clean_at=protocol.clean_at)


def plan_test(
    *,
    blind_spot: float,
    null_share: float,
    alpha: float,
    power: float = POWER,
    looks: Sequence[int] = (4, 8, 16, 32),
) -> SequentialTest:
    """Plan a test that sees shares from `blind_spot` on, and flags hardly any prompt that does not replicate.

    Flagging: what a model draws for a prompt falls into modes, pictures that nearly agree with each other; of
    a prompt that replicates nothing no mode has more than the share r0 = `null_share`. With shares r_j <= r0
    that sum to 1 at most,

        P(some mode has c of n) <= sum_j P(Bin(n, r_j) >= c) <= P(Bin(n, r0) >= c) / r0,

    as P(Bin(n, r) >= c) / r grows with r up to (c - 1) / (n - 1). flag_at[i] is the smallest c with that
    bound, added up over the looks so far, within alpha * (i + 1) / looks.

    Stopping clean: after the last look every clique that does not flag is clean. Earlier looks are clean up
    to the same share of their generations, or no two agreeing, as long as a prompt that replicates with
    `blind_spot` is still flagged with `power` (computed exactly, over all looks). Looks are doubled on until
    that is so.

    Source: group-sequential boundaries with spending functions, Lan and DeMets 1983; the bound over modes and
    the exact power are this project's.

    Args:
        blind_spot: smallest share that must be flagged with `power`, in (null_share, 1).
        null_share: largest share that chance, or a dull prompt, gives one picture, in (0, 0.5).
        alpha: bound on the probability of flagging such a prompt, in (0, 1).
        power: in (0, 1).
        looks: cumulative generations to begin with.

    Raises:
        ConfigurationError: a value is out of its range, or no test of up to 4,096 generations sees so small a
            share.

    >>> plan_test(blind_spot=0.76, null_share=0.05, alpha=0.01)
    SequentialTest(looks=(4, 8, 16, 32), flag_at=(4, 5, 6, 8), clean_at=(1, 1, 3, 7))
    """
    _check_plan(blind_spot=blind_spot, null_share=null_share, alpha=alpha, power=power)
    looks = _check_looks(looks)
    while looks[-1] <= LONGEST:
        flag_at = _flag_boundaries(looks, null_share, alpha)
        if flag_at[-1] <= looks[-1]:
            clean_at = [0] * (len(looks) - 1) + [flag_at[-1] - 1]
            test = _test(looks, flag_at, clean_at)
            if flag_power(blind_spot, test) >= power:
                return _with_clean_stops(test, blind_spot, power)
        looks = (*looks, 2 * looks[-1])
    raise ConfigurationError(
        f"a blind spot of {blind_spot:g} must be clear of what prompts reach by chance ({null_share:g}): no "
        f"test of {LONGEST:,} generations tells them apart; ask for a larger one."
    )


def plan_look(n: int, *, null_share: float, alpha: float) -> SequentialTest:
    """Return the test of one look: the smallest clique that flags within `alpha`, as in `plan_test`.

    Raises:
        ConfigurationError: even all of the generations in one clique are no sign at this `alpha`.

    >>> plan_look(16, null_share=0.05, alpha=0.01)
    SequentialTest(looks=(16,), flag_at=(6,), clean_at=(5,))
    """
    (clique_size,) = _flag_boundaries(_check_looks([n]), null_share, alpha)
    if clique_size > n:
        raise ConfigurationError(
            f"so few generations cannot flag a prompt, got {n}: chance gives as many alike; draw 3 or more, "
            "or say how many are enough with --memex-clique-size."
        )
    return clique_test([n], clique_size)


def _with_clean_stops(test: SequentialTest, blind_spot: float, power: float) -> SequentialTest:
    last, clean_at = test.looks[-1], list(test.clean_at)
    for i, n in enumerate(test.looks[:-1]):
        largest = min(max(EDGE - 1, clean_at[-1] * n // last), test.flag_at[i] - 1)
        for clean in range(largest, 0, -1):
            stopped = _test(test.looks, test.flag_at, [*clean_at[:i], clean, *clean_at[i + 1 :]])
            if flag_power(blind_spot, stopped) >= power:
                clean_at[i] = clean
                break
    return _test(test.looks, test.flag_at, clean_at)


def _flag_boundaries(looks: Sequence[int], null_share: float, alpha: float) -> list[int]:
    spent, boundaries = 0.0, []
    for i, n in enumerate(looks, start=1):
        # Below this the bound over modes does not hold.
        smallest = max(EDGE, int(np.ceil(null_share * (n - 1))) + 1)
        sizes = np.arange(smallest, n + 2)
        costs = binom.sf(sizes - 1, n, null_share) / null_share
        affordable = np.flatnonzero(spent + costs <= alpha * i / len(looks))
        boundaries.append(int(sizes[affordable[0]]))
        spent += float(costs[affordable[0]])
    return boundaries


def flag_bound(test: SequentialTest, null_share: float) -> float:
    """Bound the probability that a prompt with no mode above `null_share` is flagged; see `plan_test`.

    >>> test = plan_test(blind_spot=0.76, null_share=0.05, alpha=0.01)
    >>> flag_bound(test, 0.05) <= 0.01
    True
    """
    spent = sum(
        float(binom.sf(flag - 1, n, null_share)) / null_share
        for n, flag in zip(test.looks, test.flag_at, strict=True)
    )
    return min(1.0, spent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What becomes of prompts that replicate with given shares: probabilities, and generations on average."""

    flagged: "NDArray[np.float64]"
    clean: "NDArray[np.float64]"
    undecided: "NDArray[np.float64]"
    generations: "NDArray[np.float64]"


def outcomes(p: "ArrayLike", test: SequentialTest) -> Outcomes:
    """Give, exactly, what the test says of a prompt that replicates one picture in a share p of generations.

    The rest of its generations agrees with nothing: cliques of other origin only add to the flags. The number
    of replicas is followed from look to look; what is flagged or clean leaves.

    Args:
        p: replicating shares, any shape, in [0, 1].
        test: looks and boundaries.

    Returns:
        Arrays of the shape of p.

    Raises:
        ConfigurationError: p is out of its range.
    """
    share = np.asarray(p, dtype=np.float64)
    if not np.all((share >= 0) & (share <= 1)):
        raise ConfigurationError(f"`p` must be in [0, 1], got p={p!r}. Give shares, not percent.")
    still_open = np.ones((*share.shape, 1))
    flagged, clean, generations = np.zeros(share.shape), np.zeros(share.shape), np.zeros(share.shape)
    for i, (before, n) in enumerate(pairwise((0, *test.looks))):
        generations += (n - before) * still_open.sum(axis=-1)
        still_open = _with_more(still_open, n - before, share)
        flagged += still_open[..., test.flag_at[i] :].sum(axis=-1)
        still_open[..., test.flag_at[i] :] = 0
        if test.clean_at[i] >= 1:  # no replica is a largest clique of one, as one replica is
            clean += still_open[..., : test.clean_at[i] + 1].sum(axis=-1)
            still_open[..., : test.clean_at[i] + 1] = 0
    undecided = still_open.sum(axis=-1)
    return Outcomes(
        flagged=np.clip(flagged, 0, 1), clean=np.clip(clean, 0, 1), undecided=np.clip(undecided, 0, 1),
        generations=generations,
    )  # fmt: skip


def _with_more(
    still_open: "NDArray[np.float64]", more: int, share: "NDArray[np.float64]"
) -> "NDArray[np.float64]":
    """Add Bin(more, share) replicas: the last axis is their number."""
    so_far = still_open.shape[-1]
    grown = np.zeros((*still_open.shape[:-1], so_far + more))
    added = binom.pmf(np.arange(more + 1), more, share[..., None])
    for replicas in range(so_far):
        grown[..., replicas : replicas + more + 1] += still_open[..., replicas, None] * added
    return grown


def flag_power(p: "ArrayLike", test: SequentialTest) -> "NDArray[np.float64]":
    """Give the probability that a prompt replicating in a share p of its generations is flagged.

    Source: design section 4; the rule of one look of 500 and a clique of 10 is Carlini et al. 2023,
    "Extracting Training Data from Diffusion Models", whose text does not give its power.

    >>> [round(float(power), 2) for power in flag_power([0.01, 0.02, 0.04], clique_test((500,), 10))]
    [0.03, 0.54, 1.0]
    """
    return outcomes(p, test).flagged


def blind_spot(test: SequentialTest, power: float = POWER) -> float:
    """Find the smallest replicating share that the test flags with the given probability.

    Prompts that replicate less often may pass unseen: a clean verdict says nothing of them.

    Raises:
        ConfigurationError: power is not in (0, 1).

    >>> round(blind_spot(clique_test((500,), 10)), 3)
    0.031
    """
    if not 0 < power < 1:
        raise ConfigurationError(f"`power` must be in (0, 1), got power={power}. Give a share such as 0.95.")
    return float(brentq(lambda p: float(flag_power(p, test)) - power, 0, 1, xtol=1e-12))


def look_of(drawn: int, looks: Sequence[int]) -> int:
    """Return the number of the look, from 0, that so many drawn generations belong to.

    >>> [look_of(drawn, (4, 8, 16)) for drawn in (1, 4, 5, 16, 20)]
    [0, 0, 1, 2, 2]
    """
    return next((i for i, n in enumerate(looks) if drawn <= n), len(looks) - 1)


def blind_spot_of_outcome(n_generations: int, test: SequentialTest, set_aside: int = 0) -> float:
    """Find the smallest replicating share that the generations of one clean prompt exclude.

    A prompt that is clean at look i had no clique above clean_at[i], and so no more replicas. The share is
    the p with P(Bin(n_generations, p) <= clean_at[i]) = 0.05: with a larger one 95 % would have shown more.

    Args:
        n_generations: generations judged, without those set aside, at least 0.
        test: looks and boundaries.
        set_aside: generations drawn but blank or broken. They count towards the look that was reached.

    Returns:
        The share, in (0, 1]; 1.0 where nothing is excluded.

    Raises:
        ConfigurationError: a count is negative.

    >>> round(blind_spot_of_outcome(4, clique_test((4, 16), 4)), 2)
    0.75
    >>> blind_spot_of_outcome(1, clique_test((4, 16), 4), set_aside=3)
    1.0
    """
    for name, count in (("n_generations", n_generations), ("set_aside", set_aside)):
        if count < 0:
            raise ConfigurationError(f"`{name}` must be 0 or more, got {name}={count}. Give a count.")
    unseen = max(test.clean_at[look_of(n_generations + set_aside, test.looks)], EDGE - 1)
    if n_generations <= unseen:
        return 1.0
    return float(beta.ppf(POWER, unseen + 1, n_generations - unseen))


def _test(looks: Sequence[int], flag_at: Sequence[int], clean_at: Sequence[int]) -> SequentialTest:
    return SequentialTest(looks=tuple(looks), flag_at=tuple(flag_at), clean_at=tuple(clean_at))


def _check_looks(looks: Sequence[int]) -> tuple[int, ...]:
    if not looks or looks[0] < EDGE or not all(a < b for a, b in pairwise(looks)):
        raise ConfigurationError(
            f"`looks` must be strictly increasing from at least 2, got looks={tuple(looks)}. "
            "They are cumulative: (4, 16) is 4 generations, then 12 more."
        )
    return tuple(looks)


def _check_plan(*, blind_spot: float, null_share: float, alpha: float, power: float) -> None:
    if not 0 < null_share < 0.5:
        raise ConfigurationError(
            f"`null_share` must be in (0, 0.5), got {null_share}. Give a share such as 0.05."
        )
    if not null_share < blind_spot < 1:
        raise ConfigurationError(
            f"a blind spot must lie between the share that chance gives ({null_share:g}) and 1, got "
            f"{blind_spot:g}; 0.76 takes 4 generations of most prompts, 0.3 about 16."
        )
    for name, value in (("alpha", alpha), ("power", power)):
        if not 0 < value < 1:
            raise ConfigurationError(f"`{name}` must be in (0, 1), got {name}={value}. Give a share.")
