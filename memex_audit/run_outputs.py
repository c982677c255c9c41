"""The end of a run: its result goes into files, JUnit and the terminal."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from memex_audit.config import Settings
from memex_audit.errors import LedgerError
from memex_audit.ledger import Ledger
from memex_audit.records import AuditResult
from memex_audit.reporting.junit_properties import suite_properties
from memex_audit.reporting.outputs import Output, write_outputs
from memex_audit.reporting.redaction import redact_result
from memex_audit.reporting.terminal import write_summary


class RunOutputs:
    """What one run writes and shows, on the process that puts the result together."""

    def __init__(
        self, config: pytest.Config, settings: Settings, summary_file: Path | None, ci: Mapping[str, str]
    ) -> None:
        self._config = config
        self._settings = settings
        self._summary_file = summary_file
        self._ci = ci
        self._written: list[Output] = []

    def enter_in_ledger(self, result: AuditResult) -> AuditResult:
        """Write the run down in its store's ledger; return the result, with a note where that says something.

        A run of which not even the model is known is no finished run. A ledger that cannot be written costs
        the run nothing else.
        """
        if result.provenance is None:
            return result
        notes: list[str] = []
        kept = redact_result(result) if self._settings.redacts_captions else result
        try:
            Ledger(Path(result.provenance.store), note=notes.append).record_run(kept)
        except LedgerError as error:
            notes.append(f"this run is not in the ledger: {error}")
        return replace(result, notes=(*result.notes, *notes))

    def write(self, result: AuditResult) -> bool:
        """Write every file that was asked for; say whether all of them could be."""
        allure = self._config.getoption("allure_report_dir", None)
        self._written = write_outputs(
            result,
            self._settings,
            allure_folder=Path(allure) if allure else None,
            summary_file=self._summary_file,
            ci=self._ci,
        )
        self._add_suite_properties(result)
        return not any(output.problem for output in self._written if output.name != "step summary")

    def _add_suite_properties(self, result: AuditResult) -> None:
        """Give JUnit its properties of the suite: what the fixture record_testsuite_property does."""
        for plugin in self._config.pluginmanager.get_plugins():
            if add := getattr(plugin, "add_global_property", None):
                for name, value in suite_properties(result):
                    add(name, value)

    def show(self, terminal: pytest.TerminalReporter, result: AuditResult) -> None:
        """Print the verdict and what it rests on."""
        write_summary(
            terminal,
            result,
            width=shutil.get_terminal_size().columns,
            outputs=[_line(output) for output in self._written],
            redact=self._settings.redacts_captions,
            brief=self._config.option.verbose < 0,
            everything=self._config.option.verbose >= 2,
        )


def _line(output: Output) -> str:
    return output.name if output.problem is None else f"{output.name}: NOT WRITTEN, {output.problem}"
