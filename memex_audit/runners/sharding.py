"""Which part of the work is a machine's: shard i of n, numbered from 1 as in --shard 1/8 ... 8/8."""

import hashlib
import re
import unicodedata
from dataclasses import dataclass

from memex_audit.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Shard `number` of `count`, from 1; every piece of work lies in exactly one of them."""

    number: int = 1
    count: int = 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def holds_prompt(self, text: str) -> bool:
        """Whether a prompt is of this shard: a function of its text and the number of shards alone.

        So prompts that are added or taken away move no other, and the order of a file does not matter.

        >>> sum(Shard(number=number, count=8).holds_prompt("a cat") for number in range(1, 9))
        1
        """
        normal = unicodedata.normalize("NFC", text.strip()).encode("utf-8", "surrogatepass")
        return self.holds_number(int.from_bytes(hashlib.sha256(normal).digest()[:8], "big"))

    def holds_number(self, number: int) -> bool:
        """Whether a piece of work with a number, from 0, is of this shard: every `count`-th is."""
        return number % self.count == self.number - 1


WHOLE = Shard()


def parse_shard(text: str) -> Shard:
    """Read `i/n`.

    Raises:
        ConfigurationError: it is no shard of 1 to n.
    """
    found = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text, re.ASCII)
    number, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= count:
        raise ConfigurationError(
            f"--shard must be i/n with i from 1 to n, got {text!r}; in a Slurm array of 1-8 write "
            "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT, and under torchrun, whose ranks begin with 0, "
            "$((RANK + 1))/$WORLD_SIZE."
        )
    return Shard(number=number, count=count)
