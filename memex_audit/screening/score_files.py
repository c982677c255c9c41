"""Screen scores in the store, so that a second audit takes none again.

    screens/<model key>/<settings digest>/<screen>-<seeds>x<steps>/<token>.json

A file holds the scores of some prompts by the SHA-256 of their text: no caption is written down. Processes
write files of their own, and read all.
"""

import hashlib
import json
import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from memex_audit.errors import StoreUnwritable
from memex_audit.whole_file import write_whole


class ScoreFiles:
    """The scores of one model under one set of settings, root seed included; `folder` is theirs alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str, seeds: int, steps: int, prompts: Sequence[str]) -> Iterator[tuple[str, float]]:
        """Yield the prompts that have a score, with it. A file that cannot be read counts as not there."""
        found: dict[str, float] = {}
        for path in sorted(self._scores(name, seeds, steps).glob("*.json")):
            found |= _read(path)
        for prompt in dict.fromkeys(prompts):
            if (digest := _digest(prompt)) in found:
                yield prompt, found[digest]

    def write(self, name: str, seeds: int, steps: int, scores: Mapping[str, float]) -> None:
        """Keep scores by prompt.

        Raises:
            StoreUnwritable: the disk is full or the store cannot be written.
        """
        named = {_digest(prompt): score for prompt, score in scores.items()}
        token = hashlib.sha256("".join(sorted(named)).encode()).hexdigest()[:32]
        folder = self._scores(name, seeds, steps)
        try:
            write_whole(folder / f"{token}.json", json.dumps(named).encode())
        except OSError as error:
            raise StoreUnwritable(
                f"the store {folder} cannot be written ({error.strerror or error}); free space or name "
                "another with --memex-store."
            ) from error

    def _scores(self, name: str, seeds: int, steps: int) -> Path:
        return self._folder / f"{name}-{seeds}x{steps}"


def _read(path: Path) -> dict[str, float]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(values, dict):
        return {}
    return {key: value for key, value in values.items() if isinstance(value, float) and math.isfinite(value)}


def _digest(prompt: str) -> str:
    text = unicodedata.normalize("NFC", prompt).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()
