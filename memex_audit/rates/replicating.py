"""Groups that the protocol extracts -> groups that replicate: what a census and its blind spot leave open."""

from bisect import bisect_left

from scipy.stats import binom

from memex_audit.errors import ConfigurationError
from memex_audit.rates.bounds import check_confidence


def replicating_upper(extracted: int, power: float, confidence: float) -> int:
    """Bound the groups of a frame that replicate, when at most so many of them are extracted.

    A bound of a frame speaks of what the protocol extracts with these seeds. Of R groups that replicate in a
    share at or above the blind spot each is extracted with probability `power` at least, independently of the
    others (seeds follow from the prompt), so

        upper = max {R : P(Bin(R, power) <= extracted) > 1 - confidence}.

    Dividing the bound by the power, as may be done with a binomial bound (where prompts and seeds are both
    drawn anew), is true on average only: 10 / 0.95 is less than 11, and of 11 groups that replicate no more
    than 10 are extracted with a probability of 43 %.

    Where `extracted` is itself a bound at another confidence (of a sample), what the two leave out adds up:
    0.975 each make 0.95.

    Args:
        extracted: groups that are extracted, or a bound on them, at least 0.
        power: probability that a group replicating at the blind spot is extracted, in (0, 1].
        confidence: in [0.5, 1).

    Returns:
        The number of groups, at least `extracted`.

    Raises:
        ConfigurationError: an argument is out of its range.

    >>> [replicating_upper(x, 0.95, 0.95) for x in (0, 3, 10)]
    [0, 4, 12]
    """
    if extracted < 0:
        raise ConfigurationError(f"`extracted` must be 0 or more, got extracted={extracted}. Give a count.")
    if not 0 < power <= 1:
        raise ConfigurationError(f"`power` must be in (0, 1], got power={power}. Give a share such as 0.95.")
    check_confidence(confidence)
    if power == 1:
        return extracted

    def is_rejected(replicating: int) -> bool:
        return bool(binom.cdf(extracted, replicating, power) <= 1 - confidence)

    high = 2 * extracted + 1
    while not is_rejected(high):
        high *= 2
    return bisect_left(range(high), True, extracted, key=is_rejected) - 1
