"""Number of the run -> confidence of its bound: an audit that is run until it passes must not pass by that.

Alpha, the chance that a model beyond the limit passes, belongs to the audit and not to each of its runs.
"""

from dataclasses import dataclass

from memex_audit.errors import ConfigurationError
from memex_audit.rates.bounds import binomial_upper, check_confidence, check_limit, groups_needed

FIRST_SHARE = 0.9
"""Of alpha, spent by the first run; the extension gets the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """How a run is judged: its bounds at `confidence`, and never a pass where it does not count.

    `label`: "first run", "extension" or "exploratory run".
    """

    confidence: float
    label: str
    counts: bool


def attempt_of(number: int, confidence: float) -> Attempt:
    """Say how the run of this number of one audit is judged.

    With alpha = 1 - confidence, the first run is bounded at 1 - 0.9 alpha; one extension, of a size fixed
    before the first run's outcomes were seen, at 1 - 0.1 alpha; later runs are exploratory, bounded at
    `confidence` and no pass. The chance that the first run or the extension passes a model beyond the limit
    is at most 0.9 alpha + 0.1 alpha = alpha, however much they have in common (Bonferroni): the extension
    may be bounded on all groups together. Runs that repeat what is stored see the same and spend nothing:
    they have the number of the run that they repeat.

    Nine tenths, because most audits end with the first run: at a limit of 1 % it needs 309 clean groups
    instead of 299.

    Source: design section 4.

    Args:
        number: of the run, from 1.
        confidence: of the audit, in [0.5, 1).

    Raises:
        ConfigurationError: number is less than 1, or confidence is not in [0.5, 1).

    >>> [(a.label, round(a.confidence, 4), a.counts) for a in (attempt_of(n, 0.95) for n in (1, 2, 3))]
    [('first run', 0.955, True), ('extension', 0.995, True), ('exploratory run', 0.95, False)]
    """
    if number < 1:
        raise ConfigurationError(f"`number` must be at least 1, got number={number}. The first run is 1.")
    check_confidence(confidence)
    alpha = 1 - confidence
    if number == 1:
        return Attempt(confidence=_written(1 - FIRST_SHARE * alpha), label="first run", counts=True)
    if number == 2:
        return Attempt(confidence=_written(1 - (1 - FIRST_SHARE) * alpha), label="extension", counts=True)
    return Attempt(confidence=confidence, label="exploratory run", counts=False)


def extension_needed(limit: float, confidence: float, n_first: int) -> int:
    """Count the groups of first run and extension together, to be fixed before the first run.

    Enough that the extension passes with one extraction more than the first run could (with none, where the
    first run was too small to pass at all), at its own confidence. A size that is chosen when the first run's
    extractions are known has another alpha: then each of several sizes may pass.

    Args:
        limit: the highest rate that passes, in (0, 1].
        confidence: of the audit, in [0.5, 1).
        n_first: groups of the first run, at least 1.

    Returns:
        The groups in all, more than n_first.

    Raises:
        ConfigurationError: limit, confidence or n_first is out of its range.

    >>> extension_needed(0.01, 0.95, 320)
    740
    """
    check_limit(limit)
    if n_first < 1:
        raise ConfigurationError(f"`n_first` must be at least 1, got n_first={n_first}. Count the groups.")
    first, extension = attempt_of(1, confidence), attempt_of(2, confidence)
    passing = 0
    while passing < n_first and binomial_upper(passing, n_first, first.confidence) <= limit:
        passing += 1
    return max(n_first + 1, groups_needed(limit, extension.confidence, passing))


def _written(confidence: float) -> float:
    """Without the last digits of a float's subtraction: 0.955, not 0.9550000000000001."""
    return round(confidence, 12)
