"""The pytest plugin: options and fixtures. The run itself is followed by session.AuditSession.

Importing this loads nothing heavy: a project that does not audit pays for a few options.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from memex_audit.collecting import is_whole_batch
from memex_audit.config import OPTIONS, Settings, read_settings
from memex_audit.errors import ConfigurationError
from memex_audit.session import SESSION, AuditSession

if TYPE_CHECKING:
    from memex_audit.batches import PromptBatch
    from memex_audit.case import Memex
    from memex_audit.protocols import Embedder, Generator, Index
    from memex_audit.records import AuditPrompt, CanaryResult, Neighbourhood, UntargetedResult

# What says which CI job this is; nothing below this module reads the environment, but for an
# endpoint's key where its model is opened.
CI_VARIABLES = (
    "GITHUB_ACTIONS", "GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_RUN_NUMBER",
    "GITHUB_WORKFLOW", "GITLAB_CI", "CI_PROJECT_URL", "CI_PIPELINE_IID", "CI_JOB_NAME", "CI_JOB_URL",
)  # fmt: skip
MARKER = (
    "memex(limit, confidence, on_extracted, inconclusive): how this audit case is judged; "
    "over the options and ini values of the same names."
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --memex-... options, and ini options memex_... of the same names."""
    group = parser.getgroup("memex", "memorization audit of an image-generating model")
    for option in OPTIONS:
        # argparse takes a percent sign for the start of a field of its own.
        shown = option.help.replace("%", "%%")
        group.addoption(option.flag, default=None, metavar=option.metavar, help=shown)
        # Typed, since [tool.pytest] takes a number for a number only.
        said = f"{option.flag} as an ini option"
        parser.addini(f"memex_{option.name}", said, type=option.ini_type, default=None)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker and follow the session; a value that cannot be used ends the run here."""
    config.addinivalue_line("markers", MARKER)
    try:
        settings = settings_of(config)
    except ConfigurationError as error:
        raise pytest.UsageError(str(error)) from error
    summary_file = os.environ.get("GITHUB_STEP_SUMMARY")
    ci = {name: os.environ[name] for name in CI_VARIABLES if name in os.environ}
    session = AuditSession(config, settings, Path(summary_file) if summary_file else None, ci)
    config.stash[SESSION] = session
    config.pluginmanager.register(session, "memex_session")
    config.pluginmanager.register(session.collection, "memex_collection")


def settings_of(config: pytest.Config) -> Settings:
    """Return the audit's settings: options over ini values over defaults.

    Raises:
        ConfigurationError: a value cannot be used.
    """
    return read_settings({option.name: _given(config, option.name) for option in OPTIONS})


def _given(config: pytest.Config, name: str) -> str | None:
    value = config.getoption(f"memex_{name}")
    try:
        value = config.getini(f"memex_{name}") if value is None else value
    except (TypeError, ValueError) as error:  # pytest 9.2 makes a usage error of it itself
        raise pytest.UsageError(str(error)) from error
    return None if value is None else str(value)


@pytest.fixture
def duplicated_prompt(request: pytest.FixtureRequest) -> "AuditPrompt | PromptBatch":
    """One prompt whose images are among the most duplicated of the training set."""
    return request.config.stash[SESSION].collection.parameter(request.param)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Call the test of a batch once for each of its prompts."""
    if not is_whole_batch(pyfuncitem):
        return None
    from memex_audit.batch_case import audit_batch

    audit_batch(pyfuncitem, pyfuncitem.config.stash[SESSION])
    return True


@pytest.fixture
def memex(request: pytest.FixtureRequest) -> "Memex":
    """The audit, bound to this test: `finding(prompt)`, `rate()`, controls, and how they are judged."""
    from memex_audit.case import Memex

    return Memex(request.config.stash[SESSION], request)


@pytest.fixture
def planted_canaries(memex: "Memex") -> "CanaryResult":
    """What the audit finds of the canaries of --memex-canaries; without that no case that asks is made."""
    return memex.canaries()


@pytest.fixture
def prompt_neighbourhood(memex: "Memex") -> "Neighbourhood":
    """What the audit finds for prompts like the known ones; without --memex-neighbours no case is made."""
    return memex.neighbourhood()


@pytest.fixture
def untargeted_extraction(memex: "Memex") -> "UntargetedResult":
    """What comes back unasked: pictures for no prompt in particular, looked up in the training set."""
    return memex.untargeted()


@pytest.fixture(scope="session")
def memex_device(pytestconfig: pytest.Config) -> str:
    """The device of this process, "cpu", "mps" or "cuda:N": with pytest-xdist each worker has its own."""
    return pytestconfig.stash[SESSION].bench.device


@pytest.fixture(scope="session")
def memex_model(pytestconfig: pytest.Config) -> Any:
    """The loaded diffusers pipeline. Override it to load a model your own way."""
    return pytestconfig.stash[SESSION].bench.open_pipeline()


@pytest.fixture(scope="session")
def memex_generator(pytestconfig: pytest.Config, request: pytest.FixtureRequest) -> "Generator":
    """What draws the pictures. Override it with any object that offers protocols.Generator."""
    session = pytestconfig.stash[SESSION]
    return session.bench.open_generator(
        # The model may be loaded many cases later, when a picture is missing.
        lambda: (session.request or request).getfixturevalue("memex_model")
    )


@pytest.fixture(scope="session")
def memex_embedder(pytestconfig: pytest.Config) -> "Embedder":
    """What embeds generations to look them up. Override it with any object of protocols.Embedder."""
    return pytestconfig.stash[SESSION].bench.open_embedder()


@pytest.fixture(scope="session")
def memex_training_index(pytestconfig: pytest.Config) -> "Index":
    """The FAISS index over the training set."""
    return pytestconfig.stash[SESSION].bench.open_index()
