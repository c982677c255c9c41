"""What a model reads of a prompt: the tokens that its tokenizers leave of it.

A text encoder has room for some dozen tokens, and a pipeline cuts what is longer without a word. Two captions
that differ only behind the cut, or only in what a tokenizer drops (case, white space), are one prompt to the
model: counted as two they would make a rate look better founded than it is.
"""

import inspect
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from memex_audit.protocols import ReadsTokens
from memex_audit.records import AuditPrompt, FrameStratum, PromptSet

MOST_NAMED = 5
TOKENIZERS = ("tokenizer", "tokenizer_2", "tokenizer_3", "prior_tokenizer")
# Pipelines that cut at a length of their own which is no argument.
MOST_TOKENS = {"IFPipeline": 77, "IFCascade": 77, "Kandinsky3Pipeline": 128}


@dataclass(frozen=True, slots=True)
class PreparedTokenizer:
    """A tokenizer as a pipeline uses it: on what it makes of a prompt first."""

    tokenizer: Any
    prepare: Callable[[str], str]

    def __call__(self, prompt: str, **options: Any) -> Any:
        return self.tokenizer(self.prepare(prompt), **options)


def pipeline_tokenizers(pipeline: Any) -> tuple[tuple[Any, float], ...]:
    """Return the tokenizers of a diffusers pipeline, each with the tokens that it has room for.

    CLIP's is the tokenizer's own `model_max_length`; of a longer one the pipeline takes what its argument
    `max_sequence_length` says (256 of 512 in Stable Diffusion 3). Some pipelines drop case first, and some
    put several tokens in the place of one that was learned.
    """
    parameters = inspect.signature(pipeline.__call__).parameters
    longest = parameters["max_sequence_length"].default if "max_sequence_length" in parameters else None
    longest = MOST_TOKENS.get(type(pipeline).__name__, longest)
    room = longest if isinstance(longest, int) else math.inf
    present = [t for name in TOKENIZERS if (t := getattr(pipeline, name, None)) is not None]
    return tuple((_prepared(pipeline, t), min(float(t.model_max_length), room)) for t in present)


def _prepared(pipeline: Any, tokenizer: Any) -> Any:
    if hasattr(pipeline, "maybe_convert_prompt"):
        return PreparedTokenizer(tokenizer, partial(pipeline.maybe_convert_prompt, tokenizer=tokenizer))
    if hasattr(pipeline, "_text_preprocessing"):  # PixArt, Sana and DeepFloyd IF
        return PreparedTokenizer(tokenizer, lambda prompt: prompt.lower().strip())
    return tokenizer


def read_tokens(tokenizers: Sequence[tuple[Any, float]], prompt: str) -> tuple[Hashable, int]:
    """Return what identifies the tokens that are read, and how many are cut off by every tokenizer."""
    if not tokenizers:
        return prompt, 0
    read, cut = [], []
    for tokenizer, limit in tokenizers:
        ids = tokenizer(prompt, truncation=False, verbose=False).input_ids
        cut.append(max(0, len(ids) - limit))
        if cut[-1]:
            ids = tokenizer(prompt, truncation=True, max_length=int(limit)).input_ids
        read.append(tuple(ids))
    return tuple(read), int(min(cut))


def merge_read_alike(prompts: PromptSet, generator: object) -> tuple[PromptSet, tuple[str, ...]]:
    """Make one prompt of those that the generator reads alike, and say what it cuts.

    The first stands for the others: their training images are its own, and their groups one group.

    Args:
        prompts: of the audit.
        generator: one that does not say what it reads leaves the prompts as they are.

    Returns:
        The prompts, and notes for the report. They name prompts by their ids: captions may have to stay out.
    """
    if not isinstance(generator, ReadsTokens):
        return prompts, ()
    cut: list[AuditPrompt] = []
    same: dict[Hashable, list[AuditPrompt]] = {}
    for prompt in prompts.prompts:
        key, n_cut = generator.read_tokens(prompt.text)
        same.setdefault(key, []).append(prompt)
        if n_cut:
            cut.append(prompt)
    alike = [those for those in same.values() if len(those) > 1]
    notes = []
    if cut:
        verb = "is" if len(cut) == 1 else "are"
        notes.append(
            f"{len(cut):,} of {len(prompts.prompts):,} prompts {verb} longer than the model reads, and "
            f"audited as cut: {_named(cut)}."
        )
    if alike:
        n_alike = sum(map(len, alike))
        notes.append(
            f"{n_alike:,} prompts are {len(alike):,} to the model, which reads the same tokens of them, and "
            f"are audited as one each: {_named([prompt for those in alike for prompt in those])}."
        )
    return _merged(prompts, alike), tuple(notes)


def _merged(prompts: PromptSet, alike: Sequence[Sequence[AuditPrompt]]) -> PromptSet:
    group_of, n_gone = _joined_groups(prompts.prompts, alike)
    read_as = {other.prompt_id: first.prompt_id for first, *others in alike for other in others}
    whole = {those[0].prompt_id: _as_one(those) for those in alike}
    kept = [whole.get(p.prompt_id, p) for p in prompts.prompts if p.prompt_id not in read_as]
    size = prompts.frame.size
    return replace(
        prompts,
        prompts=tuple(replace(prompt, group_id=group_of[prompt.group_id]) for prompt in kept),
        frame=replace(prompts.frame, size=None if size is None else size - n_gone),
        strata=_joined_strata(prompts.strata, group_of),
        read_as=read_as,
    )


def _joined_strata(strata: Sequence[FrameStratum], group_of: dict[str, str]) -> tuple[FrameStratum, ...]:
    """Return the strata of joined groups: one that lies in two of them is of the first."""
    taken: set[str] = set()
    joined = []
    for stratum in strata:
        names = dict.fromkeys(group_of.get(group, group) for group in stratum.group_ids)
        own = tuple(name for name in names if name not in taken)
        taken.update(own)
        n_gone = len(stratum.group_ids) - len(own)
        joined.append(replace(stratum, size=stratum.size - n_gone, group_ids=own))
    return tuple(joined)


def _as_one(prompts: Sequence[AuditPrompt]) -> AuditPrompt:
    return replace(
        prompts[0],
        duplication_count=max(prompt.duplication_count for prompt in prompts),
        example_ids=tuple(dict.fromkeys(name for prompt in prompts for name in prompt.example_ids)),
    )


def _joined_groups(
    prompts: Sequence[AuditPrompt], alike: Sequence[Sequence[AuditPrompt]]
) -> tuple[dict[str, str], int]:
    """Return each group's name after groups with a prompt in common are joined, and how many went."""
    parent = {prompt.group_id: prompt.group_id for prompt in prompts}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    for first, *others in alike:
        for other in others:
            low, high = sorted((root(first.group_id), root(other.group_id)))
            parent[high] = low
    joined = {group: root(group) for group in parent}
    return joined, len(joined) - len(set(joined.values()))


def _named(prompts: Sequence[AuditPrompt]) -> str:
    names = ", ".join(prompt.prompt_id for prompt in prompts[:MOST_NAMED])
    more = len(prompts) - MOST_NAMED
    return f"{names} and {more:,} more" if more > 0 else names
