"""Prompts -> batches, where there are so many that a case for each would cost more than it tells.

A batch is cut off before a prompt whose id says so. A prompt that is put in, or taken out, so changes the
batches around it only, and all others keep their names: -k, --lf and a report's history survive it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memex_audit.records import AuditPrompt

MOST_PROMPTS = 5_000
"""Prompts that each have a case of their own, unless --memex-granularity says otherwise."""

MOST_CASES = 2_500
SMALLEST = 16


@dataclass(frozen=True, slots=True)
class PromptBatch:
    """The prompts of one case, in the order of the audit set; `name` is that of the first."""

    name: str
    prompts: "tuple[AuditPrompt, ...]"


def makes_batches(granularity: str, n_prompts: int) -> bool:
    """Whether a case is a batch of prompts: "prompt", "batch", or "auto" by how many there are."""
    return granularity == "batch" or (granularity != "prompt" and n_prompts > MOST_PROMPTS)


def batch_size(n_prompts: int) -> int:
    """Return about how many prompts a batch has: a power of two, so that it seldom changes.

    >>> batch_size(300), batch_size(10_000), batch_size(100_000), batch_size(350_000)
    (16, 16, 64, 256)
    """
    size = SMALLEST
    while n_prompts > size * MOST_CASES:
        size *= 2
    return size


def divide(prompts: "Sequence[AuditPrompt]", size: int) -> tuple[PromptBatch, ...]:
    """Divide prompts, in their order, into batches of about `size`: a quarter of it at least, twice at most.

    A batch ends before a prompt whose id, a random number by its content, is a multiple of `size`. (The last
    one may be shorter.)
    """
    batches: list[PromptBatch] = []
    first = 0
    for place, prompt in enumerate(prompts):
        length = place - first
        is_cut = length >= size // 4 and int(prompt.prompt_id, 16) % size == 0
        if is_cut or length == 2 * size:
            batches.append(_batch(prompts[first:place]))
            first = place
    return (*batches, _batch(prompts[first:])) if prompts else ()


def _batch(prompts: "Sequence[AuditPrompt]") -> PromptBatch:
    return PromptBatch(name=prompts[0].prompt_id, prompts=tuple(prompts))
