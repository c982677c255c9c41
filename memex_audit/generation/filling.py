"""Draw what the store does not have yet, a batch of prompts at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

from memex_audit.batch_size import BatchSize
from memex_audit.errors import UnitDamaged
from memex_audit.generation.drawing_requests import Progress, draw_requests
from memex_audit.generation.store import UnitStore
from memex_audit.protocols import Generator
from memex_audit.records import Generation, GenerationRequest

# Whether the pixels of pictures that were just drawn of a prompt are written, beside their block sums.
Keeps = Callable[[str, Sequence[Generation]], bool]
Write = Callable[[str, Sequence[int], Sequence[Generation]], None]

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
    keeps: Keeps | None = None,
    unkept: dict[GenerationRequest, Generation] | None = None,
) -> None:
    """Make sure that the store holds the first `n` pictures of each prompt.

    Under the locks of these prompts, what is missing is drawn in batches across prompts. A prompt is
    written as soon as its last picture is there, and what is there of it if the drawing breaks off, so an
    interruption loses at most one batch. `generator` is called only if anything is missing; `progress`
    hears the number of pictures just drawn. Where memory runs out, batches become smaller, and a `batch_size`
    that is no plain number stays so. `keeps` decides which pixels are written, without it the store; those
    that are not go to `unkept`, where it is given.

    Raises:
        ModelError: the generator broke off, does not answer as it must, or draws what the store holds of it
            otherwise; what it drew before is kept.
        StoreError: the store cannot be written.
    """
    if store.same_model:
        store.same_model.know(prompts)
    prompts = [prompt for prompt in dict.fromkeys(prompts) if store.missing(prompt, n)]
    batch_size = BatchSize.of(batch_size)
    for first in range(0, len(prompts), PROMPTS_AT_ONCE):
        at_once = prompts[first : first + PROMPTS_AT_ONCE]
        write = _Writing(store=store, keeps=keeps, unkept=unkept)
        _fill_locked(store, generator, at_once, n, batch_size=batch_size, progress=progress, write=write)


def draw(
    store: UnitStore,
    generator: Callable[[], Generator],
    prompts: Sequence[str],
    n: int,
    *,
    batch_size: int | BatchSize,
    progress: Progress = lambda _: None,
    first: int = 0,
    keeps: Keeps | None = None,
    reduced: bool = False,
) -> Iterator[list[Generation]]:
    """Fill the store as `fill` does, and yield the first `n` pictures of each prompt from it, or of these
    those from number `first` on.

    A damaged unit is discarded, and its pictures are drawn again. So are pictures whose pixels were not kept,
    unless they may be `reduced`.

    Raises:
        ModelError: as `fill`.
        StoreError: the store cannot be written, or a unit is of another version.
    """

    unkept: dict[GenerationRequest, Generation] = {}

    def fill_with(missing: Sequence[str]) -> None:
        fill(
            store, generator, missing, n,
            batch_size=batch_size, progress=progress, keeps=keeps, unkept=unkept,
        )  # fmt: skip

    for together in _in_memory_together(store, prompts, n - first, batch_size, keeps):
        fill_with(together)
        for prompt in together:
            try:
                pictures = store.read(prompt, n, first=first)
            except UnitDamaged:
                store.discard_damaged(prompt)
                fill_with([prompt])
                pictures = store.read(prompt, n, first=first)
            pictures = [unkept.pop(picture.request, picture) for picture in pictures]
            yield (
                pictures
                if reduced
                else draw_again(
                    store, generator, prompt, pictures, n, batch_size=batch_size, progress=progress
                )
            )


def draw_again(
    store: UnitStore,
    generator: Callable[[], Generator],
    prompt: str,
    pictures: Sequence[Generation],
    n: int,
    *,
    batch_size: int | BatchSize,
    progress: Progress = lambda _: None,
) -> list[Generation]:
    """Return some of a prompt's first `n` pictures with their pixels: those not kept are drawn again.

    Where the store keeps pixels it then has them.

    Raises:
        ModelError: as `fill`.
        StoreUnwritable: the store cannot be written.
    """
    requests = [picture.request for picture in pictures if picture.reduced]
    if not requests:
        return list(pictures)
    drawn = draw_requests(generator(), requests, BatchSize.of(batch_size), progress)
    again = dict(zip(requests, drawn, strict=True))
    for picture in pictures:
        if picture.reduced:
            store.note_difference(picture, again[picture.request])
    if store.keeps_pixels:
        numbered = {number: again.get(store.request(prompt, number)) for number in range(n)}
        drawn_again = {number: picture for number, picture in numbered.items() if picture}
        with store.lock([prompt]):
            _write_runs(store, prompt, list(drawn_again), list(drawn_again.values()))
    return [again.get(picture.request, picture) for picture in pictures]


def _in_memory_together(
    store: UnitStore, prompts: Sequence[str], n: int, batch_size: int | BatchSize, keeps: Keeps | None
) -> Iterator[Sequence[str]]:
    """Yield prompts whose pictures may be in memory at once: all, unless none of their pixels is written.

    A caller that decides about pixels asks for few prompts at a time.
    """
    at_once = len(prompts) or 1
    if keeps is None and not store.keeps_pixels:
        at_once = max(1, BatchSize.of(batch_size).at_once // max(1, n))
    for start in range(0, len(prompts), at_once):
        yield prompts[start : start + at_once]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Writing:
    """Writes pictures of a prompt with their pixels, or without; see `fill`."""

    store: UnitStore
    keeps: Keeps | None
    unkept: dict[GenerationRequest, Generation] | None

    def __call__(self, prompt: str, numbers: Sequence[int], pictures: Sequence[Generation]) -> None:
        kept = True  # where nothing can be decided, nothing is dropped
        try:
            kept = self.keeps(prompt, pictures) if self.keeps else self.store.keeps_pixels
        finally:
            if not kept and self.unkept is not None:
                self.unkept.update({picture.request: picture for picture in pictures})
            written = pictures if kept else [self.store.reduce(picture) for picture in pictures]
            _write_runs(self.store, prompt, numbers[: len(written)], written)


def _write_runs(
    store: UnitStore, prompt: str, numbers: Sequence[int], pictures: Sequence[Generation]
) -> None:
    for run in _consecutive(numbers):
        store.write(prompt, [numbers[i] for i in run], [pictures[i] for i in run])


def _fill_locked(
    store: UnitStore,
    generator: Callable[[], Generator],
    prompts: Sequence[str],
    n: int,
    *,
    batch_size: BatchSize,
    progress: Progress,
    write: Write,
) -> None:
    with store.lock(prompts):
        work = [(prompt, number) for prompt in prompts for number in store.missing(prompt, n)]
        if not work:  # another worker was faster
            return
        drawing = generator()
        if store.same_model:
            store.same_model.check(drawing)
        for portion in _portions(work, batch_size, each_batch=getattr(drawing, "keeps_every_batch", False)):
            _draw_and_keep(store, drawing, portion, batch_size=batch_size, progress=progress, write=write)


def _draw_and_keep(
    store: UnitStore,
    generator: Generator,
    work: Sequence[tuple[str, int]],
    *,
    batch_size: BatchSize,
    progress: Progress,
    write: Write,
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
            if pictures:
                write(prompt, numbers, pictures)


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
