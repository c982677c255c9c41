"""Neighbours of known prompts -> words."""

from memex_audit.explain import LOOK_CLOSER, counted, figures, percent, prompt_name, quoted, with_repeat
from memex_audit.records import Neighbour, Neighbourhood, Verdict

MOST_SHOWN = 10


def explain_neighbourhood(found: Neighbourhood, *, rerun: str | None = None, redact: bool = False) -> str:
    """Say which neighbours give a training image back: claim, evidence, how sure, what next."""
    given_back = [one for one in found.neighbours if one.finding.verdict is Verdict.EXTRACTED]
    undecided = [one for one in found.neighbours if one.finding.verdict is Verdict.UNDECIDED]
    shown = given_back or undecided
    what = "give a training image back" if given_back else "are undecided"
    claim = f"{len(shown):,} of {counted(len(found.neighbours), 'prompt')} like known ones {what}."
    named = [_named(one, redact=redact) for one in shown[:MOST_SHOWN]]
    more = [f"and {len(shown) - MOST_SHOWN:,} more"] if len(shown) > MOST_SHOWN else []
    blind = max((one.finding.blind_spot for one in found.neighbours), default=1.0)
    sure = (
        f"seen, not estimated, around {counted(found.known, 'known prompt')}. A repair that such a change "
        "undoes has hidden the image and not removed it."
        if given_back
        else "not at all for these: they count neither way."
    )
    text = "\n".join(
        [
            claim,
            "Evidence: " + "; ".join([*named, *more]) + ".",
            f"How sure: {sure} Neighbours that replicate in fewer than {percent(blind)} of their generations "
            "may pass unseen, and so may other wordings.",
            f"Next: {LOOK_CLOSER} of the known prompts, and take their images out of the training set.",
        ]
    )
    return with_repeat(text, rerun)


def _named(one: Neighbour, *, redact: bool) -> str:
    known = f"prompt {one.known_id}" if redact or not one.known else quoted(one.known)
    name = prompt_name(one.finding, redact=redact)
    return f"{name} ({one.change}, of {known}): {figures(one.finding)}"
