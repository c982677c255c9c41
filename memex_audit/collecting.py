"""Which cases a run has: one for each audit prompt, or for a batch of them; none that nobody asked for."""

import inspect
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

import pytest

from memex_audit.batches import PromptBatch, batch_size, divide, makes_batches
from memex_audit.config import check_marker
from memex_audit.errors import MemexAuditError
from memex_audit.work_units import BATCH

if TYPE_CHECKING:
    from memex_audit.records import AuditPrompt
    from memex_audit.session import AuditSession

PROMPT = "duplicated_prompt"
PLUGIN = "memex_audit.plugin"
# Fixtures that a user may override.
OWN_PARTS = ("memex_model", "memex_generator", "memex_embedder", "memex_training_index")
# Fixtures whose cases are made only where an option asks for them.
ASKED_BY = {
    "planted_canaries": "canaries are made where --memex-canaries FILE names their manifest",
    "prompt_neighbourhood": "prompts like the known ones are made where --memex-neighbours N says how many",
    "untargeted_extraction": "untargeted extraction are made where --memex-untargeted N says of how many",
}


@contextmanager
def as_one_line(kind: type[Exception]) -> Iterator[None]:
    """Turn this package's errors into one that pytest shows without a traceback."""
    try:
        yield
    except MemexAuditError as error:
        raise kind(str(error)) from error


def is_audit_case(item: pytest.Item) -> bool:
    """Whether this test audits a model: it asks for the fixture `memex`."""
    return "memex" in getattr(item, "fixturenames", ())


def is_whole_batch(item: pytest.Function) -> bool:
    """Whether a case is a batch, and none of its prompts is being asked for at the moment."""
    return isinstance(item.funcargs.get(PROMPT), PromptBatch)


class CaseCollection:
    """Makes the cases of a session, and counts what is left of them."""

    def __init__(self, session: "AuditSession") -> None:
        self._session = session
        self._audits_prompts = False
        self._lacking: dict[str, None] = {}
        self._heeded: set[object] = set()
        self.nodeids: tuple[str, ...] = ()
        self.n_selected = 0
        self.n_deselected = 0

    def parameter(self, name: str) -> "AuditPrompt | PromptBatch":
        """Return what a case is made of: the prompt of that id, or the batch."""
        if name.startswith(BATCH):
            return self._batches[name.removeprefix(BATCH)]
        return self._prompts[name]

    def heed_own_parts(self, item: pytest.Item) -> None:
        """Tell the bench which of the parts that a case may ask for are a user's own, made by a fixture."""
        if item.parent in self._heeded:
            return
        self._heeded.add(item.parent)
        bench, found = self._session.bench, item.session._fixturemanager.getfixturedefs
        own = {name for name in OWN_PARTS if found(name, item)[-1].func.__module__ != PLUGIN}  # type: ignore[index]
        if own & {"memex_embedder", "memex_training_index"}:
            bench.looks_up_otherwise = True
        if "memex_model" in own:
            bench.loads_otherwise = True

    @property
    def batches(self) -> Mapping[str, Sequence[str]]:
        """The ids of each batch by that of its first prompt; none where no case is a batch."""
        if "_batches" not in self.__dict__:
            return {}
        return {name: [p.prompt_id for p in batch.prompts] for name, batch in self._batches.items()}

    @cached_property
    def _prompts(self) -> "dict[str, AuditPrompt]":
        return {prompt.prompt_id: prompt for prompt in self._session.prompts.prompts}

    @cached_property
    def _batches(self) -> dict[str, PromptBatch]:
        prompts = self._session.prompts.prompts
        return {batch.name: batch for batch in divide(prompts, batch_size(len(prompts)))}

    # -- hooks

    @pytest.hookimpl
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make the cases of a test that asks for prompts; mine the training set if no cache has it."""
        if PROMPT not in metafunc.fixturenames:
            return
        with as_one_line(pytest.Collector.CollectError):
            prompts = self._session.prompts.prompts
        chosen = self._session.settings.granularity
        if makes_batches(chosen, len(prompts)) and _takes_prompts_itself(metafunc):
            names = [batch.prompts[0] for batch in self._batches.values()]
            prefix = BATCH
        else:
            names, prefix = list(prompts), ""
        parameters = [f"{prefix}{prompt.prompt_id}" for prompt in names]
        # Ids are made of content, so -k, --lf and a report's history survive insertions.
        shown = [f"{prefix}{self._shown(prompt)}" for prompt in names]
        metafunc.parametrize(PROMPT, parameters, ids=shown, indirect=True)

    def _shown(self, prompt: "AuditPrompt") -> str:
        from memex_audit.explain import prompt_slug

        if self._session.settings.redacts_captions:
            return prompt.prompt_id
        return f"{prompt_slug(prompt.text)}-{prompt.prompt_id}"

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makeitem(self, obj: object) -> list[pytest.Item] | None:
        """Make no case of what is not asked for by an option: nothing is skipped, and nothing left out."""
        if not inspect.isfunction(obj):
            return None
        code = inspect.unwrap(obj).__code__
        taken = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        if PROMPT in taken and self._without_prompts():
            return []
        lacking = [ASKED_BY[name] for name in ASKED_BY if name in taken and not self._asks_for(name)]
        self._lacking |= dict.fromkeys(lacking)
        return [] if lacking else None

    def _asks_for(self, name: str) -> bool:
        settings = self._session.settings
        if name == "untargeted_extraction":
            return self._session.bench.untargeted_generations > 0
        return bool(
            {"planted_canaries": settings.canaries, "prompt_neighbourhood": settings.neighbours}[name]
        )

    def _without_prompts(self) -> bool:
        with as_one_line(pytest.Collector.CollectError):
            return self._session.why_no_prompts is not None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Check the markers of audit cases before anything is drawn; let -k find a prompt in its batch."""
        with as_one_line(pytest.UsageError):
            for item in filter(is_audit_case, items):
                for marker in item.iter_markers("memex"):
                    check_marker(marker.kwargs)
        if config.option.keyword and "_batches" in self.__dict__:
            for item in items:
                callspec = getattr(item, "callspec", None)
                name = str(callspec.params.get(PROMPT, "")) if callspec else ""
                if name.startswith(BATCH):
                    batch = self._batches[name.removeprefix(BATCH)]
                    item.extra_keyword_matches.update(map(self._shown, batch.prompts))

    @pytest.hookimpl
    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """Count what was left out: such a run is incomplete."""
        self.n_deselected += sum(map(is_audit_case, items))

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note which cases are left after deselection: batches are planned over these."""
        cases = [item for item in session.items if is_audit_case(item)]
        self.n_selected = len(cases)
        self._audits_prompts = any(PROMPT in getattr(item, "fixturenames", ()) for item in cases)
        self.nodeids = tuple(item.nodeid for item in session.items)

    @pytest.hookimpl
    def pytest_report_collectionfinish(self, items: list[pytest.Item]) -> list[str]:
        """Say what is audited, where anything is."""
        if not items and self._lacking:
            return [f"memex: cases of {lacking}" for lacking in self._lacking]
        if not any(map(is_audit_case, items)):
            return []
        from memex_audit.reporting.terminal import header_lines

        session = self._session
        prompts = session.prompts if self._audits_prompts else None
        width = shutil.get_terminal_size().columns
        return header_lines(session.settings, prompts, session.why_no_prompts, width=width)


def _takes_prompts_itself(metafunc: pytest.Metafunc) -> bool:
    """Whether nothing but the test itself takes the prompt: a fixture would be made once for all of them."""
    made_by = metafunc.definition._fixtureinfo.name2fixturedefs
    if len(made_by.get(PROMPT, ())) != 1 or PROMPT not in metafunc.definition._fixtureinfo.argnames:
        return False
    return not any(PROMPT in fixture.argnames for others in made_by.values() for fixture in others)
