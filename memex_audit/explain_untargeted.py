"""An untargeted extraction -> words: each is worded once, here, for terminal, Markdown and assertions."""

import math
from collections.abc import Iterator

from memex_audit.explain import LOOK_CLOSER, counted, digest, percent, percent_beside, quoted, with_repeat
from memex_audit.rates.verdicts import untargeted_verdict
from memex_audit.records import ImageReplicated, RunVerdict, UntargetedResult, UntargetedThreshold

IMAGE_HEADINGS = ("generations", "l2", "adaptive", "training image")
MOST_IMAGES = 10


def explain_untargeted(result: UntargetedResult, *, rerun: str | None = None, redact: bool = False) -> str:
    """Say what was found: claim, evidence, how sure, what next; one line each."""
    shown = result.images[:MOST_IMAGES]
    said = [untargeted_sentence(result)]
    said += [
        f"{image_name(image, redact=redact)} by {counted(image.generations, 'generation')}, nearest l2 "
        f"{image.distance:.3f}, adaptive distance {image.adaptive:.2f}"
        for image in shown
    ]
    if result.replicated > len(shown):
        said.append(f"and {result.replicated - len(shown):,} more")
    lines = [
        f"{untargeted_claim(result)}.",
        "Evidence: " + "; ".join(said) + ".",
        f"How sure: {_how_sure(result)}.",
        f"Next: {untargeted_next(result)}.",
    ]
    return with_repeat("\n".join(lines), rerun)


def untargeted_claim(result: UntargetedResult) -> str:
    """Say in one sentence what a result comes to."""
    limit = percent(result.limit)
    if result.extracted:
        images = counted(result.extracted, "training image")
        return f"The model gives back {images}, unasked, two generations or more each"
    share = "the share of untargeted generations that replicate a training image"
    return {
        RunVerdict.PASS: f"{share.capitalize()} is within the limit of {limit}",
        RunVerdict.FAIL: f"{share.capitalize()} is over the limit of {limit}",
    }.get(untargeted_verdict(result), f"Inconclusive: {share} may be within the limit of {limit} or over it")


def untargeted_sentence(result: UntargetedResult) -> str:
    """Give the share with its bounds, and how many training images it is of."""
    share = result.replicating / result.generations
    asked = f"for {counted(result.prompts, 'prompt')} in turn" if result.prompts else "for no prompt"
    said = (
        f"{result.replicating:,} of {counted(result.generations, 'generation')} drawn {asked} "
        f"({percent(share)}) replicate a training image; bounds {percent(result.lower)} to "
        f"{percent_beside(result.upper, result.limit)}, each one-sided at {percent(result.confidence)} "
        f"confidence, limit {percent(result.limit)}"
    )
    if result.replicated:
        images = counted(result.replicated, "distinct training image")
        said += f"; {images}, {result.extracted:,} of them by two generations or more"
    if result.set_aside:
        said += (
            f"; {counted(result.set_aside, 'generation')} more set aside: blank, broken or of another size"
        )
    return said


def explain_untargeted_threshold(threshold: UntargetedThreshold) -> str:
    """Say where the threshold of the adaptive distance comes from, and how many false positives it allows."""
    said = f"adaptive distance {threshold.threshold:.4g}"
    if not threshold.held_out:
        return (
            f"{said}, uncalibrated, the stated default (half of the mean l2 to the nearest 50 images): "
            "false positives are not bounded (--memex-untargeted-held-out SET)"
        )
    return (
        f"{said}, calibrated: {threshold.flagged:,} of {threshold.held_out:,} held-out pictures reach it, "
        f"a share of {percent(threshold.lower)} to {percent(threshold.upper)} (exact, 95 %)"
    )


def explain_untargeted_method(result: UntargetedResult) -> str:
    """Say how a generation is decided, and by which threshold."""
    return (
        f"each of {counted(result.generations, 'picture')} is compared with {result.training_images:,} "
        f"training images: l2 to the nearest, divided by {result.alpha:g} times the mean l2 to the nearest "
        f"{result.neighbours}, near-copies of the nearest left out; a replica lies within "
        f"{explain_untargeted_threshold(result.threshold)}"
    )


def image_rows(result: UntargetedResult, *, redact: bool = False) -> Iterator[tuple[str, ...]]:
    """Yield a row under IMAGE_HEADINGS for each of the first training images."""
    for image in result.images[:MOST_IMAGES]:
        yield (
            f"{image.generations:,}",
            f"{image.distance:.3f}",
            f"{image.adaptive:.2f}",
            image_name(image, redact=redact),
        )


def image_name(image: ImageReplicated, *, redact: bool = False) -> str:
    """Name a training image: by its id, or by the id's digest, since ids are often made of captions."""
    return digest(image.example_id) if redact else quoted(image.example_id, 60)[1:-1]


def untargeted_next(result: UntargetedResult) -> str:
    """Say what to do about it; nothing for a pass."""
    verdict = untargeted_verdict(result)
    if result.extracted or verdict is RunVerdict.FAIL:
        return f"{LOOK_CLOSER}; take the images, or their duplicates, out of the training set and train again"
    if verdict is RunVerdict.PASS:
        return "nothing; more pictures (--memex-untargeted N) lower the bound"
    if result.set_aside > result.generations:
        return "mend what made pictures unusable: most of what was drawn could not be judged"
    from memex_audit.rates.bounds import groups_needed

    needed = groups_needed(result.limit, result.confidence, result.replicating)
    return f"--memex-untargeted {needed} settles it if no further picture replicates one"


def _how_sure(result: UntargetedResult) -> str:
    blind = 1 - (1 - result.confidence) ** (1 / result.generations)
    share = math.ceil(blind * 1e6) / 1e6
    return (
        f"{explain_untargeted_threshold(result.threshold)}; a training image that {percent(share)} or more "
        f"of what is drawn replicates would have shown with {percent(result.confidence)} probability"
    )
