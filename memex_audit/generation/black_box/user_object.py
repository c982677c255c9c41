"""A generator that a user's own code makes: `python:MODULE:FACTORY`."""

import importlib
import sys
from pathlib import Path

from memex_audit.errors import ConfigurationError, GeneratorError, first_line
from memex_audit.protocols import Generator


def make_generator(spec: str, rootdir: Path) -> Generator:
    """Import MODULE, from the project's folder too, call FACTORY without arguments and return what it made.

    Args:
        spec: MODULE:FACTORY.
        rootdir: of the project; the folder that pytest was called in is looked in as well.

    Raises:
        ConfigurationError: there is no such module or name, or it cannot be called.
        GeneratorError: the module or the factory raises.
    """
    module_name, _, name = spec.partition(":")
    if not module_name or not name:
        raise ConfigurationError(
            f"python:MODULE:FACTORY must name a module and what makes a generator in it, got python:{spec}; "
            "for example python:my_project.sampling:make_generator."
        )
    module = _import(module_name, rootdir)
    factory = getattr(module, name, None)
    if not callable(factory):
        found = "no such name" if factory is None else f"a {type(factory).__name__}"
        raise ConfigurationError(
            f"python:{spec} must name a function or class that makes a generator, {module_name} has {found}; "
            "check the name."
        )
    try:
        generator: Generator = factory()
    except Exception as error:
        said = first_line(error)
        raise GeneratorError(
            f"python:{spec} must make a generator without arguments, got {type(error).__name__}: {said}; "
            "mend it.",
            foreign=said,
        ) from error
    return generator


def _import(name: str, rootdir: Path) -> object:
    places = [str(place) for place in dict.fromkeys((rootdir.resolve(), Path.cwd()))]
    # They stay, as with `python -m pytest`: what is made may import more while it draws.
    sys.path[:0] = [place for place in places if place not in sys.path]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _broken(name, error) from error
        raise ConfigurationError(
            f"python:MODULE:FACTORY must name a module that can be imported, got {name}, which is neither "
            f"installed nor in {' or '.join(places)}."
        ) from error
    except Exception as error:
        raise _broken(name, error) from error


def _broken(name: str, error: Exception) -> GeneratorError:
    said = first_line(error)
    return GeneratorError(
        f"the module {name} of --memex-model must be importable, got {type(error).__name__}: {said}; "
        "mend it.",
        foreign=said,
    )
