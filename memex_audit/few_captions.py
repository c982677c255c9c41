"""What few captions change of an audit: how many pictures each takes, and what images without one are of."""

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

from memex_audit.config import Settings
from memex_audit.rates.images_extracted import FEW_CAPTIONS, generations_for, has_few_captions
from memex_audit.records import AuditPrompt, PromptSet, Protocol, Unit


def generations_of_caption(settings: Settings, n_images: int) -> int | None:
    """Return how many pictures a caption of so many images takes in one look; None keeps to the protocol's.

    The more images stand under a caption, the more it takes to see them all. Options and other presets than
    `default` are kept to.
    """
    return None if settings.generations or settings.preset != "default" else generations_for(n_images)


def protocols_of_few_captions(
    settings: Settings, protocol: Protocol, prompts: PromptSet
) -> dict[str, Protocol]:
    """Return each prompt's own protocol by its id, where the rate counts training images; else none.

    A clique must be as large a share of the generations as it was calibrated to be.
    """
    if not has_few_captions(prompts):
        return {}

    def own(prompt: AuditPrompt) -> Protocol:
        n = generations_of_caption(settings, len(prompt.example_ids))
        if n is None:
            return replace(protocol, unit=Unit.TRAINING_IMAGE)
        clique_size = settings.clique_size or math.ceil(protocol.clique_size * n / protocol.looks[-1])
        return replace(
            protocol, looks=(n,), clique_size=clique_size, flag_at=(), clean_at=(), unit=Unit.TRAINING_IMAGE
        )

    return {prompt.prompt_id: own(prompt) for prompt in prompts.prompts}


def tie_uncaptioned(
    prompts: Sequence[AuditPrompt], known: Collection[str], n_captions: int, uncaptioned: Sequence[str]
) -> tuple[tuple[AuditPrompt, ...], int]:
    """Take listed prompts for the captions of images that have none: a folder and its instance prompt.

    Where captions are few, such an image stands under each of the prompts. Where they are not, it is looked
    up by embedding only.

    Args:
        prompts: of a file.
        known: ids of those of them that are captions of the training set.
        n_captions: how many captions the training set has.
        uncaptioned: ids of the images without a caption.

    Returns:
        The prompts, and how many captions there are.
    """
    if not uncaptioned:
        return tuple(prompts), n_captions
    n_captions += len({prompt.prompt_id for prompt in prompts} - set(known))
    if n_captions >= FEW_CAPTIONS:
        return tuple(prompts), n_captions
    tied = (replace(prompt, example_ids=(*prompt.example_ids, *uncaptioned)) for prompt in prompts)
    return tuple(tied), n_captions
