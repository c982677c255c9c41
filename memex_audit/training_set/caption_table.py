"""The captions of a training set as arrays: which rows share one, how often its images stand there."""

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from memex_audit.records import AuditPrompt
from memex_audit.training_set.prompts import normalize

# A key holds 16 hex digits of a hash, a prompt id the first 12 of them.
ID_SHIFT = np.uint64(16)


class CaptionTable:
    """One prompt for each distinct caption, in the order of their ids; an image without a caption has none.

    Prompts are numbers here, and become records when they are asked for: a million of them are a gigabyte.

    Args:
        example_ids: n ids.
        captions: n captions.
        counts: n duplication counts, from `count_duplicates`.
        image_groups: n group numbers, from `group_images`.
    """

    def __init__(
        self,
        example_ids: Sequence[str],
        captions: Sequence[str],
        counts: Sequence[int] | NDArray[np.int64],
        image_groups: Sequence[int] | NDArray[np.int64],
    ) -> None:
        self._ids, self._captions = example_ids, captions
        self.n_examples = len(example_ids)
        keys = np.fromiter(map(_key, captions), np.uint64, len(captions))
        rows = np.flatnonzero(keys)
        # Sorted by key, so by id.
        self._keys, of_row = np.unique(keys[rows], return_inverse=True)
        order = np.argsort(of_row, kind="stable")
        self._rows = rows[order]
        self._starts = np.concatenate([[0], np.cumsum(np.bincount(of_row, minlength=len(self._keys)))])
        counts = np.asarray(counts, np.int64)
        self.duplicated_share = float((counts > 1).mean()) if len(counts) else None
        self.counts = np.zeros(len(self._keys), np.int64)
        np.maximum.at(self.counts, of_row, counts[rows])
        self._of_row, self._image_groups = of_row, np.asarray(image_groups, np.int64)[rows]

    def __len__(self) -> int:
        return len(self._keys)

    @cached_property
    def roots(self) -> NDArray[np.int64]:
        """The first prompt of each prompt's group: prompts are of one that share a group of images."""
        n = len(self)
        if n == 0:
            return np.zeros(0, np.int64)
        distinct, group = np.unique(self._image_groups, return_inverse=True)
        edges = (np.ones(len(group), bool), (self._of_row, n + group))
        size = n + len(distinct)
        _, labels = connected_components(coo_array(edges, shape=(size, size)), directed=False)
        _, first, member = np.unique(labels[:n], return_index=True, return_inverse=True)
        roots: NDArray[np.int64] = first[member]
        return roots

    def n_groups(self, prompts: NDArray[np.int64]) -> int:
        """Count the groups that these prompts are of."""
        return len(np.unique(self.roots[prompts]))

    def most_duplicated_first(self) -> NDArray[np.int64]:
        """Return all prompts by falling count, those of one count by their ids."""
        return np.argsort(-self.counts, kind="stable")

    def shuffled(self, prompts: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
        """Return prompts in a random order, which hangs on the seed and on each prompt's id alone."""
        drawn = (_key(f"{seed}\0{self.prompt_id(prompt)}") for prompt in prompts.tolist())
        keys = np.fromiter(drawn, np.uint64, len(prompts))
        return prompts[np.argsort(keys >> ID_SHIFT, kind="stable")]

    def prompt_id(self, prompt: int) -> str:
        """Return a prompt's id, `prompt_id_of` its text."""
        return f"{int(self._keys[prompt]):016x}"[:12]

    def find(self, prompt_ids: Iterable[str]) -> NDArray[np.int64]:
        """Return the prompts that have these ids; an id that no prompt has is left out."""
        wanted = np.array(sorted({int(prompt_id, 16) for prompt_id in prompt_ids}), np.uint64)
        return np.flatnonzero(np.isin(self._keys >> ID_SHIFT, wanted))

    def record(self, prompt: int) -> AuditPrompt:
        """Return a prompt as a record."""
        rows = self._rows[self._starts[prompt] : self._starts[prompt + 1]].tolist()
        root = self.prompt_id(int(self.roots[prompt]))
        return AuditPrompt(
            prompt_id=self.prompt_id(prompt),
            # Of several spellings that differ in normal form only, one that no order of rows can change.
            text=min(self._captions[row].strip() for row in rows),
            group_id=hashlib.sha256(root.encode()).hexdigest()[:12],
            duplication_count=int(self.counts[prompt]),
            example_ids=tuple(self._ids[row] for row in rows),
        )


def _key(caption: str) -> int:
    """Return 64 bits of the hash of a caption's normal form; 0 where there is none."""
    text = normalize(caption)
    if not text:
        return 0
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")
