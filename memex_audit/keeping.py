"""Which pixels are kept of what was just drawn, and where those come from that were not."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from memex_audit.generation.store import UnitStore
from memex_audit.looking import Looking
from memex_audit.records import AuditPrompt, Generation, GenerationRequest

# Of prompts that block sums settle, one in so many keeps its pixels: a sample to look at.
SAMPLED = 100
# Pixels of prompts that go on, and that are not written: beyond so many bytes they are drawn again.
IN_MEMORY = 512 << 20


class Keeping:
    """Decides by a policy, and remembers the pixels of prompts that go on to their next look.

    `policy`: "all"; "evidence", the pixels of prompts that block sums do not settle, and of one in SAMPLED of
    the others; "none". Block sums are always kept: they are the record, pixels can be drawn again.
    """

    def __init__(self, policy: str, looking: Looking, store: UnitStore) -> None:
        self._policy = policy
        self._looking = looking
        self._store = store
        self._at_hand: dict[str, dict[GenerationRequest, Generation]] = {}
        self._bytes = 0

    @property
    def prefers_sums(self) -> bool:
        """Whether a prompt is looked at by block sums where these settle it, though pixels may be there.

        So that a finding is the same whether its pictures were just drawn, kept, or sampled.
        """
        return self._policy != "all"

    def keeps(self, prompt: AuditPrompt, n: int, drawn: Sequence[Generation]) -> bool:
        """Whether the pixels of pictures that were just drawn, for a look at n, are written.

        Where part of the look was there before it is looked at with it: a prompt that went on for a reason
        keeps the reason.
        """
        if self._policy != "evidence" or is_sampled(prompt.text):
            return self._policy != "none"
        looked_at = list(drawn)
        if len(drawn) < n:
            looked_at = [*self._store.read(prompt.text, n), *drawn]
        return self._looking.at_sums(prompt, looked_at) is None

    def remember(self, prompt: AuditPrompt, drawn: Sequence[Generation]) -> None:
        """Have pixels that are not written at hand, until the prompt is settled."""
        size = _n_bytes(drawn)
        if self._policy == "none" and self._bytes + size <= IN_MEMORY:
            self._at_hand[prompt.prompt_id] = {picture.request: picture for picture in drawn}
            self._bytes += size

    def recall(self, prompt: AuditPrompt, drawn: Sequence[Generation]) -> list[Generation]:
        """Return a prompt's pictures, with the pixels that are at hand; they are then no longer."""
        at_hand = self.forget(prompt)
        return [at_hand.get(picture.request, picture) if picture.reduced else picture for picture in drawn]

    def forget(self, prompt: AuditPrompt) -> Mapping[GenerationRequest, Generation]:
        """Have no pixels of a settled prompt at hand any more."""
        at_hand = self._at_hand.pop(prompt.prompt_id, {})
        self._bytes -= _n_bytes(at_hand.values())
        return at_hand


def _n_bytes(pictures: Iterable[Generation]) -> int:
    return sum(picture.pixels.nbytes for picture in pictures if picture.pixels is not None)


def is_sampled(prompt: str) -> bool:
    """Whether the pixels of a prompt are kept as part of the sample: by its hash, whoever draws it.

    >>> sum(is_sampled(f"prompt {i}") for i in range(1000))
    10
    """
    return int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:8]) % SAMPLED == 0
