"""Find the row of an example by its id, among millions of them."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from memex_audit.training_set.texts import Texts


class IdTable:
    """Ids in the order of their rows, and the row of each: some 40 bytes an id, a quarter of a dict's.

    An id that stands on several rows is "x", "x#2", "x#3".

    Args:
        parts: the ids, in parts.
    """

    def __init__(self, parts: Iterable[list[str]]) -> None:
        chunks = [pa.array(part, pa.string()) for part in parts]
        self.ids = Texts(pa.chunked_array(chunks, pa.string()))
        self._order, self._hashes = self._sorted()
        if (self._hashes[1:] == self._hashes[:-1]).any():
            self.ids = Texts(pa.chunked_array([_numbered(self.ids)], pa.string()))
            self._order, self._hashes = self._sorted()

    def __len__(self) -> int:
        return len(self.ids)

    def row(self, example_id: str) -> int | None:
        """Return the row of an id; None where there is no such id."""
        wanted = hash(example_id)
        place = int(np.searchsorted(self._hashes, wanted))
        # Two ids may have one hash.
        while place < len(self._hashes) and self._hashes[place] == wanted:
            if self.ids[row := int(self._order[place])] == example_id:
                return row
            place += 1
        return None

    def _sorted(self) -> "tuple[np.ndarray, np.ndarray]":
        hashes = np.fromiter(map(hash, self.ids), np.int64, len(self.ids))
        order = np.argsort(hashes, kind="stable")
        return order.astype(np.int32 if len(order) < 2**31 else np.int64), hashes[order]


def _numbered(ids: Iterable[str]) -> list[str]:
    numbered: dict[str, None] = {}
    seen: Counter[str] = Counter()
    for name in ids:
        unique = name
        while unique in numbered:
            seen[name] += 1
            unique = f"{name}#{seen[name] + 1}"
        numbered[unique] = None
    return list(numbered)
