"""Findings -> extraction rate by duplication count: what is duplicated more is given back more often."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from memex_audit.rates.extraction_rate import rate_of_part
from memex_audit.records import Finding, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicationTier:
    """The prompt groups with `lowest` to `highest` near-copies in the training set.

    `lower` and `upper` are the ends of an exact two-sided interval of their extraction rate; undecided
    groups count as extracted in `upper`, as not extracted in `lower`. `generations`, `replicas`: of their
    prompts, all that were judged and those near a training image; `images`: see count_images.
    """

    lowest: int
    highest: int
    groups: int
    extracted: int
    undecided: int
    lower: float
    upper: float
    generations: int = 0
    replicas: int = 0
    images: int = 0

    @property
    def name(self) -> str:
        """The counts it spans: `1`, `2-3`, `4-7`."""
        return f"{self.lowest}" if self.lowest == self.highest else f"{self.lowest}-{self.highest}"


def rates_by_duplication(
    findings: Sequence[Finding], *, confidence: float, count_flagged: bool = False
) -> tuple[DuplicationTier, ...]:
    """Count extracted groups by how often their images stand in the training set.

    Tier t holds the groups whose largest duplication count c has 2^t <= c < 2^(t+1): counts span orders of
    magnitude. A tier's interval is that of Clopper and Pearson: each end is a one-sided bound at
    (1 + confidence) / 2.

    Args:
        findings: one for each audited prompt.
        confidence: of the two-sided interval, in [0.5, 1).
        count_flagged: flagged prompts count as extracted, as in the rate of the whole audit.

    Returns:
        The tiers that hold a group, lowest first.

    Raises:
        ConfigurationError: confidence is out of its range.
    """
    counts: defaultdict[str, int] = defaultdict(int)
    for finding in findings:
        counts[finding.group_id] = max(counts[finding.group_id], finding.duplication_count)
    tiers: defaultdict[int, list[Finding]] = defaultdict(list)
    for finding in findings:
        tiers[max(1, counts[finding.group_id]).bit_length() - 1].append(finding)
    return tuple(
        _tier(2**number, tiers[number], confidence=confidence, count_flagged=count_flagged)
        for number in sorted(tiers)
    )


def count_images(findings: Sequence[Finding]) -> int:
    """Count the distinct training images that prompts gave back.

    Those that an extracted prompt's match names, and those that the rate counts one by one; a second image of
    a prompt whose images are not named is not counted.
    """
    named = {image.example_id for finding in findings for image in finding.images}
    matched = {
        finding.match.example_id
        for finding in findings
        if finding.match is not None and finding.verdict is Verdict.EXTRACTED
    }
    return len(named | matched)


def _tier(
    lowest: int, findings: Sequence[Finding], *, confidence: float, count_flagged: bool
) -> DuplicationTier:
    rate = rate_of_part(findings, confidence=confidence, count_flagged=count_flagged)
    return DuplicationTier(
        lowest=lowest,
        highest=2 * lowest - 1,
        groups=rate.groups,
        extracted=rate.extracted_groups,
        undecided=rate.undecided_groups,
        lower=rate.lower,
        upper=rate.upper,
        generations=rate.generations,
        replicas=rate.replicas,
        images=count_images(findings),
    )
