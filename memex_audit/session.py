"""One pytest session of an audit: lays it out, takes in what its cases record, makes the run's result."""

from collections.abc import Generator, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from memex_audit.collecting import CaseCollection, is_audit_case, is_whole_batch
from memex_audit.config import PRESETS, Settings
from memex_audit.errors import ConfigurationError, GeneratorError, MemexAuditError, StoreUnwritable
from memex_audit.work_units import ALONE, LARGEST_UNIT, Worker, plan_work_units

if TYPE_CHECKING:
    from memex_audit.audit import Audit, Progress
    from memex_audit.failures import FailureFolding
    from memex_audit.records import CanaryResult, Finding, PromptSet, Rate
    from memex_audit.reporting.allure_report import EvidenceBudget
    from memex_audit.run_outputs import RunOutputs
    from memex_audit.run_record import RunRecord
    from memex_audit.spending import Spending
    from memex_audit.unprompted import Unprompted
    from memex_audit.workbench import Workbench


class AuditSession:
    """Follows one pytest session, on the controller and on every xdist worker."""

    def __init__(
        self,
        config: pytest.Config,
        settings: Settings,
        summary_file: Path | None = None,
        ci: Mapping[str, str] | None = None,
    ) -> None:
        self.config = config
        self.settings = settings
        self._summary_file = summary_file
        self._ci = ci or {}
        self.collection = CaseCollection(self)
        self._slots: dict[Any, int] = {}
        self._ended_by: str | None = None
        self.n_notes_sent: int | None = None
        self.noted: dict[str, Finding] = {}
        # Of the case that runs: through it the parts are made that a user may override, when they are needed.
        self.request: pytest.FixtureRequest | None = None

    # -- parts, made when first asked for

    @cached_property
    def bench(self) -> "Workbench":
        """Model, training set, calibration and store of this session."""
        from memex_audit.progress import say
        from memex_audit.workbench import Workbench

        bench = Workbench(self.settings, self.config.rootpath, self._worker)
        bench.tell = partial(say, self.config)
        return bench

    @cached_property
    def _worker(self) -> Worker:
        given = getattr(self.config, "workerinput", None)
        return Worker(slot=given["memex_slot"], count=given["workercount"]) if given else ALONE

    @property
    def _largest_unit(self) -> int:
        batch = (self.settings.batch_size or 0) // PRESETS[self.settings.preset].looks[0]
        return max(LARGEST_UNIT, batch)

    @cached_property
    def prompts(self) -> "PromptSet":
        """The audit set."""
        from memex_audit.progress import mining_progress

        with mining_progress(self.config) as progress:
            self.bench.mining_progress = progress
            return self.bench.prompts

    @cached_property
    def _progress(self) -> "Progress":
        """A bar around each batch on a terminal, with the steps of what is drawn."""
        from memex_audit.progress import generation_progress

        return generation_progress(self.config, lambda: self.bench.generator)

    @cached_property
    def audit(self) -> "Audit":
        """The audit of the whole set; prompts of this run's cases are drawn in batches of their own."""

        return self.bench.audit(
            self.bench.audit_set,
            units=plan_work_units(
                self.collection.nodeids,
                self._worker.count,
                largest=self._largest_unit,
                batches=self.collection.batches,
            ),
            progress=self._progress,
            spending=self._spending,
        )

    @cached_property
    def _spending(self) -> "Spending":
        """What this process may draw: each worker has its share, as none knows what the others spend."""
        from memex_audit.spending import Spending

        return Spending(
            self.settings.budget,
            share=1 / self._worker.count,
            pictures_left=self.bench.pictures_left if self.settings.max_images else None,
        )

    @cached_property
    def unprompted(self) -> "Unprompted":
        """The untargeted extraction."""
        from memex_audit.unprompted import Unprompted

        return Unprompted(self.bench, self._progress, self._spending)

    @cached_property
    def why_no_prompts(self) -> str | None:
        """Why no case of a prompt is made; None where prompts are audited."""
        from memex_audit.unprompted import why_no_prompts

        return why_no_prompts(self.bench)

    def rate(self, *, limit: float, confidence: float) -> "Rate":
        """Return the rate of the whole audit set, at this run's part of the confidence."""
        from memex_audit.attempting import rate_of_attempt

        return rate_of_attempt(self.audit, self.bench, limit=limit, confidence=confidence)

    @cached_property
    def record(self) -> "RunRecord":
        """What the cases of this run recorded."""
        from memex_audit.run_record import RunRecord

        return RunRecord()

    @cached_property
    def _folding(self) -> "FailureFolding":
        """What shortens failures that are alike, for the terminal."""
        from memex_audit.failures import FailureFolding

        return FailureFolding(self.config)

    @cached_property
    def _outputs(self) -> "RunOutputs":
        """Where the run's result goes."""
        from memex_audit.run_outputs import RunOutputs

        return RunOutputs(self.config, self.settings, self._summary_file, self._ci)

    @cached_property
    def evidence_budget(self) -> "EvidenceBudget":
        """What this process may still attach to an Allure report: a worker has its share."""
        from memex_audit.reporting.allure_report import EvidenceBudget

        return EvidenceBudget(self.settings.evidence_mb * 2**20 / self._worker.count)

    def canaries(self, confidence: float) -> "CanaryResult":
        """Return what the audit finds of the canaries that are given.

        Raises:
            ConfigurationError: none are.
        """
        from memex_audit.canaries.auditing import audit_canaries

        manifest = self.bench.canary_manifest
        if manifest is None:
            raise ConfigurationError(
                "memex.canaries() must have a manifest, got none; give one with --memex-canaries FILE."
            )
        return audit_canaries(self.bench, manifest, confidence=confidence)

    @pytest.hookimpl
    def pytest_sessionstart(self) -> None:
        """Find the terminal before the capture is in between."""
        from memex_audit.progress import open_terminal

        open_terminal(self.config)

    # -- pytest-xdist, on the controller

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give a worker the lowest free slot: one that takes over from a crashed one gets its device."""
        self._slots[node] = min(set(range(len(self._slots) + 1)) - set(self._slots.values()))
        node.workerinput["memex_slot"] = self._slots[node]

    @pytest.hookimpl(optionalhook=True, wrapper=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Generator[None, Any, Any]:
        """Hand out cases by work unit, unless another distribution than the default was asked for."""
        from memex_audit.scheduling import schedule_audits

        return schedule_audits((yield), config, log, self._largest_unit)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what a worker says of its collection, and free its slot."""
        self._slots.pop(node, None)
        counts = getattr(node, "workeroutput", {}).get("memex", (0, 0))
        self.collection.n_selected = max(self.collection.n_selected, counts[0])
        self.collection.n_deselected = max(self.collection.n_deselected, counts[1])

    # -- cases

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Leave out what cannot but end as the case before: a missing model is one error, not hundreds."""
        if self._ended_by and is_audit_case(item):
            pytest.skip(f"not run, as the audit ended with: {self._ended_by}")

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Iterator[None]:
        """Apply the policy for extracted and inconclusive cases; of a batch, to each of its prompts."""
        if not is_audit_case(pyfuncitem) or is_whole_batch(pyfuncitem):
            return (yield)
        from memex_audit.case_policy import judged_by_policy

        with judged_by_policy(pyfuncitem, self.settings):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        """Send what a case recorded along with its report, also from an xdist worker."""
        report = yield
        if is_audit_case(item):
            from memex_audit.case_policy import annotate

            annotate(report, item, call)
            if call.excinfo and self._ends_the_audit(call.excinfo.value):
                self._ended_by = str(call.excinfo.value)
        return report

    def _ends_the_audit(self, error: BaseException) -> bool:
        """Whether every other case would meet this error too: nothing is laid out yet, or can be kept."""
        if isinstance(error, StoreUnwritable | GeneratorError):
            return True
        return isinstance(error, MemexAuditError) and "audit" not in self.__dict__

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Iterator[None]:
        """Take in what a case recorded, and how it ended; when others have, shorten it for the terminal."""
        if not hasattr(report, "memex_ending"):
            return (yield)
        self.record.take(report)
        done = yield
        self._folding.fold(report)
        return done

    # -- the end

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Make the result of the run and write it down."""
        if "audit" in self.__dict__:
            self.audit.remember()
        if hasattr(self.config, "workeroutput"):
            counts = (self.collection.n_selected, self.collection.n_deselected)
            self.config.workeroutput["memex"] = counts
            return
        if "record" not in self.__dict__:
            return
        n_cases = self.collection.n_selected + self.collection.n_deselected
        result = self._outputs.enter_in_ledger(self.record.finish(n_cases))
        self.record.result = result
        if not self._outputs.write(result) and session.exitstatus == pytest.ExitCode.OK:
            # Who gates on a file must not take a run for good that left an older one behind.
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
        """Print the verdict and what it rests on: last, under pytest's own list of failed cases."""
        done = yield
        if "record" in self.__dict__ and self.record.result:
            self._outputs.show(terminalreporter, self.record.result)
        return done


SESSION: "pytest.StashKey[AuditSession]" = pytest.StashKey()
