"""Draw what the store does not have yet, a batch of prompts at a time."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice

from memex_audit.batch_size import BatchSize
from memex_audit.errors import MemexAuditError, ModelError, UnitDamaged, first_line
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
    batch_size: int | BatchSize,
    progress: Progress = lambda _: None,
) -> None:
    """Make sure that the store holds the first `n` pictures of each prompt.

    Under the locks of these prompts, what is missing is drawn in batches across prompts. A prompt is
    written as soon as its last picture is there, and what is there of it if the drawing breaks off, so an
    interruption loses at most one batch. `generator` is called only if anything is missing; `progress`
    hears the number of pictures just drawn. Where memory runs out, batches become smaller, and a `batch_size`
    that is no plain number stays so.

    Raises:
        ModelError: the generator broke off, or does not answer as it must; what it drew before is kept.
        StoreError: the store cannot be written.
    """
    prompts = [prompt for prompt in dict.fromkeys(prompts) if store.missing(prompt, n)]
    batch_size = BatchSize.of(batch_size)
    for first in range(0, len(prompts), PROMPTS_AT_ONCE):
        at_once = prompts[first : first + PROMPTS_AT_ONCE]
        _fill_locked(store, generator, at_once, n, batch_size=batch_size, progress=progress)


def draw(
    store: UnitStore,
    generator: Callable[[], Generator],
    prompts: Sequence[str],
    n: int,
    *,
    batch_size: int | BatchSize,
    progress: Progress = lambda _: None,
    first: int = 0,
) -> Iterator[list[Generation]]:
    """Fill the store as `fill` does, and yield the first `n` pictures of each prompt from it, or of these
    those from number `first` on.

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
            pictures = store.read(prompt, n, first=first)
        except UnitDamaged:
            store.discard_damaged(prompt)
            fill_with([prompt])
            pictures = store.read(prompt, n, first=first)
        yield pictures


def _fill_locked(
    store: UnitStore,
    generator: Callable[[], Generator],
    prompts: Sequence[str],
    n: int,
    *,
    batch_size: BatchSize,
    progress: Progress,
) -> None:
    with store.lock(prompts):
        work = [(prompt, number) for prompt in prompts for number in store.missing(prompt, n)]
        if not work:  # another worker was faster
            return
        drawing = generator()
        for portion in _portions(work, batch_size, each_batch=getattr(drawing, "keeps_every_batch", False)):
            _draw_and_keep(store, drawing, portion, batch_size, progress)


def _draw_and_keep(
    store: UnitStore,
    generator: Generator,
    work: Sequence[tuple[str, int]],
    batch_size: BatchSize,
    progress: Progress,
) -> None:
    """Draw pictures, each a prompt and a number, and write those of a prompt when the last is there."""
    requests = [store.request(prompt, number) for prompt, number in work]
    drawn = draw_requests(generator, requests, batch_size, progress)
    for prompt, items in groupby(work, key=lambda item: item[0]):
        numbers = [number for _, number in items]
        pictures: list[Generation] = []
        try:
            pictures.extend(islice(drawn, len(numbers)))
        finally:
            for run in _consecutive(numbers[: len(pictures)]):
                store.write(prompt, [numbers[i] for i in run], [pictures[i] for i in run])


def _portions(
    work: Sequence[tuple[str, int]], batch_size: BatchSize, *, each_batch: bool
) -> Iterator[Sequence[tuple[str, int]]]:
    """Yield what is drawn before anything is written: all, or a batch of a prompt where each is paid for."""
    if not each_batch:
        yield work
        return
    for _, items in groupby(work, key=lambda item: item[0]):
        of_prompt = list(items)
        for first in range(0, len(of_prompt), batch_size.at_once):
            yield of_prompt[first : first + batch_size.at_once]


def draw_requests(
    generator: Generator,
    requests: Sequence[GenerationRequest],
    batch_size: BatchSize,
    progress: Progress = lambda _: None,
) -> Iterator[Generation]:
    """Yield the generator's answers, in order, drawn in batches that become smaller where memory runs out.

    Raises:
        ModelError: as `fill`.
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
