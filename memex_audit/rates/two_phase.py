"""Screen scores -> strata: the suspicious groups are all audited, and of the others a random sample.

A screen costs a hundredth of an audit and decides nothing. It says where to look first: if it is good, the
sample below its cut is clean and may be small; if it is worthless the bound is wide, and still true.
"""

import hashlib
import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from memex_audit.errors import ConfigurationError
from memex_audit.rates.bounds import check_limit
from memex_audit.rates.frames import hypergeometric_upper
from memex_audit.records import AuditPrompt


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoPhase:
    """A frame in two strata, each in a random order of its own.

    `above`: groups whose score is at least `cut`, to be audited all; `below`: the others, of which the first
    n are a simple random sample of n. Both orders follow from `seed` and the group ids, so an audit that a
    budget ends has audited a simple random sample of `above` too.
    """

    above: tuple[str, ...]
    below: tuple[str, ...]
    cut: float
    seed: int

    @property
    def size(self) -> int:
        """Groups of the frame."""
        return len(self.above) + len(self.below)


def group_scores(prompts: Sequence[AuditPrompt], scores: Mapping[str, float]) -> dict[str, float]:
    """Give each group its screen score: the largest of its prompts'.

    A prompt that has no score, or NaN, scores infinity: what was not screened is audited.

    Args:
        prompts: of the frame.
        scores: by prompt id, larger where a replica is more likely.

    >>> prompt = AuditPrompt(prompt_id="p", text="a cat", group_id="g", duplication_count=2)
    >>> group_scores([prompt], {"p": 0.5}), group_scores([prompt], {})
    ({'g': 0.5}, {'g': inf})
    """
    found: dict[str, float] = {}
    for prompt in prompts:
        score = scores.get(prompt.prompt_id, math.inf)
        score = math.inf if math.isnan(score) else score
        found[prompt.group_id] = max(score, found.get(prompt.group_id, -math.inf))
    return found


def cut_at_share(scores: Iterable[float], share: float) -> float:
    """Find the cut above which about a share of the groups lies: where no screen was calibrated.

    The smallest score that at most floor(share * N) groups reach, so ties never widen the census.

    Args:
        scores: of the N groups, at least one.
        share: of the groups, in [0, 1].

    Returns:
        The cut; infinity where no score can be one: a share of 0, or ties as wide as the share.

    Raises:
        ConfigurationError: there is no score, or share is not in [0, 1].

    >>> cut_at_share([0.1, 0.4, 0.2, 0.3], 0.5), cut_at_share([1.0, 1.0, 0.0], 0.5)
    (0.3, inf)
    """
    ranked = sorted(scores, reverse=True)
    if not ranked:
        raise ConfigurationError("`scores` must hold at least one score, got none. Screen the prompts first.")
    if not 0 <= share <= 1:
        raise ConfigurationError(f"`share` must be in [0, 1], got share={share}. Give a share, not percent.")
    room = math.floor(share * len(ranked))
    if room == len(ranked):
        return ranked[-1]
    inside = [score for score in ranked[:room] if score > ranked[room]]
    return inside[-1] if inside else math.inf


def split_frame(scores: Mapping[str, float], *, cut: float, seed: int) -> TwoPhase:
    """Divide a frame by screen score, and bring each part into a random order.

    The cut must be fixed before an outcome is seen, and so must the seed: both may depend on the scores.

    Args:
        scores: by group id, from `group_scores`.
        cut: groups that reach it are `above`.
        seed: of both orders; recorded with the audit.

    Raises:
        ConfigurationError: there is no group, or the cut is NaN.

    >>> split = split_frame({"a": 0.1, "b": 0.9, "c": 0.2}, cut=0.5, seed=0)
    >>> split.above, len(split.below)
    (('b',), 2)
    """
    if not scores:
        raise ConfigurationError("`scores` must hold at least one group, got none. Screen the prompts first.")
    if math.isnan(cut):
        raise ConfigurationError("`cut` must be a number, got cut=nan. Take a calibrated threshold.")
    return TwoPhase(
        above=random_order((group for group, score in scores.items() if score >= cut), seed),
        below=random_order((group for group, score in scores.items() if score < cut), seed),
        cut=cut,
        seed=seed,
    )


def random_order(group_ids: Iterable[str], seed: int) -> tuple[str, ...]:
    """Bring groups into the order of SHA-256(seed, 0x00, group id).

    Why this is a simple random order: a hash of 256 bits gives each id a number as good as drawn evenly
    and independently of whatever the id stands for, and independent draws from one distribution come in each
    order with the same probability. So the first n are a simple random sample, for each n at once. It is
    one as long as nobody chose the seed, or named the groups, with a look at the hashes or the outcomes: a
    seed is fixed beforehand. Beside a shuffle it has two merits: the order of the input changes nothing, and
    a group that comes or goes moves no other, so the next checkpoint's sample is nearly this one.

    Args:
        group_ids: distinct.
        seed: of the order.

    >>> random_order(["a", "b", "c"], 0) == random_order(["c", "a", "b"], 0)
    True
    """
    return tuple(sorted(group_ids, key=lambda group: _hash(seed, group)))


def sample_needed(
    limit: float,
    confidence: float,
    *,
    above: int,
    below: int,
    extracted_above: int = 0,
    extracted_below: int = 0,
) -> int | None:
    """Count the groups to sample below the cut so that the frame passes.

    With the `above` groups all audited, e of them extracted (or undecided), and x expected in the sample,

        smallest n with (e + hypergeometric_upper(x, n, below, confidence)) / (above + below) <= limit.

    It may be found once the outcomes above the cut are known: the sample below is drawn independently. It
    may not be raised after a look at the sample; for that see rates/attempts.py.

    Args:
        limit: the highest rate that passes, in (0, 1].
        confidence: of the upper bound, in [0.5, 1).
        above: groups above the cut, at least 0.
        below: groups below it, at least 0; one at least in all.
        extracted_above: e, 0 to `above`.
        extracted_below: x, 0 to `below`.

    Returns:
        The number of groups, x to `below`; None where no sample passes, since more are extracted already than
        the limit allows in a frame of this size.

    Raises:
        ConfigurationError: an argument is out of its range.

    >>> [sample_needed(0.01, 0.95, above=250, below=4750, extracted_above=e) for e in (0, 20, 51)]
    [270, 437, None]
    """
    check_limit(limit)
    size = above + below
    _check_count("above", above, None)
    _check_count("below", below, None)
    _check_count("extracted_above", extracted_above, above)
    _check_count("extracted_below", extracted_below, below)
    if size < 1:
        raise ConfigurationError("a frame must hold at least one group, got none: a rate of nothing.")

    def passes(n: int) -> bool:
        return (extracted_above + hypergeometric_upper(extracted_below, n, below, confidence)) / size <= limit

    return bisect_left(range(below), True, extracted_below, key=passes) if passes(below) else None


def _hash(seed: int, group: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{group}".encode("utf-8", "surrogatepass")).digest()


def _check_count(name: str, count: int, most: int | None) -> None:
    if count < 0 or (most is not None and count > most):
        rule = "0 or more" if most is None else f"in 0 to {most}"
        raise ConfigurationError(f"`{name}` must be {rule}, got {name}={count}. Give a count of groups.")
