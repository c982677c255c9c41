"""Options of an audit, and of what shares work out, on a command of `memex`."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from memex_audit.config import OPTIONS


def settings_options(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the audit's options of these names, without their memex prefix."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(OPTIONS):
            if option.name in names:
                flag = f"--{option.name.replace('_', '-')}"
                command = click.option(flag, option.name, metavar=option.metavar, help=option.help)(command)
        return command

    return decorate


def runner_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what says where work is done, and which part of it."""
    for option in (
        click.option(
            "--address", metavar="HOST:PORT",
            help="With --runner ray: the cluster to use (default: one started here, for this command).",
        ),
        click.option(
            "--shard", metavar="i/n", default="1/1", show_default=True,
            help="Do part i of n, from 1/n to n/n. In a Slurm array of 1-n: "
            "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT; under torchrun: $((RANK + 1))/$WORLD_SIZE.",
        ),
        click.option(
            "--workers", type=click.IntRange(min=1), metavar="N",
            help="Processes, or actors of Ray (default: one for each GPU; without any, one here, and of Ray "
            "one for each CPU).",
        ),
        click.option(
            "--runner", type=click.Choice(("local", "ray")), default="local", show_default=True,
            help="Processes of this machine, or actors of a Ray cluster (pip install 'memex-audit[ray]').",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


@contextmanager
def ended_as_by_ctrl_c() -> Iterator[None]:
    """Let SIGTERM, by which batch systems end a job, end a command as Ctrl-C does: what is done is kept."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
