"""The pictures behind a finding -> mosaics in an Allure report, originals below a folder that was named."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memex_audit.config import Settings
from memex_audit.records import Finding, UntargetedResult

if TYPE_CHECKING:
    from memex_audit.exhibits import Exhibit
    from memex_audit.session import AuditSession


class Evidence:
    """Shows the evidence of one case.

    `records`: of the case, which hear of a sheet that was left out; `send_context` is called where there is a
    new note.
    """

    def __init__(
        self,
        session: "AuditSession",
        settings: Settings,
        records: list[dict[str, Any]],
        send_context: Callable[[], None],
    ) -> None:
        self._session = session
        self._settings = settings
        self._records = records
        self._send_context = send_context

    @property
    def in_allure(self) -> bool:
        """Whether an Allure report is being made."""
        return bool(self._session.config.getoption("allure_report_dir", None))

    @property
    def _folder(self) -> Path | None:
        """Where original pictures go, if anywhere."""
        folder = self._settings.evidence.removeprefix("full:")
        return Path(folder) if folder != self._settings.evidence else None

    def show_finding(self, finding: Finding, text: str | None = None, *, name: str = "evidence") -> None:
        """Show the pictures of a finding under a name; in Allure with a text, where no failure says it."""
        if not self._folder and not self.in_allure:
            return
        from memex_audit.reporting.figures import evidence_sheet, pairs_sheet

        exhibits = self._session.audit.exhibits(finding)
        if self._folder:
            self._write_originals(self._folder, finding.prompt_id, exhibits)
        if self.in_allure:
            from memex_audit.reporting.allure_report import attach_finding

            sheet = evidence_sheet(exhibits[0])
            if len(exhibits) > 1:
                sheet = pairs_sheet(exhibits, finding.images_extracted)
            if not attach_finding(finding, sheet, text, self._session.evidence_budget, name=name):
                self._leave_out(finding.prompt_id)

    def show_replicas(self, exhibits: "Sequence[Exhibit]", result: UntargetedResult) -> None:
        """Show what came back unasked."""
        if self._folder:
            self._write_originals(self._folder, "untargeted", exhibits)
        if self.in_allure:
            from memex_audit.reporting.allure_report import attach_untargeted
            from memex_audit.reporting.figures import pairs_sheet

            sheet = pairs_sheet(exhibits, result.replicated)
            if not attach_untargeted(result, sheet, self._session.evidence_budget):
                self._leave_out("untargeted")

    def _leave_out(self, name: str) -> None:
        self._records.append({"kind": "evidence_left_out", "record": {"prompt_id": name}})

    def _write_originals(self, folder: Path, name: str, exhibits: "Sequence[Exhibit]") -> None:
        try:
            _write_originals(folder / name, exhibits)
        except OSError as error:
            # The finding stands without its pictures.
            notes = self._session.bench.notes
            reason = error.strerror or error
            note = f"not all evidence could be written to {folder} ({reason}): free space or name another"
            if note not in notes:
                notes.append(note)
                self._send_context()


def _write_originals(folder: Path, exhibits: "Sequence[Exhibit]") -> None:
    """Write the pictures of each exhibit; where there are several, each has a folder of its own."""
    from memex_audit.reporting.figures import original_pictures
    from memex_audit.whole_file import write_whole

    for number, exhibit in enumerate(exhibits, start=1):
        target = folder / f"image-{number:02d}" if len(exhibits) > 1 else folder
        for name, data in original_pictures(exhibit).items():
            write_whole(target / name, data)
