"""Strata of a frame -> bounds: how many of N known groups are extracted, when only some were audited.

The outcomes of the N groups are fixed (prompt, seeds and model decide them); what is random is which groups
were drawn. So the bounds hold whatever the screen that made the strata is worth, however the prompts of a
group depend on each other, and however alike the groups are.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import comb
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln, logsumexp

from memex_audit.errors import ConfigurationError
from memex_audit.rates.bounds import check_confidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLOAT_BAND = 1e-5
"""Relative distance to alpha within which a probability in floats is recomputed in integers.

Measured against integers, floats are off by 1e-8 at N = 10^6 and by 1e-6 at N = 10^8.
"""


def hypergeometric_upper(x: int, n: int, size: int, confidence: float) -> int:
    """Bound the extracted groups among N from above, exactly, from x among n drawn without replacement.

    The largest K that the draw does not reject,

        upper = max {K : P(Hyp(N, K, n) <= x) > 1 - confidence},

    which is x for a census (n = N) and N for no draw (n = 0). Whatever K is, the bound lies at or above it
    with probability at least `confidence`.

    Source: Buonaccorsi 1987, "A note on confidence intervals for proportions in finite populations"; Wright
    1991, "Exact confidence bounds when sampling from small finite universes", one-sided.

    Args:
        x: extracted groups in the draw, 0 to n.
        n: groups drawn, 0 to N.
        size: N, groups that there are, at least 0.
        confidence: of this one side, in [0.5, 1).

    Returns:
        The number of groups, in x to N - n + x.

    Raises:
        ConfigurationError: n is not in 0 to N, x is not in 0 to n, or confidence is not in [0.5, 1).

    >>> hypergeometric_upper(0, 298, 5000, 0.95), hypergeometric_upper(0, 50, 50, 0.95)
    (48, 0)
    """
    _check_draw(x, n, size)
    check_confidence(confidence)
    if n == 0:  # nothing was drawn, and nothing is rejected
        return size
    # The first K that is rejected, less one; x itself never is.
    every = range(size - n + x + 1)
    return bisect_left(every, True, x + 1, key=lambda k: not _is_plausible(k, x, n, size, confidence)) - 1


def hypergeometric_lower(x: int, n: int, size: int, confidence: float) -> int:
    """Bound the extracted groups among N from below, exactly, from x among n drawn without replacement.

    The smallest K with P(Hyp(N, K, n) >= x) > 1 - confidence. What is not extracted is bounded from above by
    the same draw, so lower = N - hypergeometric_upper(n - x, n, N, confidence).

    Source: as for hypergeometric_upper.

    Args:
        x: extracted groups in the draw, 0 to n.
        n: groups drawn, 0 to N.
        size: N, groups that there are, at least 0.
        confidence: of this one side, in [0.5, 1).

    Returns:
        The number of groups, in x to N - n + x: those that were seen are there.

    Raises:
        ConfigurationError: n is not in 0 to N, x is not in 0 to n, or confidence is not in [0.5, 1).

    >>> hypergeometric_lower(5, 100, 1000, 0.95), hypergeometric_lower(3, 50, 50, 0.95)
    (21, 3)
    """
    _check_draw(x, n, size)
    return size - hypergeometric_upper(n - x, n, size, confidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """Groups of a frame that were set apart before any outcome was known, and what was drawn of them.

    `size`: N_h groups. `sampled`: n_h of them, a simple random sample: the first n_h of a random order, none
    of them left out and none behind them counted. `extracted`, `undecided`: of the sampled ones. `cut_short`:
    a budget ended the sample; it is said, and changes no bound (bound_frame). Where every group was begun and
    some were not finished, the stratum is a census with those undecided.
    """

    size: int
    sampled: int
    extracted: int
    undecided: int = 0
    cut_short: bool = False

    def __post_init__(self) -> None:
        _check_draw(self.extracted, self.sampled, self.size)
        if not 0 <= self.undecided <= self.sampled - self.extracted:
            raise ConfigurationError(
                f"`undecided` must be in 0 to {self.sampled - self.extracted}, the sampled groups that are "
                f"not extracted, got undecided={self.undecided}. A group has one outcome."
            )

    @property
    def is_census(self) -> bool:
        """Whether every group was begun, so that there is no sampling error."""
        return self.sampled == self.size

    def lower(self, confidence: float) -> int:
        """Bound its extracted groups from below; undecided ones count as not extracted."""
        return hypergeometric_lower(self.extracted, self.sampled, self.size, confidence)

    def upper(self, confidence: float) -> int:
        """Bound its extracted groups from above; undecided ones count as extracted."""
        return hypergeometric_upper(self.extracted + self.undecided, self.sampled, self.size, confidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameBound:
    """Bounds on the share of a frame's groups that are extracted.

    `lower` and `upper` are `lower_groups` and `upper_groups` of `size`, each one-sided at `confidence`.
    `sampled`, `extracted` and `undecided` are sums over the strata. `method` says in words what was done.
    """

    lower: float
    upper: float
    lower_groups: int
    upper_groups: int
    size: int
    sampled: int
    extracted: int
    undecided: int
    confidence: float
    method: str


def bound_frame(strata: Sequence[Stratum], confidence: float) -> FrameBound:
    """Bound the share of a frame's groups that are extracted, from its strata.

    With s strata that are no census, alpha = 1 - confidence is split evenly among them,

        upper = sum over h of hypergeometric_upper(x_h + u_h, n_h, N_h, 1 - alpha / s) / N,

    and lower likewise without the undecided u_h; a census gives x_h + u_h and x_h, and spends nothing. The
    chance that any of the s bounds fails is at most the sum of theirs, alpha, whether their draws are
    independent or not (Bonferroni); with independent draws 1 - confidence^(1 / s) could be spent on each:
    0.0253 instead of 0.025 for two, and a bound about 0.3 % lower.

    A budget may end a sample: groups are finished one by one in random order, until the sum of what they cost
    (nothing negative) reaches it. Both bounds then hold as they are, though extracted groups may cost more
    than others, or less. Fix the order within the extracted groups and within the others: audits that go on
    fill a region of the plane (others, extracted) with a border that never rises. If x is the largest count
    at which any audit ends with an upper bound below the true K, and n the smallest sample that gives that
    bound, then every audit that ends too low has at most x among its first n, or would if it went on; so all
    of them together have probability P(Hyp(N, K, n) <= x) <= alpha. The lower bound follows by exchanging
    extracted and others. The group that the budget ended in may count as undecided or be left out. Groups
    of one batch must all count: undecided, where the batch was not finished.

    Which strata are cut short must not depend on draws in others, or the split of alpha would: give each its
    own budget, or finish the censuses first.

    Source: design section 4; Cochran 1977, "Sampling Techniques", chapter 5, for strata.

    Args:
        strata: that make up the frame, with at least one group in all.
        confidence: of each bound, in [0.5, 1).

    Returns:
        The bound, with 0 <= lower <= upper <= 1; upper is at least (extracted + undecided) / N.

    Raises:
        ConfigurationError: the strata hold no group, or confidence is not in [0.5, 1).

    >>> census = Stratum(size=250, sampled=250, extracted=3)
    >>> bound = bound_frame((census, Stratum(size=4750, sampled=310, extracted=0)), 0.95)
    >>> bound.upper_groups, bound.upper
    (47, 0.0094)
    """
    check_confidence(confidence)
    size = sum(stratum.size for stratum in strata)
    if size < 1:
        raise ConfigurationError(
            f"`strata` must hold at least one group, got {len(strata)} strata of {size} groups: "
            "a rate of nothing. Audit at least one prompt group."
        )
    n_sampled_strata = sum(not stratum.is_census for stratum in strata)
    each = 1 - (1 - confidence) / max(n_sampled_strata, 1)
    lower_groups = sum(stratum.lower(each) for stratum in strata)
    upper_groups = sum(stratum.upper(each) for stratum in strata)
    return FrameBound(
        lower=lower_groups / size,
        upper=upper_groups / size,
        lower_groups=lower_groups,
        upper_groups=upper_groups,
        size=size,
        sampled=sum(stratum.sampled for stratum in strata),
        extracted=sum(stratum.extracted for stratum in strata),
        undecided=sum(stratum.undecided for stratum in strata),
        confidence=confidence,
        method=_method(strata, n_sampled_strata),
    )


def groups_that_settle(strata: Sequence[Stratum], limit: float, confidence: float) -> int | None:
    """Count the groups to audit in all, so that the frame passes if no further one is extracted.

    The largest sample is made larger, up to a census of its stratum.

    Args:
        strata: as they were audited.
        limit: the highest rate that passes, in (0, 1].
        confidence: of the upper bound, in [0.5, 1).

    Returns:
        The number of groups; None where even a census of that stratum would not pass.

    >>> groups_that_settle([Stratum(size=1000, sampled=100, extracted=0)], 0.01, 0.95)
    238
    """
    widest = max(range(len(strata)), key=lambda i: strata[i].size - strata[i].sampled)
    others = [stratum for i, stratum in enumerate(strata) if i != widest]

    def passes(sampled: int) -> bool:
        larger = replace(strata[widest], sampled=sampled)
        return bound_frame((*others, larger), confidence).upper <= limit

    least, most = strata[widest].sampled, strata[widest].size
    if not passes(most):
        return None
    return bisect_left(range(most), True, least, key=passes) + sum(stratum.sampled for stratum in others)


def _method(strata: Sequence[Stratum], n_sampled_strata: int) -> str:
    """Say in words how the strata were bounded."""
    censuses = sum(stratum.size for stratum in strata if stratum.is_census)
    if n_sampled_strata == 0:
        return f"census of all {censuses:,} groups, no sampling error"
    samples = [stratum for stratum in strata if not stratum.is_census]
    parts = [f"census of {censuses:,} groups"] if censuses else []
    parts += [
        f"simple random sample of {stratum.sampled:,} of {stratum.size:,}"
        + (", cut short by the budget" if stratum.cut_short else "")
        for stratum in samples
    ]
    split = f", alpha split in {n_sampled_strata}" if n_sampled_strata > 1 else ""
    return f"{'; '.join(parts)}; hypergeometric, one-sided{split}"


def _is_plausible(extracted: int, x: int, n: int, size: int, confidence: float) -> bool:
    """Whether P(Hyp(N, extracted, n) <= x) > 1 - confidence, in integers where floats are too close."""
    alpha = 1 - confidence
    seen = np.arange(max(0, n - (size - extracted)), min(x, extracted) + 1)
    log_terms = _log_comb(extracted, seen) + _log_comb(size - extracted, n - seen)
    probability = float(np.exp(logsumexp(log_terms) - _log_comb(size, n)))
    if abs(probability - alpha) > FLOAT_BAND * alpha:
        return probability > alpha
    ways = sum(comb(extracted, int(k)) * comb(size - extracted, n - int(k)) for k in seen)
    # The confidence as it is written: 1 - 0.95 is 1/20, not its nearest float.
    return ways > (1 - Fraction(repr(float(confidence)))) * comb(size, n)


def _log_comb(n: int, k: "int | NDArray[np.int64]") -> "NDArray[np.float64]":
    return np.asarray(gammaln(np.add(n, 1)) - gammaln(np.add(k, 1)) - gammaln(np.subtract(n, k) + 1))


def _check_draw(x: int, n: int, size: int) -> None:
    if not 0 <= n <= size:
        raise ConfigurationError(
            f"`n` must be in 0 to {size}, the groups that there are, got n={n}. Draw without replacement."
        )
    if not 0 <= x <= n:
        raise ConfigurationError(f"`x` must be in 0 to n={n}, got x={x}. Count each of the n once.")
