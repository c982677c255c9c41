"""Select the prompts to audit: captions with counts and groups -> audit prompts with their frame."""

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from memex_audit.errors import ConfigurationError
from memex_audit.records import AuditPrompt, Frame, FrameStratum, PromptSet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from memex_audit.training_set.caption_table import CaptionTable


def normalize(text: str) -> str:
    """Return the text by which captions are compared: NFC, without white space around it."""
    return unicodedata.normalize("NFC", text).strip()


def prompt_id_of(text: str) -> str:
    """Return the first 12 hex digits of SHA-256 of the text (NFC, stripped, UTF-8).

    >>> prompt_id_of("a cat") == prompt_id_of(" a cat")
    True
    """
    return _hash(normalize(text))


def select_prompts(
    example_ids: Sequence[str],
    captions: Sequence[str],
    counts: "Sequence[int] | NDArray[np.int64]",
    image_groups: "Sequence[int] | NDArray[np.int64]",
    *,
    max_prompts: int,
    seed: int,
) -> PromptSet:
    """Make one prompt of every distinct caption, most duplicated first, and keep `max_prompts`.

    Of images without a caption none is made.

    A prompt's duplication count is the largest of its images'. Prompts that share an image group are one
    group, the unit of every rate. Where no image has a near-copy there is no order to cut by, and a
    random sample of the captions is kept. Neither the order of the examples nor their ids change which
    prompts are kept.

    Args:
        example_ids: n ids.
        captions: n captions.
        counts: n duplication counts, from `count_duplicates`.
        image_groups: n group numbers, from `group_images`.
        max_prompts: at least 1.
        seed: of the random sample.

    Returns:
        The prompts, by falling duplication count, ties by prompt id, with a frame that is true of them:
        every caption, where all duplicated ones are kept and a random sample of the others; else the most
        duplicated. Those of a sample are in random order: whatever of it is drawn first is a sample too.

    Raises:
        ConfigurationError: `max_prompts` is less than 1.
    """
    from memex_audit.training_set.caption_table import CaptionTable

    table = CaptionTable(example_ids, captions, counts, image_groups)
    return select_from(table, max_prompts=max_prompts, seed=seed)


def select_from(table: "CaptionTable", *, max_prompts: int, seed: int) -> PromptSet:
    """Select as `select_prompts` does, from captions that are in a table.

    Raises:
        ConfigurationError: `max_prompts` is less than 1.
    """
    if max_prompts < 1:
        msg = f"`max_prompts` must be at least 1, got {max_prompts}; an audit needs prompts."
        raise ConfigurationError(msg)
    order = table.most_duplicated_first()
    n_several = int((table.counts > 1).sum())
    once = table.shuffled(order[n_several:], seed) if n_several < max_prompts else order[n_several:]
    several = [table.record(prompt) for prompt in order[: min(n_several, max_prompts)].tolist()]
    sample = [table.record(prompt) for prompt in once[: max(0, max_prompts - n_several)].tolist()]
    if n_several >= max_prompts and len(table) > max_prompts:
        frame, strata = _most_duplicated(table, several, n_several)
    else:
        frame, strata = _every_caption(several, sample, len(once), seed)
    return PromptSet(
        prompts=(*several, *sample),
        frame=frame,
        strata=strata,
        n_examples=table.n_examples,
        n_captions=len(table),
        duplicated_share=table.duplicated_share,
    )


def _most_duplicated(
    table: "CaptionTable", kept: Sequence[AuditPrompt], n_several: int
) -> tuple[Frame, tuple[FrameStratum, ...]]:
    # Ordered by their largest count, groups come in the order of their first prompts: those of the
    # kept prompts are the most duplicated groups.
    groups = _groups_of(kept)
    order = table.most_duplicated_first()
    n_groups, n_duplicated = table.n_groups(order), table.n_groups(order[:n_several])
    description = (
        f"the {len(groups):,} most duplicated of {n_groups:,} caption groups of the training "
        f"set ({len(kept):,} of {len(table):,} captions; {n_duplicated:,} groups have near-copies)"
    )
    stratum = FrameStratum(name="most duplicated", size=len(groups), group_ids=groups)
    return Frame(description=description, size=len(groups)), (stratum,)


def _every_caption(
    several: Sequence[AuditPrompt], sample: Sequence[AuditPrompt], n_once: int, seed: int
) -> tuple[Frame, tuple[FrameStratum, ...]]:
    """Return the frame of all captions: the duplicated are audited all, of the others a sample.

    A caption whose images have no near-copies is a group by itself.
    """
    groups = _groups_of(several)
    size = len(groups) + n_once
    whole = "the one caption" if size == 1 else f"every caption of the training set, {size:,} groups"
    near_copies = f"{len(groups):,} with near-copies, all audited" if groups else "none with near-copies"
    drawn = ""
    if len(sample) < n_once:
        others = f"the other {n_once:,}" if groups else "them"
        drawn = f"a random sample of {len(sample):,} of {others}, seed {seed}"
    strata = (
        FrameStratum(name="with near-copies", size=len(groups), group_ids=groups),
        FrameStratum(name="without near-copies", size=n_once, group_ids=_groups_of(sample)),
    )
    description = "; ".join(filter(None, [whole, near_copies, drawn]))
    return Frame(description=description, size=size), tuple(stratum for stratum in strata if stratum.size)


def _groups_of(prompts: Iterable[AuditPrompt]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(prompt.group_id for prompt in prompts))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
