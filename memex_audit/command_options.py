"""Options of an audit on a command of `memex`."""

from collections.abc import Callable
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
