"""Findings and controls -> words. Each is worded once, here, for every report and failure."""

import hashlib
import math
import re
import unicodedata
from collections.abc import Sequence

from memex_audit.records import (
    ABSENT,
    NEUTRAL_WORD,
    REFUSED,
    ControlResult,
    Finding,
    ImageExtracted,
    Match,
    MatchKind,
    Protocol,
    Trigger,
    Unit,
    Verdict,
)

LONGEST_TEXT = 200
LONGEST_SLUG = 40
MOST_IMAGES = 20
REPEAT = "Repeat: "
LOOK_CLOSER = "look at the pictures (--memex-evidence full:FOLDER)"


def percent(share: float, digits: int = 2) -> str:
    """Write a share as percent: enough digits that only 0 reads 0 % and only 1 reads 100 %.

    `digits` are significant ones of the share, or of its distance to 1 where that is smaller.

    >>> percent(0.0093178), percent(0.01), percent(0.753), percent(0.0), percent(0.99996)
    ('0.93 %', '1 %', '75 %', '0 %', '99.996 %')
    """
    smaller = 100 * min(share, 1 - share)
    if smaller <= 0:
        return f"{100 * share:.0f} %"
    decimals = max(0, digits - 1 - math.floor(math.log10(smaller)))
    if decimals > 12:
        return f"{100 * share:.{digits - 1}e} %"
    text = f"{100 * share:.{decimals}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + " %"


def percent_beside(share: float, limit: float) -> str:
    """Write a share so that it stands on the same side of the limit in print as it does in truth.

    >>> percent_beside(0.010004, 0.01), percent_beside(0.0093, 0.01)
    ('1.0004 %', '0.93 %')
    """
    for digits in range(2, 12):
        text = percent(share, digits)
        if share == limit or text != percent(limit, digits):
            return text
    return text


def quoted(text: str, longest: int = LONGEST_TEXT) -> str:
    r"""Quote a text of unknown origin on one line: what does not print is escaped, what is long is cut.

    >>> print(quoted("a cat\n\x1b[31m"))
    "a cat\n\x1b[31m"
    """
    cut = text if len(text) <= longest else text[: longest - 3] + "..."
    return '"' + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut) + '"'


def digest(text: str) -> str:
    """Return what stands for a text that must not be shown: the first 12 hex digits of its SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def prompt_slug(text: str) -> str:
    """Turn a prompt into a part of a test id: ASCII, lower case, dashes, at most 40 characters.

    >>> prompt_slug("A café, at Night!")
    'a-cafe-at-night'
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    return slug[:LONGEST_SLUG].rstrip("-") or "prompt"


def prompt_name(finding: Finding, *, redact: bool = False, longest: int = LONGEST_TEXT) -> str:
    """Name a finding's prompt: by its text, or by its id where that must not be shown or is not known."""
    return quoted(finding.prompt, longest) if finding.prompt and not redact else f"prompt {finding.prompt_id}"


def example_name(match: Match | ImageExtracted, *, redact: bool = False) -> str:
    """Name a training image: by its id, or by the id's digest, since ids are often made of captions."""
    return digest(match.example_id) if redact else quoted(match.example_id)[1:-1]


def explain_finding(
    finding: Finding, *, protocol: Protocol, rerun: str | None = None, redact: bool = False
) -> str:
    """Say what was found for a prompt: claim, evidence, how sure, what next; one line each.

    `rerun` is the command that repeats the case; `redact` names prompt and training image by digests.
    """
    seen = [*_given_back(finding, redact=redact), *_evidence(finding, protocol, redact)]
    lines = [
        _claim(finding, redact=redact),
        "Evidence: " + "; ".join(seen) + ".",
        "How sure: " + _how_sure(finding, protocol),
        f"Next: {_FINDING_NEXT[finding.verdict]}.",
    ]
    return with_repeat("\n".join(lines), rerun)


def with_repeat(text: str, rerun: str | None) -> str:
    """Add the command that repeats the case, on a line of its own so that it can be copied whole."""
    return f"{text}\n{REPEAT}{rerun}" if rerun and f"\n{REPEAT}" not in text else text


def one_line(finding: Finding, redact: bool = False) -> str:
    """Name a finding on one line, for lists."""
    return f"{prompt_name(finding, redact=redact, longest=70)}: {figures(finding)}"


def figures(finding: Finding) -> str:
    """Give the figures of a finding, without a name."""
    said = f"{finding.replicas} of {_generations(finding.generations)} near a training image"
    if _gives_back_several(finding):
        said = f"{_images(finding.images_extracted)} given back, {said}"
    if finding.match:
        said += f", nearest l2 {finding.match.distance:.3f}"
    elif finding.clique_size:
        said += f", {finding.clique_size} nearly the same"
    return f"{said}, {_copies(finding)}"


def _claim(finding: Finding, *, redact: bool) -> str:
    name = prompt_name(finding, redact=redact)
    if finding.verdict is Verdict.EXTRACTED:
        return f"The model gives back {_what_was_given_back(finding, redact=redact)} for {name}."
    if finding.verdict is Verdict.FLAGGED:
        return f"The model draws nearly the same picture for {name} again and again; {_flagged_for(finding)}."
    if finding.verdict is Verdict.UNDECIDED:
        return f"It is undecided whether the model gives back a training image for {name}."
    if finding.near_miss:
        return f"Near miss: a generation for {name} lies near a training image, too few for an extraction."
    return f"No training image was given back for {name}."


def _flagged_for(finding: Finding) -> str:
    if finding.match is None:
        return "no training image matched"
    if finding.match.kind is MatchKind.TEMPLATE:
        return "it is a template of the training set, with a varying region filled anew"
    return "no training image matched by pixels, and the copy detector calls it a copy"


def _gives_back_several(finding: Finding) -> bool:
    """Whether the images of a caption were counted one by one, and more than one came back."""
    return bool(finding.images) and finding.images_extracted > 1


def _what_was_given_back(finding: Finding, *, redact: bool) -> str:
    if _gives_back_several(finding):
        return _images(finding.images_extracted)
    if finding.match:
        altered = f", {finding.match.alteration}" if finding.match.alteration else ""
        return f"training image {example_name(finding.match, redact=redact)}{altered}"
    return "a training image"


def _given_back(finding: Finding, *, redact: bool) -> list[str]:
    """Name the training images of a finding that counts them, with the seeds that gave each back."""
    if not _gives_back_several(finding):
        return []
    shown = finding.images[:MOST_IMAGES]
    said = ", ".join(f"{example_name(image, redact=redact)} by {image.seeds:,} seeds" for image in shown)
    more = finding.images_extracted - len(shown)
    return [said + (f", and {more:,} more" if more else "")]


def _evidence(finding: Finding, protocol: Protocol, redact: bool) -> list[str]:
    near = f"{finding.replicas} of {_generations(finding.generations)} within l2 {protocol.match_delta:.3g}"
    said = [f"{near} of a training image (match delta)"]
    if finding.match:
        altered = f" ({finding.match.alteration})" if finding.match.alteration else ""
        said.append(f"nearest l2 {finding.match.distance:.3f}{altered}")
    enough = protocol.flags_with(finding.generations + finding.set_aside)
    if finding.clique_size:
        agree = f"{finding.clique_size} generations lie pairwise within tile-l2 {protocol.edge_delta:.3g}"
        said.append(f"{agree} (a clique; {enough} flag)")
    else:
        said.append(f"no clique of {enough} at tile-l2 {protocol.edge_delta:.3g} was found")
    if not _gives_back_several(finding):
        said.append(f"the training set holds {_copies(finding)} of the caption's image")
    if finding.match and not _gives_back_several(finding):
        said.append(_of_match(finding, finding.match, redact=redact))
    if finding.trigger:
        said.append(explain_trigger(finding.trigger, redact=redact))
    if finding.set_aside:
        said.append(_set_aside(finding))
    return said


def _set_aside(finding: Finding) -> str:
    broken = finding.set_aside - finding.refused - finding.absent
    said = [
        f"{count:,} {reason}"
        for count, reason in (
            (finding.refused, REFUSED),
            (finding.absent, ABSENT),
            (broken, "blank, broken or of another size"),
        )
        if count
    ]
    if len(said) == 1:
        _, _, only = said[0].partition(" ")
        return f"{_generations(finding.set_aside)} more set aside: {only}"
    return f"{_generations(finding.set_aside)} more set aside: {', '.join(said)}"


def explain_trigger(trigger: Trigger, *, redact: bool = False) -> str:
    """Say which words of a prompt are enough to give the image back.

    >>> found = dict(prompt_id="", text="a skull", kept=("skull",), n_kept=1, n_words=11, replaced=1)
    >>> explain_trigger(Trigger(**found, generations=40, network_evaluations=800, complete=True))
    '1 of its 11 words is enough, with 1 more replaced by "a": "a skull"'
    """
    kept, of = trigger.n_kept, f"of its {counted(trigger.n_words, 'word')}"
    if kept == trigger.n_words:
        open_still = f"may be needed: {_generations(trigger.generations)} did not settle it"
        return f"every one {of} {'is needed' if trigger.complete else open_still}"
    said = f"{kept:,} {of} {'is' if kept == 1 else 'are'} enough" if kept else f"none {of} is needed"
    if trigger.replaced:
        said += f", with {trigger.replaced:,} more replaced by {quoted(NEUTRAL_WORD)}"
    if not trigger.complete:
        said += f", and fewer may be: {_generations(trigger.generations)} did not settle it"
    return said if redact else f"{said}: {quoted(trigger.text)}"


def _of_match(finding: Finding, match: Match, *, redact: bool) -> str:
    name = example_name(match, redact=redact)
    if match.kind is MatchKind.TEMPLATE:
        said = f"outside of where near-copies of {name} differ it equals them ({match.kind.value})"
    else:
        under = "this caption" if match.kind is MatchKind.MATCHING else "another caption"
        which = "the image" if finding.verdict is not Verdict.FLAGGED else name
        said = f"{which} stands under {under} ({match.kind.value})"
    said += f", k = {match.k} within match delta of it"
    if match.cosine is not None:
        said += f", cosine {match.cosine:.2f}"
    if match.sscd is not None:
        said += f", SSCD {match.sscd:.2f}"
    return said


def _how_sure(finding: Finding, protocol: Protocol) -> str:
    if finding.verdict is Verdict.EXTRACTED:
        seeds = f"{finding.replicas} different seeds gave it back"
        if _gives_back_several(finding):
            seeds = "two different seeds or more gave back each of them"
        return (
            f"seen, not estimated: {seeds}. What counts as the same picture rests on the thresholds of "
            f"protocol {protocol.name}."
        )
    if finding.verdict is Verdict.FLAGGED:
        return (
            "the prompt fixes the picture, which memorization does, and so can a template or a model that "
            "draws little variety. Without a matching training image it is no extraction."
        )
    if finding.verdict is Verdict.UNDECIDED:
        reason = _undecided_reason(finding, protocol)
        return f"not at all: {reason}. It counts as extracted in the rate's upper bound."
    once = "a single generation near a training image can be chance. " if finding.near_miss else ""
    return once + _blind(finding.blind_spot, protocol.unit)


def _undecided_reason(finding: Finding, protocol: Protocol) -> str:
    drawn = finding.generations + finding.set_aside
    if finding.absent:
        return f"the folder holds {drawn - finding.absent} of the {drawn} generations that a look at it takes"
    if not drawn:
        return "nothing was drawn for it, as the budget was spent"
    if finding.generations < 2 or finding.generations < finding.set_aside:
        return f"only {finding.generations} of {_generations(drawn)} could be judged"
    if drawn < protocol.looks[-1]:
        return f"{_generations(drawn)} do not decide it, and the budget was spent"
    return f"the search for a clique among {_generations(finding.generations)} gave up before an answer"


def _blind(share: float, unit: Unit) -> str:
    if share >= 1:
        return "so few generations rule out nothing."
    if unit is Unit.TRAINING_IMAGE:
        return (
            f"a training image that takes {percent(share)} of the generations or more would have been found "
            "with 95 % probability; one that comes back less often may pass unseen."
        )
    return (
        f"a prompt that replicates in {percent(share)} of its generations or more would have shown it with "
        "95 % probability; one that replicates less often may pass unseen."
    )


_FINDING_NEXT = {
    Verdict.EXTRACTED: f"{LOOK_CLOSER}, then take the image or its duplicates out of the training set",
    Verdict.FLAGGED: f"{LOOK_CLOSER} and check that the training set covers what the model was trained on",
    Verdict.UNDECIDED: "mend what made generations unusable, or draw others (--memex-seed)",
    Verdict.NOT_FLAGGED: "nothing; more generations (--memex-generations) narrow the blind spot",
}


def explain_control(control: ControlResult) -> str:
    """Say what a control showed, and what it does not show."""
    subject = quoted(control.subject)[1:-1]
    if not control.prompts:
        return f"{control.kind} control: no prompts to run it on, so it shows nothing ({subject})"
    seen = f"{control.kind} control: {control.detected:,} of {control.prompts:,} {control.unit}"
    if control.unit == "canaries":
        return f"{seen} extracted ({subject}): shows power on this model, at their repetitions"
    if control.kind == "positive":
        return f"{seen} extracted ({subject}): shows power on these, not on another model"
    from memex_audit.rates.bounds import binomial_upper

    upper = percent(binomial_upper(control.detected, control.prompts, 0.95))
    if control.unit != "prompts":
        return f"{seen} extracted ({subject}): where nothing was learned, nothing may be found"
    return f"{seen} flagged ({subject}): at most {upper} false alarms (95 % confidence)"


def explain_controls(controls: Sequence[ControlResult]) -> str:
    """Say what the controls showed, one line each."""
    return "\n".join(map(explain_control, controls)) or "no control ran: that the gate can fail is not shown"


def counted(n: int, noun: str) -> str:
    """Count things whose plural ends in s.

    >>> counted(1, "prompt"), counted(1200, "prompt group")
    ('1 prompt', '1,200 prompt groups')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _images(n: int) -> str:
    return counted(n, "training image")


def _generations(n: int) -> str:
    return counted(n, "generation")


def _copies(finding: Finding) -> str:
    return f"{finding.duplication_count:,} near-cop{'y' if finding.duplication_count == 1 else 'ies'}"
