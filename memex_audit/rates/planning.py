"""Limit and confidence -> how many groups an audit takes, and how likely it then passes."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from scipy.stats import binom, hypergeom

from memex_audit.errors import ConfigurationError
from memex_audit.rates.bounds import binomial_upper, check_limit, groups_needed
from memex_audit.rates.frames import hypergeometric_upper
from memex_audit.rates.two_phase import sample_needed

SHARES_OF_LIMIT = (0.1, 0.5, 1.0)
"""Of the limit: the true rates at which a plan says how likely it passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedAudit:
    """An audit of `groups`, the fewest that pass with up to `allowed` of them extracted.

    `chances`: of a pass, for each of the true rates asked about.
    """

    allowed: int
    groups: int
    chances: tuple[float, ...]


def plan_audits(
    limit: float,
    confidence: float,
    *,
    frame_size: int | None = None,
    allowed: Sequence[int] = (0, 1, 2, 3),
    rates: Sequence[float] | None = None,
) -> tuple[PlannedAudit, ...]:
    """Plan the smallest audits that pass with so many groups extracted.

    More groups cost more and forgive more: with none allowed a model at a tenth of the limit fails to pass
    one time in four.

    Args:
        limit: the highest rate that passes, in (0, 1].
        confidence: of the upper bound, in [0.5, 1).
        frame_size: N, where the rate speaks of a frame of that many groups and a simple random sample of
            them is audited; None for prompts like these.
        allowed: extracted groups.
        rates: true rates, in [0, 1]; by default a tenth, a half and the whole of the limit.

    Returns:
        A plan for each number allowed; in a frame only for those that its limit allows.

    Raises:
        ConfigurationError: limit, confidence or frame_size is out of its range.

    >>> [(plan.groups, round(plan.chances[0], 2)) for plan in plan_audits(0.01, 0.95, allowed=(0, 1))]
    [(299, 0.74), (473, 0.92)]
    >>> [plan.groups for plan in plan_audits(0.01, 0.95, frame_size=1000)]
    [238, 364, 469, 564]
    """
    check_limit(limit)
    asked = [share * limit for share in SHARES_OF_LIMIT] if rates is None else rates
    plans = []
    for x in allowed:
        n = groups_to_pass(limit, confidence, frame_size=frame_size, extracted=x)
        if n is not None:
            chances = tuple(chance_of_at_most(x, n, rate, frame_size=frame_size) for rate in asked)
            plans.append(PlannedAudit(allowed=x, groups=n, chances=chances))
    return tuple(plans)


def groups_to_pass(
    limit: float, confidence: float, *, frame_size: int | None = None, extracted: int = 0
) -> int | None:
    """Count the groups that an audit must have for a pass when so many are extracted.

    `groups_needed` for prompts like these; in a frame the smallest simple random sample.

    Returns:
        The number, or None where a frame's limit does not allow so many extracted groups.

    Raises:
        ConfigurationError: an argument is out of its range.

    >>> groups_to_pass(0.001, 0.95), groups_to_pass(0.001, 0.95, frame_size=5000)
    (2995, 1965)
    """
    if frame_size is None:
        return groups_needed(limit, confidence, extracted)
    _check_frame(frame_size)
    if extracted > frame_size:
        return None
    return sample_needed(limit, confidence, above=0, below=frame_size, extracted_below=extracted)


def chance_of_at_most(x: int, n: int, rate: float, *, frame_size: int | None = None) -> float:
    """Give the probability that at most x of n audited groups are extracted.

    P(Bin(n, rate) <= x) for prompts like these, P(Hyp(N, K, n) <= x) in a frame, whose K = floor(rate * N)
    extracted groups are whole.

    Args:
        x: extracted groups, 0 to n.
        n: audited groups, at most N.
        rate: true rate, in [0, 1].
        frame_size: N, or None for prompts like these.

    Raises:
        ConfigurationError: rate or frame_size is out of its range.

    >>> round(chance_of_at_most(0, 299, 0.01), 3), chance_of_at_most(0, 50, 0.01, frame_size=50)
    (0.05, 1.0)
    """
    if not 0 <= rate <= 1:
        raise ConfigurationError(f"`rate` must be in [0, 1], got rate={rate}. Give a share, not percent.")
    if frame_size is None:
        return float(binom.cdf(x, n, rate))
    return float(hypergeom.cdf(x, frame_size, extracted_in_frame(rate, frame_size), n))


def extracted_in_frame(rate: float, frame_size: int) -> int:
    """Count the extracted groups of a frame at a rate, rounded down: 0.1 of 30 is 3, as it is written.

    >>> extracted_in_frame(0.1, 30), extracted_in_frame(0.001, 320)
    (3, 0)
    """
    _check_frame(frame_size)
    # Ten digits: a tenth of 0.003 is 0.00030000000000000003 in floats, and 0.0003 is meant.
    return floor(Fraction(f"{rate:.10g}") * frame_size)


def bound_if_none_seen(n: int, confidence: float, *, frame_size: int | None = None) -> float:
    """Bound the rate that n audited groups show when none of them is extracted.

    What can be had instead of a proof that nothing is extracted, which no sample gives.

    Raises:
        ConfigurationError: an argument is out of its range.

    >>> round(bound_if_none_seen(320, 0.95), 4), bound_if_none_seen(320, 0.95, frame_size=1000)
    (0.0093, 0.007)
    """
    if frame_size is None:
        return binomial_upper(0, n, confidence)
    _check_frame(frame_size)
    return hypergeometric_upper(0, n, frame_size, confidence) / frame_size


def _check_frame(frame_size: int) -> None:
    if frame_size < 1:
        raise ConfigurationError(
            f"`frame_size` must be at least 1, got frame_size={frame_size}: a rate of nothing."
        )
