"""Comparison of two audits -> words: claim, evidence, how sure, what next."""

from collections.abc import Mapping, Sequence

from memex_audit.comparing import AuditComparison
from memex_audit.explain import LOOK_CLOSER, counted, percent, quoted, with_repeat
from memex_audit.rates.comparison import Change, Comparison, PromptChange
from memex_audit.records import Unit

MOST_NAMED = 10


def explain_comparison(compared: AuditComparison, *, rerun: str | None = None) -> str:
    """Say how a later audit differs from an earlier one; one line each, and a line for every remark.

    Args:
        compared: the two audits; prompts whose text it does not know are named by their id.
        rerun: the command that repeats the case.
    """
    found = compared.found
    lines = [
        _claim(compared),
        f"Evidence: {'; '.join(_evidence(found, compared.texts))}.",
        f"How sure: {_how_sure(found)}.",
        *(f"Note: {remark}." for remark in compared.remarks),
        f"Next: {_next(found)}.",
    ]
    return with_repeat("\n".join(lines), rerun)


def difference(found: Comparison) -> str:
    """Say by how much the rates differ, in percentage points, and between which bounds.

    Both rates are of the same units, so what did not change falls out of the difference.
    """
    if found.lower is None or found.upper is None:
        return "no difference can be given, nothing was decided in both"
    bounds = f"{_signed(found.lower)} to {_signed(found.upper)}"
    return f"{_signed(found.difference)} points ({bounds}, {percent(found.confidence)} confidence)"


def change_line(entry: PromptChange, prompts: Mapping[str, str]) -> str:
    """Name a prompt that changed, with its figures before and after."""
    name = prompts.get(entry.prompt_id)
    shown = quoted(name, 70) if name else f"prompt {entry.prompt_id}"
    before = f"{entry.agreeing_before} of {entry.generations_before}"
    after = f"{entry.agreeing_after} of {entry.generations_after}"
    return f"{shown}: {before} generations agreed, now {after}"


def _claim(compared: AuditComparison) -> str:
    found, before, after = compared.found, compared.before.model, compared.after.model
    pair = f"{quoted(after)[1:-1]} against {quoted(before)[1:-1]}"
    said = []
    if newly := len(found.of_kind(Change.NEWLY_EXTRACTED)):
        said.append(f"{counted(newly, 'prompt')} newly extracted")
    if found.rate_is_higher:
        said.append("the extraction rate is higher")
    if found.missing:
        said.append(f"{counted(len(found.missing), 'prompt')} no longer audited")
    if said:
        return f"Regression, {pair}: {'; '.join(said)}."
    if found.newly + found.no_longer == 0:
        return f"No change, {pair}: what is extracted is the same."
    return f"No regression beyond chance, {pair}."


def _evidence(found: Comparison, prompts: Mapping[str, str]) -> list[str]:
    unit = found.unit.value
    before, after = found.both + found.no_longer, found.both + found.newly
    said = [
        f"{after:,} of {counted(found.pairs, unit)} extracted, {before:,} before",
        f"{found.newly:,} newly and {found.no_longer:,} no longer, a difference of {difference(found)}",
    ]
    if found.undecided:
        said.append(f"{counted(found.undecided, unit)} undecided in one of them, and left out")
    said += [
        f"{change.value}: {_listed(entries, prompts)}"
        for change in Change
        if (entries := found.of_kind(change))
    ]
    if found.missing:
        said.append(f"no longer audited: {_names(found.missing, prompts)}")
    return said


def _listed(entries: Sequence[PromptChange], prompts: Mapping[str, str]) -> str:
    said = ", ".join(change_line(entry, prompts) for entry in entries[:MOST_NAMED])
    more = len(entries) - MOST_NAMED
    return said + (f", and {more:,} more" if more > 0 else "")


def _names(ids: Sequence[str], prompts: Mapping[str, str]) -> str:
    said = ", ".join(quoted(prompts[i], 70) if prompts.get(i) else i for i in ids[:MOST_NAMED])
    more = len(ids) - MOST_NAMED
    return said + (f", and {more:,} more" if more > 0 else "")


def _how_sure(found: Comparison) -> str:
    of = "groups" if found.unit is Unit.PROMPT_GROUP else "training images"
    said = [
        f"McNemar's exact test on {of}: p = {found.p_value:.2g} two-sided, {found.p_higher:.2g} for a higher "
        "rate",
        "the interval is Tango's score interval",
    ]
    if found.of_kind(Change.NEWLY_EXTRACTED) or found.of_kind(Change.CHANGED):
        said.append(
            "a prompt is newly extracted where Fisher's exact test rejects at "
            f"{percent(1 - found.confidence)} / prompts, or where nothing agreed before and half does now; "
            "else it changed, which one that replicates as often as before may do"
        )
    return "; ".join(said)


def _next(found: Comparison) -> str:
    if found.of_kind(Change.NEWLY_EXTRACTED) or found.rate_is_higher:
        return (
            f"{LOOK_CLOSER}, and take an earlier checkpoint, or the images out of the training set; what is "
            "meant to stay is blessed with `memex bless latest`"
        )
    if found.missing:
        return "audit these prompts again (--memex-prompts, --memex-max-prompts), or bless a run without them"
    if found.of_kind(Change.CHANGED):
        return "look at the changed prompts; more generations (--memex-generations) tell a change from chance"
    return "nothing"


def _signed(share: float) -> str:
    """Write a difference of shares in percentage points, with its sign."""
    text = f"{100 * share:+.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("+0", "-0") else text
