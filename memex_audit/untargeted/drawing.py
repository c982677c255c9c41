"""Draw many pictures for no prompt in particular, batch by batch from the store: one batch is in memory."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from memex_audit.errors import ImagesSpent
from memex_audit.generation.filling import draw
from memex_audit.records import Generation

if TYPE_CHECKING:
    from memex_audit.audit import Progress
    from memex_audit.spending import Spending
    from memex_audit.workbench import Workbench

# Pictures that are drawn, kept and judged together: an interruption loses no more than one batch of the
# generator's, and a resumed run reads units of this size.
AT_ONCE = 128
NO_PROMPT = ""

Segment = tuple[str, int, int]


def draw_untargeted(
    bench: "Workbench", prompts: Sequence[str], n: int, *, progress: "Progress", spending: "Spending"
) -> Iterator[list[Generation]]:
    """Yield `n` pictures in batches, from the store or drawn into it; fewer where the budget ends.

    So does the cap of an endpoint; what came of a batch before it is in the store.

    Args:
        bench: what draws.
        prompts: asked in turn, each for its share; without any the empty prompt for all.
        n: pictures in all, at least 1.
        progress: opened around each batch.
        spending: what may be drawn.

    Raises:
        ModelError, StoreError: as drawing for any prompt.
    """
    for batch in _batches(_segments(prompts or [NO_PROMPT], n)):
        _, first, last = batch[0]
        texts = [text for text, _, _ in batch]
        missing = bench.unit_store.count_missing(texts, last)
        cost = bench.generator.evaluations_per_image if missing else 0
        if missing and spending.has_end and not spending.may_draw(missing, cost):
            spending.refuse_if_nothing_was_drawn(missing, cost)
            return
        with progress(missing) as advance:
            spending.begin()
            drawn = draw(
                bench.unit_store,
                lambda: bench.generator,
                texts,
                last,
                first=first,
                batch_size=bench.batch_size,
                progress=_counting(spending, cost, advance),
            )
            try:
                pictures = [generation for one in drawn for generation in one]
            except ImagesSpent:
                return
        yield pictures


def _counting(spending: "Spending", cost: int, advance: Callable[[int], None]) -> Callable[[int], None]:
    def hear(just_drawn: int) -> None:
        spending.count(just_drawn, cost)
        advance(just_drawn)

    return hear


def _segments(prompts: Sequence[str], n: int) -> Iterator[Segment]:
    """Yield which pictures of which prompt are wanted, a part of at most AT_ONCE each."""
    distinct = list(dict.fromkeys(prompts))[:n]
    each, more = divmod(n, len(distinct))
    wanted = [(text, each + (number < more)) for number, text in enumerate(distinct)]
    for first in range(0, each + 1, AT_ONCE):
        for text, count in wanted:
            if first < count:
                yield text, first, min(first + AT_ONCE, count)


def _batches(segments: Iterator[Segment]) -> Iterator[list[Segment]]:
    """Put parts of the same numbers together, up to AT_ONCE pictures."""
    for (first, last), same in groupby(segments, key=lambda segment: segment[1:]):
        together = list(same)
        most = max(1, AT_ONCE // (last - first))
        for start in range(0, len(together), most):
            yield together[start : start + most]
