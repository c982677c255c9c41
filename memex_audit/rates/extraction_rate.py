"""Findings -> rate: the share of prompt groups that give training images back, with exact bounds."""

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set

from memex_audit.errors import ConfigurationError
from memex_audit.rates.bounds import binomial_lower, binomial_upper, check_limit
from memex_audit.rates.frames import Stratum, bound_frame
from memex_audit.rates.outcomes import extracting_verdicts, group_outcome
from memex_audit.records import Finding, Frame, FrameStratum, Rate, StratumCount, Verdict

METHOD = "binomial (Clopper-Pearson), one-sided"
"""What a binomial bound speaks of: it knows no size of a frame and no draw from it."""


def extraction_rate(
    findings: Sequence[Finding],
    frame: Frame,
    *,
    limit: float,
    confidence: float,
    blind_spot: float,
    count_flagged: bool = False,
    strata: Sequence[FrameStratum] = (),
) -> Rate:
    """Count extracted prompt groups and bound their rate.

    Prompts of one group are not independent, so the group is the unit. A group is extracted when any of its
    prompts is; else undecided when any of them is. Of g groups, e extracted and u undecided,

        lower = binomial_lower(e, g, confidence),  upper = binomial_upper(e + u, g, confidence):

    an undecided group counts against whichever bound is being claimed, and never leaves the denominator.
    These bounds speak of prompts like these. Where it is known which groups of a frame were drawn, and how,
    the bounds are of the frame's groups instead (rates/frames.py): a census has no sampling error, and of a
    sample that the budget cut short, what was begun is a smaller sample.

    Args:
        findings: one for each audited prompt, at least one.
        frame: the population they come from.
        limit: the highest rate that passes, in (0, 1].
        confidence: of each bound, in [0.5, 1).
        blind_spot: of the protocol, in [0, 1]; recorded with the rate.
        count_flagged: flagged prompts count as extracted: for audits with no training index to match in.
        strata: of the frame, each with the groups that were audited; none where the frame is not known.

    Returns:
        The rate. `extracted`, `flagged`, `undecided` and `near_misses` count prompts by their own verdict,
        whatever count_flagged says; `extracted_groups` and `undecided_groups` are e and u.

    Raises:
        ConfigurationError: there is no finding, or limit, confidence or blind_spot is out of its range.
    """
    if not findings:
        raise ConfigurationError(
            "`findings` must hold at least one finding, got findings=(): a rate of nothing. "
            "Audit at least one prompt."
        )
    check_limit(limit)
    if not 0 <= blind_spot <= 1:
        raise ConfigurationError(
            f"`blind_spot` must be in [0, 1], got blind_spot={blind_spot}. Give a share, not percent."
        )
    outcome_of = _group_outcomes(findings, count_flagged=count_flagged)
    outcomes = list(outcome_of.values())
    groups = len(outcomes)
    extracted_groups = outcomes.count(Verdict.EXTRACTED)
    undecided_groups = outcomes.count(Verdict.UNDECIDED)
    begun = {finding.group_id for finding in findings if finding.generations or finding.set_aside}
    counts = tuple(_count(stratum, outcome_of, begun) for stratum in strata)
    lower = binomial_lower(extracted_groups, groups, confidence)
    upper_of_alike = binomial_upper(extracted_groups + undecided_groups, groups, confidence)
    bound = bound_frame(strata_of(counts), confidence) if counts else None
    verdicts = [finding.verdict for finding in findings]
    return Rate(
        extracted=verdicts.count(Verdict.EXTRACTED),
        flagged=verdicts.count(Verdict.FLAGGED),
        undecided=verdicts.count(Verdict.UNDECIDED),
        near_misses=sum(finding.near_miss for finding in findings),
        prompts=len(findings),
        groups=groups,
        extracted_groups=extracted_groups,
        undecided_groups=undecided_groups,
        generations=sum(finding.generations for finding in findings),
        replicas=sum(finding.replicas for finding in findings),
        lower=bound.lower if bound else lower,
        upper=bound.upper if bound else upper_of_alike,
        confidence=confidence,
        limit=limit,
        frame=frame.description,
        frame_size=frame.size,
        method=bound.method if bound else METHOD,
        blind_spot=blind_spot,
        strata=counts,
        # Of strata that were sampled at different rates, the groups together are like no population.
        upper_of_alike=upper_of_alike if bound and all(c.sampled == c.size for c in counts) else None,
    )


def rate_of_part(findings: Sequence[Finding], *, confidence: float, count_flagged: bool) -> Rate:
    """Count a part of an audit: its bounds are the ends of an exact two-sided interval at `confidence`.

    Clopper and Pearson's: each end is a one-sided bound at (1 + confidence) / 2. A part has no limit.
    """
    return extraction_rate(
        findings,
        Frame(description="a part of the audit set", size=None),
        limit=1.0,
        confidence=(1 + confidence) / 2,
        blind_spot=1.0,
        count_flagged=count_flagged,
    )


def strata_of(counts: Sequence[StratumCount]) -> tuple[Stratum, ...]:
    """Return the strata that bounds are made of."""
    return tuple(
        Stratum(
            size=c.size,
            sampled=c.sampled,
            extracted=c.extracted,
            undecided=c.undecided,
            cut_short=c.cut_short,
        )
        for c in counts
    )


def _count(stratum: FrameStratum, outcome_of: Mapping[str, Verdict], begun: Set[str]) -> StratumCount:
    groups = stratum.group_ids
    # What was begun in the random order of a sample is a smaller sample; in any other order, the rest is
    # undecided.
    n_begun = sum(group in begun for group in groups)
    cut_short = len(groups) < stratum.size and begun >= set(groups[:n_begun]) and n_begun < len(groups)
    if cut_short:
        groups = groups[:n_begun]
    # A group that was to be audited and has no finding is one that is not known.
    outcomes = [outcome_of.get(group, Verdict.UNDECIDED) for group in groups]
    return StratumCount(
        cut_short=cut_short,
        name=stratum.name,
        size=stratum.size,
        sampled=len(outcomes),
        extracted=outcomes.count(Verdict.EXTRACTED),
        undecided=outcomes.count(Verdict.UNDECIDED),
    )


def _group_outcomes(findings: Sequence[Finding], *, count_flagged: bool) -> dict[str, Verdict]:
    extracting = extracting_verdicts(count_flagged=count_flagged)
    verdicts_of: defaultdict[str, set[Verdict]] = defaultdict(set)
    for finding in findings:
        verdicts_of[finding.group_id].add(finding.verdict)
    return {group: group_outcome(verdicts, extracting) for group, verdicts in verdicts_of.items()}
