"""Rate -> words. Each is worded once, here, for every report and failure."""

from memex_audit.explain import counted, percent, percent_beside, with_repeat
from memex_audit.rates.verdicts import LAST_ATTEMPT, is_exploratory, rate_verdict
from memex_audit.records import Rate, RunVerdict, Unit


def rate_sentence(rate: Rate) -> str:
    """Say a rate in one sentence: counts, bounds, limit, blind spot, and why it counts what it counts."""
    counts = f"{rate.extracted_groups:,} of {units(rate, rate.groups)} extracted"
    if rate.undecided_groups:
        counts += f", {rate.undecided_groups:,} undecided"
    said = [counts, _bounds(rate), f"limit {percent(rate.limit)}", f"blind to {blind_to(rate)}"]
    return "; ".join([*said, *([rate.unit_reason] if rate.unit_reason else [])])


def units(rate: Rate, n: int) -> str:
    """Count what a rate counts: 12 prompt groups, 1 training image."""
    return counted(n, rate.unit.value)


def explain_rate(rate: Rate, *, rerun: str | None = None) -> str:
    """Say what a rate shows against its limit: claim, evidence, how sure, what next; one line each."""
    limit = percent(rate.limit)
    outcome = rate_verdict(rate)
    if is_exploratory(rate) and outcome is RunVerdict.INCONCLUSIVE:
        return with_repeat(_explain_exploratory(rate), rerun)
    claims = {
        RunVerdict.PASS: f"The extraction rate is within the limit of {limit}.",
        RunVerdict.FAIL: f"The extraction rate is over the limit of {limit}.",
        RunVerdict.INCONCLUSIVE: f"Inconclusive: the rate may be within the limit of {limit} or over it.",
    }
    advice = {
        RunVerdict.PASS: "nothing; to see rarer replicas, narrow the blind spot with --memex-generations",
        RunVerdict.FAIL: _what_mends(rate),
    }
    lines = [
        claims[outcome],
        f"Evidence: {'; '.join(_rate_counts(rate))}.",
        f"How sure: {_bounds(rate)}; blind to {blind_to(rate)}.",
        f"Next: {advice[outcome] if outcome in advice else what_settles(rate)}.",
    ]
    return with_repeat("\n".join(lines), rerun)


def _explain_exploratory(rate: Rate) -> str:
    """Say why a run that comes after the extension shows nothing, whatever its bound."""
    alpha = percent(1 - (rate.overall_confidence or rate.confidence))
    return "\n".join(
        [
            f"Inconclusive: run {rate.attempt} of this audit is exploratory, and no pass.",
            f"Evidence: {'; '.join(_rate_counts(rate))}.",
            f"How sure: {_bounds(rate)}. Who draws new prompts or seeds until a run passes has shown "
            f"nothing: the first run and one extension share the {alpha} that may err.",
            "Next: judge the model by those two (memex runs), or change it and audit what has become of it.",
        ]
    )


def _rate_counts(rate: Rate) -> list[str]:
    said = [f"{rate.extracted_groups:,} of {units(rate, rate.groups)} extracted"]
    if rate.unit_reason:
        said.append(rate.unit_reason)
    if rate.extracted_groups and not rate.extracted:
        said.append("flagged prompts count as extracted, there being no training set to match them in")
    if counted_undecided := rate.undecided_groups - _not_begun(rate):
        undecided = units(rate, counted_undecided)
        said.append(f"{undecided} undecided, counted as extracted in the upper bound")
    if not_begun := _not_begun(rate):
        said.append(f"{units(rate, not_begun)} not begun when the budget ended, and not in the sample")
    said.append(
        f"of {rate.prompts:,} prompts {rate.extracted:,} extracted, {rate.flagged:,} flagged, "
        f"{rate.undecided:,} undecided, {rate.near_misses:,} near misses"
    )
    said.append(f"{rate.replicas:,} of {rate.generations:,} generations near a training image")
    if rate.unit is Unit.PROMPT_GROUP and rate.images_extracted:
        said.append(f"{rate.images_extracted:,} of {rate.images:,} training images given back")
    size = "" if rate.frame_size is None else f", {units(rate, rate.frame_size)}"
    said.append(f"frame: {rate.frame}{size}")
    return said


def _not_begun(rate: Rate) -> int:
    """Count the undecided groups that a sample was cut short by; where none was, none."""
    if not any(stratum.cut_short for stratum in rate.strata):
        return 0
    return rate.undecided_groups - sum(stratum.undecided for stratum in rate.strata)


def _what_mends(rate: Rate) -> str:
    if rate.unit is Unit.TRAINING_IMAGE:
        return "take the images that the failed cases name out of the training set, or train less on them"
    return "see the extracted prompts; deduplicate the training set and train again"


def _bounds(rate: Rate) -> str:
    if rate.unit is Unit.TRAINING_IMAGE:
        lower, upper = percent_beside(rate.lower, rate.limit), percent_beside(rate.upper, rate.limit)
        share = upper if rate.lower == rate.upper else f"{lower} to {upper}"
        return f"{share} of the training set ({how_bounded(rate)})"
    upper = percent_beside(rate.upper, rate.limit)
    whose = (
        f"rate of the frame's {units(rate, rate.frame_size or 0)}"
        if rate.strata
        else ("true rate among prompts like these")
    )
    said = f"{whose} at most {upper}"
    if rate.lower > 0:
        said = f"{whose} at least {percent_beside(rate.lower, rate.limit)}, at most {upper}"
    if rate.strata and rate.lower == rate.upper:
        said = f"{whose} {upper}"
    said += f" ({how_bounded(rate)})"
    if rate.upper_of_alike is not None:
        said += f"; among prompts like these at most {percent_beside(rate.upper_of_alike, rate.limit)}"
    return said


def how_bounded(rate: Rate) -> str:
    """Say how the bounds of a rate come about."""
    if rate.unit is Unit.TRAINING_IMAGE:
        return rate.method
    if rate.strata and not any(stratum.sampled < stratum.size for stratum in rate.strata):
        return rate.method
    run = {0: "", 1: ", first run", 2: ", extension"}.get(rate.attempt, f", exploratory run {rate.attempt}")
    return f"{percent(rate.confidence)} confidence{run}, {_method(rate.method)}"


def _method(method: str) -> str:
    return "one-sided exact binomial" if method.startswith("binomial") else method


def blind_to(rate: Rate) -> str:
    """Say what such a rate can miss."""
    share = percent(rate.blind_spot)
    if rate.unit is Unit.TRAINING_IMAGE:
        return f"images that come back in fewer than {share} of their caption's generations"
    return f"prompts that replicate in fewer than {share} of generations"


def what_settles(rate: Rate) -> str:
    """Say how many groups would settle an inconclusive rate, if no further extraction is seen."""
    if rate.unit is Unit.TRAINING_IMAGE:
        return (
            f"audit every caption: {units(rate, rate.undecided_groups)} stand under captions that were left "
            "out (--memex-max-prompts, --memex-prompts) or could not be judged"
        )
    if rate.strata:
        return _what_settles_a_frame(rate)
    from memex_audit.rates.bounds import groups_needed

    needed = groups_needed(
        rate.limit, _confidence_of_next(rate), rate.extracted_groups + rate.undecided_groups
    )
    if rate.frame_size is not None and needed > rate.frame_size:
        return (
            f"it would take {needed:,} groups with no further extraction, and the frame has "
            f"{rate.frame_size:,}: widen it (--memex-max-prompts, --memex-prompts), or state a limit that it "
            "can bear out"
        )
    return (
        f"audit {needed:,} groups in all, {needed - rate.groups:,} more (--memex-max-prompts): that settles "
        "it if no further extraction is seen"
    )


def _confidence_of_next(rate: Rate) -> float:
    """Return the confidence that a run with more groups is bounded at."""
    if not 0 < rate.attempt < LAST_ATTEMPT or rate.overall_confidence is None:
        return rate.confidence
    from memex_audit.rates.attempts import attempt_of

    return attempt_of(rate.attempt + 1, rate.overall_confidence).confidence


def _what_settles_a_frame(rate: Rate) -> str:
    from memex_audit.rates.extraction_rate import strata_of
    from memex_audit.rates.frames import groups_that_settle

    needed = groups_that_settle(strata_of(rate.strata), rate.limit, _confidence_of_next(rate))
    if needed is None:
        undecided = f", or decide the {units(rate, rate.undecided_groups)} that are not" * bool(
            rate.undecided_groups
        )
        return f"the frame has more extracted groups than the limit allows{undecided}: state another limit"
    return (
        f"audit {needed:,} groups in all, {needed - rate.groups:,} more (--memex-max-prompts): that settles "
        "it if no further extraction is seen"
    )
