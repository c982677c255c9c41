"""The settings that `pytest audits/` would have here: options over the project's ini values over defaults."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from memex_audit.config import OPTIONS, Settings
from memex_audit.errors import ConfigurationError
from memex_audit.plugin import settings_of


class _Reader:
    """Looks at pytest's configuration as soon as it is there, and lets nothing run."""

    def __init__(self) -> None:
        self.found: tuple[Settings, Path] | None = None
        self.error: ConfigurationError | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> int:
        try:
            self.found = settings_of(config), config.rootpath
        except ConfigurationError as error:
            self.error = error
        return 0


def read_pytest_settings(given: Mapping[str, str | None], folder: Path) -> tuple[Settings, Path]:
    """Return the settings of an audit from `folder`, and the project's root folder.

    Args:
        given: options by name, over what the project says.
        folder: the current one; its audits/ is what pytest is asked about, if there is one.

    Raises:
        ConfigurationError: a value cannot be used, or pytest cannot read the project's settings.
    """
    flags = {option.name: option.flag for option in OPTIONS}
    arguments = [f"{flags[name]}={value}" for name, value in given.items() if value is not None]
    arguments += ["audits"] if (folder / "audits").is_dir() else []
    reader = _Reader()
    code = pytest.main([*arguments, "--capture=no", "-p", "no:cacheprovider"], plugins=[reader])
    if reader.error is not None:
        raise reader.error
    if reader.found is None:
        raise ConfigurationError(
            f"pytest must be able to read this project's settings, it ended with {int(code)} instead; "
            "see its message above."
        )
    return reader.found
