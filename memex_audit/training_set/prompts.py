"""Select the prompts to audit: captions with counts and groups -> audit prompts with their frame."""

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from memex_audit.errors import ConfigurationError
from memex_audit.records import AuditPrompt, Frame, FrameStratum, PromptSet


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
    counts: Sequence[int],
    image_groups: Sequence[int],
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
    if max_prompts < 1:
        msg = f"`max_prompts` must be at least 1, got {max_prompts}; an audit needs prompts."
        raise ConfigurationError(msg)
    prompts = _make_prompts(example_ids, captions, counts, image_groups)
    duplicated = sum(count > 1 for count in counts)
    several = [prompt for prompt in prompts if prompt.duplication_count > 1]
    once = sorted(prompts[len(several) :], key=lambda prompt: _hash(f"{seed}\0{prompt.prompt_id}"))
    sample = once[: max(0, max_prompts - len(several))]
    kept = [*several[:max_prompts], *sample]
    if len(several) >= max_prompts and len(prompts) > max_prompts:
        frame, strata = _most_duplicated(prompts, kept)
    else:
        frame, strata = _every_caption(several, sample, len(once), seed)
    return PromptSet(
        prompts=tuple(kept),
        frame=frame,
        strata=strata,
        n_examples=len(example_ids),
        n_captions=len(prompts),
        duplicated_share=duplicated / len(counts) if len(counts) else None,
    )


def _make_prompts(
    example_ids: Sequence[str], captions: Sequence[str], counts: Sequence[int], image_groups: Sequence[int]
) -> list[AuditPrompt]:
    rows: dict[str, list[int]] = {}
    for row, caption in enumerate(captions):
        if text := normalize(caption):
            rows.setdefault(text, []).append(row)
    ids = {text: prompt_id_of(text) for text in rows}
    groups = _group_prompts({ids[text]: {image_groups[row] for row in rows[text]} for text in rows})
    prompts = [
        AuditPrompt(
            prompt_id=ids[text],
            # Of several spellings that differ in normal form only, one that no order of rows can change.
            text=min(captions[row].strip() for row in rows[text]),
            group_id=groups[ids[text]],
            duplication_count=int(max(counts[row] for row in rows[text])),
            example_ids=tuple(example_ids[row] for row in rows[text]),
        )
        for text in rows
    ]
    return sorted(prompts, key=lambda prompt: (-prompt.duplication_count, prompt.prompt_id))


def _group_prompts(image_groups: Mapping[str, Iterable[int]]) -> dict[str, str]:
    """Return each prompt's group id, a hash of the group's smallest prompt id."""
    parent = {prompt: prompt for prompt in image_groups}
    first: dict[int, str] = {}

    def root(prompt: str) -> str:
        while parent[prompt] != prompt:
            parent[prompt] = parent[parent[prompt]]
            prompt = parent[prompt]
        return prompt

    for prompt, groups in image_groups.items():
        for group in groups:
            low, high = sorted((root(prompt), root(first.setdefault(group, prompt))))
            parent[high] = low
    return {prompt: _hash(root(prompt)) for prompt in parent}


def _most_duplicated(
    prompts: Sequence[AuditPrompt], kept: Sequence[AuditPrompt]
) -> tuple[Frame, tuple[FrameStratum, ...]]:
    # Ordered by their largest count, groups come in the order of their first prompts: those of the
    # kept prompts are the most duplicated groups.
    groups, n_duplicated = _groups_of(kept), len(_groups_of(p for p in prompts if p.duplication_count > 1))
    description = (
        f"the {len(groups):,} most duplicated of {len(_groups_of(prompts)):,} caption groups of the training "
        f"set ({len(kept):,} of {len(prompts):,} captions; {n_duplicated:,} groups have near-copies)"
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
