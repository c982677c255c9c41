"""Draw what the store does not have yet, a batch of prompts at a time."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice

from memex_audit.errors import MemexAuditError, ModelError, UnitDamaged
from memex_audit.generation.guards import check_answers
from memex_audit.generation.store import UnitStore
from memex_audit.protocols import Generator
from memex_audit.records import Generation, GenerationRequest

Progress = Callable[[int], None]

# Prompts whose locks are held at once: each is an open file, of which a process may have 256 on some systems.
PROMPTS_AT_ONCE = 64


def fill(
    store: UnitStore,
    generator: Callable[[], Generator],
    prompts: Sequence[str],
    n: int,
    *,
    batch_size: int,
    progress: Progress = lambda _: None,
) -> None:
    """Make sure that the store holds the first `n` pictures of each prompt.

    Under the locks of these prompts, what is missing is drawn in batches across prompts. A prompt is
    written as soon as its last picture is there, and what is there of it if the drawing breaks off, so an
    interruption loses at most one batch. `generator` is called only if anything is missing; `progress`
    hears the number of pictures just drawn.

    Raises:
        ModelError: the generator broke off, or does not answer as it must; what it drew before is kept.
        StoreError: the store cannot be written.
    """
    prompts = [prompt for prompt in dict.fromkeys(prompts) if store.missing(prompt, n)]
    for first in range(0, len(prompts), PROMPTS_AT_ONCE):
        at_once = prompts[first : first + PROMPTS_AT_ONCE]
        _fill_locked(store, generator, at_once, n, batch_size=batch_size, progress=progress)


def draw(
    store: UnitStore,
    generator: Callable[[], Generator],
    prompts: Sequence[str],
    n: int,
    *,
    batch_size: int,
    progress: Progress = lambda _: None,
) -> Iterator[list[Generation]]:
    """Fill the store as `fill` does, and yield the first `n` pictures of each prompt from it.

    A damaged unit is discarded, and its pictures are drawn again.

    Raises:
        ModelError: as `fill`.
        StoreError: the store cannot be written, or a unit is of another version.
    """

    def fill_with(missing: Sequence[str]) -> None:
        fill(store, generator, missing, n, batch_size=batch_size, progress=progress)

    fill_with(prompts)
    for prompt in prompts:
        try:
            pictures = store.read(prompt, n)
        except UnitDamaged:
            store.discard_damaged(prompt)
            fill_with([prompt])
            pictures = store.read(prompt, n)
        yield pictures


def _fill_locked(
    store: UnitStore,
    generator: Callable[[], Generator],
    prompts: Sequence[str],
    n: int,
    *,
    batch_size: int,
    progress: Progress,
) -> None:
    with store.lock(prompts):
        work = [(prompt, number) for prompt in prompts for number in store.missing(prompt, n)]
        if not work:  # another worker was faster
            return
        requests = [store.request(prompt, number) for prompt, number in work]
        drawn = _draw(generator(), requests, batch_size, progress)
        for prompt, items in groupby(work, key=lambda item: item[0]):
            numbers = [number for _, number in items]
            pictures: list[Generation] = []
            try:
                pictures.extend(islice(drawn, len(numbers)))
            finally:
                for run in _consecutive(numbers[: len(pictures)]):
                    store.write(prompt, [numbers[i] for i in run], [pictures[i] for i in run])


def _draw(
    generator: Generator, requests: Sequence[GenerationRequest], batch_size: int, progress: Progress
) -> Iterator[Generation]:
    name = type(generator).__name__
    for requested in _batches(requests, batch_size):
        given, error = _answers(generator, requested)
        progress(len(given))
        yield from check_answers(name, requested, given, whole=error is None)
        if isinstance(error, MemexAuditError):
            raise error
        if error is not None:
            said = (str(error).strip().splitlines() or [""])[0][:300]
            raise ModelError(
                f"the generator {name} must draw what it is asked for, got {type(error).__name__}: {said} "
                f"after {len(given)} of {len(requested)} pictures of a batch; mend it and run again: what "
                "was drawn before is kept.",
                foreign=said,
            ) from error


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


def _batches(requests: Sequence[GenerationRequest], size: int) -> Iterator[tuple[GenerationRequest, ...]]:
    for first in range(0, len(requests), size):
        yield tuple(requests[first : first + size])


def _consecutive(numbers: Sequence[int]) -> Iterator[list[int]]:
    """Yield positions of runs of consecutive numbers: a unit has no holes."""
    run: list[int] = []
    for i, number in enumerate(numbers):
        if run and number != numbers[run[-1]] + 1:
            yield run
            run = []
        run.append(i)
    if run:
        yield run
