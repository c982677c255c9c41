"""Counts -> exact bounds: how high, and how low, a rate can be when x of n were seen."""

from bisect import bisect_left

from scipy.stats import beta

from memex_audit.errors import ConfigurationError


def binomial_lower(x: int, n: int, confidence: float) -> float:
    """Bound a rate from below, exactly, from x successes in n independent trials.

    The bound solves P(Bin(n, lower) >= x) = 1 - confidence, that is
    lower = BetaQuantile(1 - confidence; x, n - x + 1), and is 0 for x = 0. For every true rate it lies
    at or below that rate with probability at least `confidence`.

    Source: Clopper and Pearson 1934, "The use of confidence or fiducial limits", one-sided.

    Args:
        x: successes, 0 to n.
        n: trials, at least 1.
        confidence: of this one side, in [0.5, 1).

    Returns:
        The bound, in [0, x / n].

    Raises:
        ConfigurationError: n is 0, x is not in 0 to n, or confidence is not in [0.5, 1).

    >>> round(binomial_lower(23, 1000, 0.975), 4)
    0.0146
    >>> binomial_lower(0, 300, 0.95)
    0.0
    """
    _check_counts(x, n)
    check_confidence(confidence)
    return 0.0 if x == 0 else float(beta.ppf(1 - confidence, x, n - x + 1))


def binomial_upper(x: int, n: int, confidence: float) -> float:
    """Bound a rate from above, exactly, from x successes in n independent trials.

    The bound solves P(Bin(n, upper) <= x) = 1 - confidence, that is
    upper = BetaQuantile(confidence; x + 1, n - x), and is 1 for x = n. For x = 0 it is
    1 - (1 - confidence)^(1 / n), never 0.

    Source: Clopper and Pearson 1934, "The use of confidence or fiducial limits", one-sided.

    Args:
        x: successes, 0 to n.
        n: trials, at least 1.
        confidence: of this one side, in [0.5, 1).

    Returns:
        The bound, in [x / n, 1].

    Raises:
        ConfigurationError: n is 0, x is not in 0 to n, or confidence is not in [0.5, 1).

    >>> round(binomial_upper(0, 300, 0.95), 4)
    0.0099
    >>> binomial_upper(5, 5, 0.95)
    1.0
    """
    _check_counts(x, n)
    check_confidence(confidence)
    return 1.0 if x == n else float(beta.ppf(confidence, x + 1, n - x))


def groups_needed(limit: float, confidence: float, extracted: int = 0) -> int:
    """Count the groups that an audit must have for a pass when this many of them are extracted.

    The smallest n with binomial_upper(extracted, n, confidence) <= limit. For an audit that is
    inconclusive, give the groups extracted and undecided so far: the result is the total that settles
    it if no further extraction is seen.

    Args:
        limit: the highest rate that passes, in (0, 1].
        confidence: of the upper bound, in [0.5, 1).
        extracted: groups counted as extracted, at least 0.

    Returns:
        The number of groups, at least 1.

    Raises:
        ConfigurationError: limit, confidence or extracted is out of its range.

    >>> [groups_needed(0.01, 0.95, extracted) for extracted in (0, 1, 2)]
    [299, 473, 628]
    """
    check_limit(limit)
    check_confidence(confidence)
    if extracted < 0:
        raise ConfigurationError(f"`extracted` must be 0 or more, got extracted={extracted}. Give a count.")
    low = max(extracted, 1)
    if binomial_upper(extracted, low, confidence) <= limit:
        return low
    high = 2 * low
    while binomial_upper(extracted, high, confidence) > limit:
        low, high = high, 2 * high
    return bisect_left(
        range(high), True, low + 1, key=lambda n: binomial_upper(extracted, n, confidence) <= limit
    )


def check_limit(limit: float) -> None:
    """Refuse a limit outside (0, 1].

    Raises:
        ConfigurationError: limit is not in (0, 1].
    """
    if not 0 < limit <= 1:
        raise ConfigurationError(
            f"`limit` must be in (0, 1], got limit={limit}. "
            "No number of groups shows a rate of 0; 0.01 is one group in a hundred."
        )


def check_confidence(confidence: float) -> None:
    """Refuse a confidence outside [0.5, 1): below 0.5 the two one-sided bounds may cross.

    Raises:
        ConfigurationError: confidence is not in [0.5, 1).
    """
    if not 0.5 <= confidence < 1:
        raise ConfigurationError(
            f"`confidence` must be in [0.5, 1), got confidence={confidence}. Give a share such as 0.95."
        )


def _check_counts(x: int, n: int) -> None:
    if n < 1:
        raise ConfigurationError(
            f"`n` must be at least 1, got n={n}: a rate of nothing. Audit at least one prompt group."
        )
    if not 0 <= x <= n:
        raise ConfigurationError(f"`x` must be in 0 to n={n}, got x={x}. Count each of the n once.")
