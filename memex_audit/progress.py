"""Progress bars on a terminal, silence elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from memex_audit.protocols import ReportsSteps

if TYPE_CHECKING:
    from memex_audit.audit import Progress
    from memex_audit.records import PromptSet


def _console(config: pytest.Config) -> Any:
    """Return a rich console on pytest's own stream, which output capturing leaves alone; else None."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is None or not reporter.isatty or reporter.verbosity < 0:
        return None
    from rich.console import Console

    return Console(file=reporter._tw._file)


@contextmanager
def mining_progress(config: pytest.Config) -> Iterator[Callable[[int, int | None], None] | None]:
    """Give a callback for the number of embedded examples, and of all where that is known."""
    console = _console(config)
    if console is None:
        yield None
        return
    from rich.progress import Progress

    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("embedding training images", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def _listening(generator: object, hear: Callable[[int, int], None]) -> Iterator[None]:
    """Hear the steps of a generator that reports them."""
    if not isinstance(generator, ReportsSteps):
        yield
        return
    generator.on_step = hear
    try:
        yield
    finally:
        generator.on_step = None


def generation_progress(
    config: pytest.Config, prompts: "PromptSet", generator: Callable[[], object] = lambda: None
) -> "Progress":
    """Give a bar around each batch that says how far the whole audit is, and the batch's sampler.

    Args:
        config: of the session, whose terminal is written to.
        prompts: that are audited.
        generator: gives what draws, which may report its steps.
    """
    console = _console(config)
    drawn = 0

    @contextmanager
    def around_batch(n: int) -> Iterator[Callable[[int], None]]:
        nonlocal drawn
        if console is None:
            yield lambda _: None
            return
        from rich.progress import Progress, TextColumn

        columns = (*Progress.get_default_columns(), TextColumn("{task.fields[step]}"))
        with Progress(*columns, console=console, transient=True) as bar:
            said = f"generating ({drawn:,} pictures of {len(prompts.prompts):,} prompts so far)"
            task = bar.add_task(said, total=n, step="")

            def advance(just_drawn: int) -> None:
                nonlocal drawn
                drawn += just_drawn
                bar.update(task, advance=just_drawn, step="")

            with _listening(generator(), lambda step, of: bar.update(task, step=f"step {step} of {of}")):
                yield advance

    return around_batch
