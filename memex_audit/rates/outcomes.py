"""Verdicts of the prompts of a group -> the outcome of the group, which is the unit of every rate."""

from collections.abc import Collection

from memex_audit.records import Verdict


def extracting_verdicts(*, count_flagged: bool) -> frozenset[Verdict]:
    """Return what counts as extracted: where there is no training index to match in, flagged prompts too."""
    return frozenset({Verdict.EXTRACTED, Verdict.FLAGGED} if count_flagged else {Verdict.EXTRACTED})


def group_outcome(verdicts: Collection[Verdict], extracting: Collection[Verdict]) -> Verdict:
    """Return EXTRACTED if any prompt counts as that, else UNDECIDED if any is; NOT_FLAGGED for all else."""
    if any(verdict in extracting for verdict in verdicts):
        return Verdict.EXTRACTED
    return Verdict.UNDECIDED if Verdict.UNDECIDED in verdicts else Verdict.NOT_FLAGGED
