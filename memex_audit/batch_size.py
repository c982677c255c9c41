"""How many requests a model is given at once: as many as were asked for, fewer once memory ran out."""

import traceback
from collections.abc import Callable
from typing import Union

from memex_audit.errors import MemexAuditError, ModelError, first_line

# What is said by PyTorch on cuda, mps and cpu, cuBLAS and cuDNN, JAX, NumPy and the operating system.
_NO_MEMORY = ("out of memory", "allocate memory", "not enough memory", "alloc_failed", "unable to allocate")


class BatchSize:
    """A number of requests that is halved where memory runs out, and stays so.

    Args:
        at_once: how many requests are given at once to begin with.
        note: hears, for the report, that they became fewer: once for each time that memory ran out.
    """

    def __init__(self, at_once: int, note: Callable[[str], None] = lambda _: None) -> None:
        self.at_once = at_once
        self._note = note
        self._too_many: int | None = None

    @classmethod
    def of(cls, size: Union[int, "BatchSize"]) -> "BatchSize":
        """Return `size` itself, or a number as a size of its own."""
        return cls(size) if isinstance(size, int) else size

    def halve_after(self, error: Exception, n: int) -> bool:
        """Give fewer at once from now on, if a batch of `n` ended with an error for want of memory.

        What the batch held in memory is let go of: the error's traceback would keep it, and the next batch
        would find no more room.

        Raises:
            ModelError: it was a batch of one.
        """
        if not is_out_of_memory(error):
            return False
        let_go(error)
        if n == 1:
            said = first_line(error)
            raise ModelError(
                f"a model must have memory for one picture at a time, got {type(error).__name__}: {said}; "
                "draw smaller ones (--memex-size), or in half precision (--memex-dtype bf16), or see "
                "--memex-attention-slicing and --memex-offload. What was drawn before is kept.",
                foreign=said,
            ) from error
        self._too_many = max(n, self._too_many or 0)
        self.at_once = n // 2
        return True

    def held(self) -> None:
        """Hear that a batch was drawn; notes with how many, if those before it were too many."""
        if self._too_many is not None:
            self._note(
                f"memory did not hold {self._too_many:,} pictures at once: from then on {self.at_once:,} "
                "were drawn at once, which changes none of them but for rounding"
            )
            self._too_many = None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on whatever device and in whichever library.

    >>> is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 9.0 GB)"))
    True
    >>> is_out_of_memory(RuntimeError("expected scalar type Half but found Float"))
    False
    """
    if isinstance(error, MemexAuditError):
        return False
    # torch.OutOfMemoryError, by its name: this module loads no torch.
    if isinstance(error, MemoryError) or "OutOfMemoryError" in (
        kind.__name__ for kind in type(error).__mro__
    ):
        return True
    return any(said in str(error).lower() for said in _NO_MEMORY)


def let_go(error: BaseException | None) -> None:
    """Empty the frames that an error, and those it came of, passed through: they hold what was computed."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
