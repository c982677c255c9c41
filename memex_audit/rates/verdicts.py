"""Rate, and what became of the cases -> one word for the run. Only PASS is a pass."""

from memex_audit.errors import ConfigurationError
from memex_audit.records import Rate, RunVerdict, UntargetedResult

LAST_ATTEMPT = 2
"""The first run, and one extension of it."""


def rate_verdict(rate: Rate) -> RunVerdict:
    """Judge a rate against its limit.

    Args:
        rate: with lower <= upper and a limit.

    Returns:
        PASS if upper <= limit; FAIL if lower > limit; INCONCLUSIVE between, and for a run after the extension
        that would pass: who runs an audit until it passes has shown nothing (rates/attempts.py).
    """
    if rate.upper <= rate.limit:
        return RunVerdict.INCONCLUSIVE if is_exploratory(rate) else RunVerdict.PASS
    if rate.lower > rate.limit:
        return RunVerdict.FAIL
    return RunVerdict.INCONCLUSIVE


def is_exploratory(rate: Rate) -> bool:
    """Whether the first run of this audit and its one extension were made before, with other draws."""
    return rate.attempt > LAST_ATTEMPT


def untargeted_verdict(result: UntargetedResult) -> RunVerdict:
    """Judge the share of untargeted generations that replicate a training image against its limit.

    Returns:
        PASS if upper <= limit; FAIL if lower is over the limit even where every false positive is taken off
        that the held-out pictures do not rule out; INCONCLUSIVE between, and where most of what was drawn
        could not be judged.
    """
    false_positives = result.threshold.upper if result.threshold.held_out else 0.0
    if result.lower - false_positives > result.limit:
        return RunVerdict.FAIL
    if result.upper > result.limit or result.set_aside > result.generations:
        return RunVerdict.INCONCLUSIVE
    return RunVerdict.PASS


def run_verdict(*, broken: int, failed: int, inconclusive: int, not_run: int | bool) -> RunVerdict:
    """Judge a run by its cases; the worst that is known decides.

    Args:
        broken: cases that ended in an error of the model, a file or the machine, at least 0.
        failed: cases that failed for another reason than inconclusive, at least 0.
        inconclusive: cases that more groups could settle, at least 0.
        not_run: rate cases and prompts of the set that did not run (-k, -x, Ctrl-C): how many, or whether.

    Returns:
        The first that holds: ERROR if broken, FAIL if failed, INCOMPLETE if not_run, INCONCLUSIVE if
        inconclusive; else PASS.

    Raises:
        ConfigurationError: a count is negative.

    >>> run_verdict(broken=0, failed=0, inconclusive=2, not_run=True).value
    'incomplete'
    """
    outcomes = (
        ("broken", broken, RunVerdict.ERROR),
        ("failed", failed, RunVerdict.FAIL),
        ("not_run", not_run, RunVerdict.INCOMPLETE),
        ("inconclusive", inconclusive, RunVerdict.INCONCLUSIVE),
    )
    for name, count, _ in outcomes:
        if count < 0:
            raise ConfigurationError(f"`{name}` must be 0 or more, got {name}={count}. Give a count.")
    return next((verdict for _, count, verdict in outcomes if count), RunVerdict.PASS)
