"""Two audits of the same prompts -> what is newly extracted, what no longer is, and the rates' difference."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from memex_audit.rates.outcomes import extracting_verdicts, group_outcome
from memex_audit.records import Finding, Unit, Verdict

LEAST_SHARE_OF_A_REPLICA = 0.5
"""From a baseline without an edge, this share of agreeing generations is new, whatever a test can show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptOutcome:
    """What an audit found for one prompt, in the figures that two audits are compared by.

    `images`: digests of the training images that came back, where the rate counts these one by one.
    """

    prompt_id: str
    group_id: str
    verdict: Verdict
    generations: int
    clique_size: int
    replicas: int
    images: tuple[str, ...] = ()

    @property
    def agreeing(self) -> int:
        """Generations that give the same picture: the clique, or those near a training image if more."""
        return max(self.clique_size, self.replicas)


class Change(StrEnum):
    """What became of a prompt between two audits."""

    NEWLY_EXTRACTED = "newly extracted"
    CHANGED = "changed"
    NO_LONGER_EXTRACTED = "no longer extracted"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptChange:
    """A prompt whose verdict changed: agreeing generations of those judged, before and after.

    NEWLY_EXTRACTED: the evidence is beyond chance; CHANGED: it is extracted now and was not, which a prompt
    that replicates as often as before may do. `p_value`: of Fisher's one-sided test of the two shares.
    """

    prompt_id: str
    change: Change
    agreeing_before: int
    generations_before: int
    agreeing_after: int
    generations_after: int
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How a later audit differs from an earlier one of the same prompts.

    `pairs`: units that both decided; `newly`, `no_longer`: those extracted in the later, or the earlier, one
    only; `both`: in both. `undecided`: units that one of them left open. `p_value`: two-sided, `p_higher`:
    one-sided, of McNemar's exact test. `lower`, `upper`: of the difference of the rates, later minus earlier,
    at `confidence`; None without a pair. `missing`: prompts of the earlier audit that the later one's set has
    no more; `unaudited`: those it has, and did not come to; `added`: prompts that are new.
    """

    unit: Unit
    pairs: int
    newly: int
    no_longer: int
    both: int
    undecided: int
    p_value: float
    p_higher: float
    lower: float | None
    upper: float | None
    confidence: float
    changes: tuple[PromptChange, ...]
    missing: tuple[str, ...]
    unaudited: tuple[str, ...]
    added: tuple[str, ...]

    @property
    def difference(self) -> float:
        """The later rate minus the earlier one, over the pairs; 0 without a pair."""
        return (self.newly - self.no_longer) / self.pairs if self.pairs else 0.0

    @property
    def rate_is_higher(self) -> bool:
        """Whether the later rate is higher beyond chance."""
        return self.p_higher <= 1 - self.confidence

    def of_kind(self, change: Change) -> tuple[PromptChange, ...]:
        """Return the prompts that changed so."""
        return tuple(entry for entry in self.changes if entry.change is change)

    @property
    def regressed(self) -> bool:
        """Whether the later audit is worse, or covers less."""
        return bool(self.rate_is_higher or self.missing or self.of_kind(Change.NEWLY_EXTRACTED))


def outcome_of(finding: Finding, images: Sequence[str] = ()) -> PromptOutcome:
    """Return what of a finding two audits are compared by."""
    return PromptOutcome(
        prompt_id=finding.prompt_id,
        group_id=finding.group_id,
        verdict=finding.verdict,
        generations=finding.generations,
        clique_size=finding.clique_size,
        replicas=finding.replicas,
        images=tuple(images),
    )


def compare_outcomes(
    before: Sequence[PromptOutcome],
    after: Sequence[PromptOutcome],
    *,
    confidence: float,
    count_flagged: bool,
    audit_set: Collection[str] | None = None,
    n_images: int | None = None,
) -> Comparison:
    """Compare two audits over the prompts that both have.

    Rates are compared on prompt groups, as the later audit groups them: a group is extracted when any of its
    prompts is, else undecided when any is. A prompt that is extracted now and was not is newly extracted
    when Fisher's exact test of its agreeing generations rejects at (1 - confidence) / prompts, or when none
    agreed before and half of them do now (a baseline that stopped early has too few for any test).

    Args:
        before: of the earlier audit.
        after: of the later one.
        confidence: of the tests and of the interval of the difference.
        count_flagged: flagged prompts count as extracted: for audits without a training set.
        audit_set: ids of the prompts that the later audit is of; default: those it came to.
        n_images: training images, where the rate counts these: then they are the units.
    """
    # What only reads a comparison must not load scipy.
    from memex_audit.rates.paired import difference_interval, mcnemar_p, mcnemar_p_higher

    earlier = {outcome.prompt_id: outcome for outcome in before}
    later = {outcome.prompt_id: outcome for outcome in after}
    extracting = extracting_verdicts(count_flagged=count_flagged)
    shared = [(earlier[name], later[name]) for name in later if name in earlier]
    found = _image_pairs(shared, n_images) if n_images is not None else _group_pairs(shared, extracting)
    lower, upper = (
        difference_interval(found.newly, found.no_longer, found.pairs, confidence)
        if found.pairs
        else (None, None)
    )
    known = set(later if audit_set is None else audit_set)
    return Comparison(
        unit=Unit.PROMPT_GROUP if n_images is None else Unit.TRAINING_IMAGE,
        pairs=found.pairs,
        newly=found.newly,
        no_longer=found.no_longer,
        both=found.both,
        undecided=found.undecided,
        p_value=mcnemar_p(found.newly, found.no_longer),
        p_higher=mcnemar_p_higher(found.newly, found.no_longer),
        lower=lower,
        upper=upper,
        confidence=confidence,
        changes=_changes(shared, extracting, (1 - confidence) / max(1, len(shared))),
        missing=tuple(name for name in earlier if name not in known),
        unaudited=tuple(name for name in earlier if name in known and name not in later),
        added=tuple(name for name in later if name not in earlier),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pairs:
    pairs: int
    newly: int
    no_longer: int
    both: int
    undecided: int


def _group_pairs(
    shared: Sequence[tuple[PromptOutcome, PromptOutcome]], extracting: Collection[Verdict]
) -> _Pairs:
    verdicts: defaultdict[str, tuple[set[Verdict], set[Verdict]]] = defaultdict(lambda: (set(), set()))
    for before, after in shared:
        of_before, of_after = verdicts[after.group_id]
        of_before.add(before.verdict)
        of_after.add(after.verdict)
    outcomes = [tuple(group_outcome(side, extracting) for side in both) for both in verdicts.values()]
    clean, extracted = Verdict.NOT_FLAGGED, Verdict.EXTRACTED
    undecided = sum(Verdict.UNDECIDED in outcome for outcome in outcomes)
    return _Pairs(
        pairs=len(outcomes) - undecided,
        newly=outcomes.count((clean, extracted)),
        no_longer=outcomes.count((extracted, clean)),
        both=outcomes.count((extracted, extracted)),
        undecided=undecided,
    )


def _image_pairs(shared: Sequence[tuple[PromptOutcome, PromptOutcome]], n_images: int) -> _Pairs:
    before = {image for outcome, _ in shared for image in outcome.images}
    after = {image for _, outcome in shared for image in outcome.images}
    return _Pairs(
        pairs=max(n_images, len(before | after)),
        newly=len(after - before),
        no_longer=len(before - after),
        both=len(before & after),
        undecided=0,
    )


def _changes(
    shared: Sequence[tuple[PromptOutcome, PromptOutcome]], extracting: Collection[Verdict], alpha: float
) -> tuple[PromptChange, ...]:
    changed = []
    for before, after in shared:
        was, now = before.verdict in extracting, after.verdict in extracting
        if was == now or after.verdict is Verdict.UNDECIDED:
            continue
        changed.append(_change(before, after, now=now, alpha=alpha))
    order: Mapping[Change, int] = {change: place for place, change in enumerate(Change)}
    return tuple(sorted(changed, key=lambda entry: (order[entry.change], entry.p_value, entry.prompt_id)))


def _change(before: PromptOutcome, after: PromptOutcome, *, now: bool, alpha: float) -> PromptChange:
    from memex_audit.rates.paired import share_p_higher

    p_value = share_p_higher(before.agreeing, before.generations, after.agreeing, after.generations)
    change = Change.NO_LONGER_EXTRACTED
    if now:
        no_edge = before.agreeing <= 1 and before.verdict is not Verdict.UNDECIDED
        new = no_edge and after.agreeing >= LEAST_SHARE_OF_A_REPLICA * after.generations
        change = Change.NEWLY_EXTRACTED if new or p_value <= alpha else Change.CHANGED
    return PromptChange(
        prompt_id=before.prompt_id,
        change=change,
        agreeing_before=before.agreeing,
        generations_before=before.generations,
        agreeing_after=after.agreeing,
        generations_after=after.generations,
        p_value=p_value,
    )
