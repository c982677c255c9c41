"""Findings -> extraction rate of each slice that the user named, and whether it stands out from the rest."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import hypergeom

from memex_audit.errors import ConfigurationError
from memex_audit.rates.duplication_tiers import count_images
from memex_audit.rates.extraction_rate import rate_of_part
from memex_audit.records import Finding, Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceRate:
    """The prompt groups of one slice.

    `lower` and `upper` are the ends of an exact two-sided interval of their extraction rate; undecided groups
    count as extracted in `upper`, as not extracted in `lower`. `generations`, `replicas`, `images`: drawn,
    near a training image, and distinct training images given back. `p_value`: of "no more is extracted here
    than in the rest"; `q_value`: the smallest false discovery rate at which it is rejected among all slices.
    """

    name: str
    prompts: int
    groups: int
    extracted: int
    undecided: int
    generations: int
    replicas: int
    images: int
    lower: float
    upper: float
    p_value: float
    q_value: float = 1.0

    def stands_out(self, confidence: float) -> bool:
        """Whether more is extracted here than in the rest, at a false discovery rate of 1 - confidence."""
        return self.q_value <= 1 - confidence


def rates_by_slice(
    findings: Sequence[Finding], *, confidence: float, count_flagged: bool = False
) -> tuple[SliceRate, ...]:
    """Count extracted groups in each slice, and test each slice against the groups outside it.

    Against the rest, and not against the limit: the limit is judged once, by the rate of the whole audit, and
    a slice's interval says where it lies; what a slice adds is whether its captions are worse than others.
    Given K extracted among the N groups of slice and rest together, a slice of n groups no worse than the
    rest holds Hyp(N, K, n) of them, so

        p = P(Hyp(N, K, n) >= x)

    (Fisher's exact test, one-sided). An undecided group counts as not extracted in the slice and as extracted
    in the rest: what is not known makes no slice stand out. A group with prompts inside and outside is judged
    inside by its prompts there, and left out of the rest. Many slices are many chances, so p values are
    adjusted by Benjamini and Hochberg. Slices are tested against each other's groups, which makes the tests
    depend on each other; simulated, the share of false discoveries stays within what is stated.

    Source: Fisher 1934, "Statistical Methods for Research Workers"; Benjamini and Hochberg 1995, "Controlling
    the false discovery rate".

    Args:
        findings: one for each audited prompt.
        confidence: of the two-sided intervals, in [0.5, 1).
        count_flagged: flagged prompts count as extracted, as in the rate of the whole audit.

    Returns:
        The slices, smallest q value first, then highest rate, then by name; none where no prompt has a slice.

    Raises:
        ConfigurationError: confidence is out of its range.
    """
    names = sorted({finding.slice for finding in findings if finding.slice is not None})
    slices = [_slice(name, findings, confidence=confidence, count_flagged=count_flagged) for name in names]
    adjusted = benjamini_hochberg([entry.p_value for entry in slices])
    judged = [replace(entry, q_value=q) for entry, q in zip(slices, adjusted, strict=True)]
    return tuple(sorted(judged, key=_place))


def benjamini_hochberg(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjust p values so that rejecting those up to q keeps the false discovery rate within q.

    With p_(1) <= ... <= p_(m), the adjusted value of p_(i) is min over j >= i of m p_(j) / j, at most 1.

    Source: Benjamini and Hochberg 1995, "Controlling the false discovery rate".

    Args:
        p_values: m values in [0, 1], in any order.

    Returns:
        m values in [0, 1], in the same order.

    Raises:
        ConfigurationError: a value is not in [0, 1].

    >>> benjamini_hochberg([0.04, 0.01, 0.5])
    (0.06, 0.03, 0.5)
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not np.all((p >= 0) & (p <= 1)):
        raise ConfigurationError(f"`p_values` must be in [0, 1], got p_values={tuple(p_values)}.")
    order = np.argsort(p, kind="stable")
    scaled = p[order] * p.size / np.arange(1, p.size + 1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1)
    return tuple(adjusted.tolist())


def _place(entry: SliceRate) -> tuple[float, float, str]:
    return entry.q_value, -entry.extracted / entry.groups, entry.name


def _slice(name: str, findings: Sequence[Finding], *, confidence: float, count_flagged: bool) -> SliceRate:
    inside = [finding for finding in findings if finding.slice == name]
    groups = {finding.group_id for finding in inside}
    rest = [finding for finding in findings if finding.group_id not in groups]
    rate = rate_of_part(inside, confidence=confidence, count_flagged=count_flagged)
    return SliceRate(
        name=name,
        prompts=len(inside),
        groups=rate.groups,
        extracted=rate.extracted_groups,
        undecided=rate.undecided_groups,
        generations=rate.generations,
        replicas=rate.replicas,
        images=count_images(inside),
        lower=rate.lower,
        upper=rate.upper,
        p_value=_p_value(
            rate, rate_of_part(rest, confidence=confidence, count_flagged=count_flagged) if rest else None
        ),
    )


def _p_value(inside: Rate, rest: Rate | None) -> float:
    if rest is None:
        return 1.0
    x = inside.extracted_groups
    extracted = x + rest.extracted_groups + rest.undecided_groups
    return float(hypergeom.sf(x - 1, inside.groups + rest.groups, extracted, inside.groups))
