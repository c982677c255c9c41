"""Progress bars on a terminal, silence elsewhere."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TextIO

import pytest

from memex_audit.protocols import ReportsSteps

if TYPE_CHECKING:
    from memex_audit.audit import Progress


# What is printed meanwhile goes where pytest leads it, not to the bar's terminal.
IN_PLACE: Mapping[str, Any] = MappingProxyType({"redirect_stdout": False, "redirect_stderr": False})
TERMINAL: "pytest.StashKey[TextIO]" = pytest.StashKey()
# The console that a bar is on at the moment: a line through another one would cut the bar in two.
OF_BAR: "pytest.StashKey[Any]" = pytest.StashKey()


def open_terminal(config: pytest.Config) -> None:
    """Keep a way to the terminal, if there is one and something may be shown on it.

    To be called while no test runs: then pytest's own stream leads to the terminal, and while one runs or is
    collected into the capture.
    """
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is None or not reporter.isatty() or reporter.verbosity < 0:
        return
    stream = os.fdopen(os.dup(reporter._tw._file.fileno()), "w", encoding="utf-8", errors="replace")
    config.stash[TERMINAL] = stream
    config.add_cleanup(stream.close)


def _console(config: pytest.Config) -> Any:
    """Return a rich console on the terminal; None where there is none."""
    stream = config.stash.get(TERMINAL, None)
    if stream is None:
        return None
    from rich.console import Console

    # Of 0 columns are terminals that do not say how wide they are.
    return Console(file=stream, width=os.get_terminal_size(stream.fileno()).columns or None)


def say(config: pytest.Config, text: str) -> None:
    """Write a line on the terminal at once, above a bar; where there is no terminal it is logged."""
    console = config.stash.get(OF_BAR, None) or _console(config)
    if console is None:
        logging.getLogger(__name__).warning(text)
        return
    console.print(text, markup=False, highlight=False)


@contextmanager
def mining_progress(config: pytest.Config) -> Iterator[Callable[[int, int | None], None] | None]:
    """Give a callback for the number of embedded examples, and of all where that is known."""
    console = _console(config)
    if console is None:
        yield None
        return
    from rich.progress import Progress

    console.line()  # what pytest has written of its own line stays
    with Progress(console=console, transient=True, **IN_PLACE) as bar:
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


def generation_progress(config: pytest.Config, generator: Callable[[], object] = lambda: None) -> "Progress":
    """Give a bar around each batch that says how many pictures were drawn, and the sampler's step.

    Args:
        config: of the session, whose terminal is written to.
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
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        # Short enough for a line of 80 columns: rich would break it.
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=15),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[step]}"),
        )
        around, config.stash[OF_BAR] = config.stash.get(OF_BAR, None), console
        console.line()  # what pytest has written of its own line stays
        with Progress(*columns, console=console, transient=True, **IN_PLACE) as bar:
            task = bar.add_task(f"generating ({drawn:,} pictures so far)", total=n, step="")

            def advance(just_drawn: int) -> None:
                nonlocal drawn
                drawn += just_drawn
                bar.update(task, advance=just_drawn, step="")

            try:
                with _listening(generator(), lambda step, of: bar.update(task, step=f"step {step} of {of}")):
                    yield advance
            finally:
                config.stash[OF_BAR] = around

    return around_batch
