"""Have a generator answer requests, in batches that it has the memory for, and judge what it answers."""

from collections.abc import Callable, Iterator, Sequence

from memex_audit.batch_size import BatchSize
from memex_audit.errors import MemexAuditError, ModelError, first_line
from memex_audit.generation.guards import check_answers
from memex_audit.protocols import Generator
from memex_audit.records import Generation, GenerationRequest

Progress = Callable[[int], None]


def draw_requests(
    generator: Generator,
    requests: Sequence[GenerationRequest],
    batch_size: BatchSize,
    progress: Progress = lambda _: None,
) -> Iterator[Generation]:
    """Yield the generator's answers, in order, drawn in batches that become smaller where memory runs out.

    Raises:
        ModelError: the generator broke off, or does not answer as it must.
    """
    name = type(generator).__name__
    waiting = tuple(requests)
    while waiting:
        requested = waiting[: batch_size.at_once]
        given, error = _answers(generator, requested)
        waiting = waiting[len(given) :]
        progress(len(given))
        yield from check_answers(name, requested, given, whole=error is None)
        if error is None:
            batch_size.held()
        elif not batch_size.halve_after(error, len(requested)):
            raise _broken_off(error, name, len(given), len(requested))


def _broken_off(error: Exception, name: str, n_given: int, n_requested: int) -> MemexAuditError:
    """Return an error that a generator broke off with as one of this package, which says how far it came."""
    if isinstance(error, MemexAuditError):
        return error
    said = first_line(error)
    wrapped = ModelError(
        f"the generator {name} must draw what it is asked for, got {type(error).__name__}: {said} after "
        f"{n_given} of {n_requested} pictures of a batch; mend it and run again: what was drawn before is "
        "kept.",
        foreign=said,
    )
    wrapped.__cause__ = error
    return wrapped


def _answers(
    generator: Generator, requested: Sequence[GenerationRequest]
) -> tuple[list[Generation], Exception | None]:
    """Return what a generator answers, and the error that it broke off with."""
    given: list[Generation] = []
    try:
        for answer in generator.generate(requested):
            given.append(answer)  # noqa: PERF402 - what came before an error is kept
    except Exception as error:  # noqa: BLE001 - a user's generator raises what it likes
        return given, error
    return given, None
