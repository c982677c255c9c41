"""What the cases of a run recorded, put together into the run's result."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from memex_audit.rates.verdicts import run_verdict
from memex_audit.records import (
    AuditResult,
    Calibration,
    CanaryResult,
    ControlResult,
    Finding,
    Protocol,
    Provenance,
    Rate,
    SetAside,
    UntargetedResult,
)
from memex_audit.reporting.json_report import record_from_dict

if TYPE_CHECKING:
    import pytest


Record = TypeVar("Record")


class RunRecord:
    """Takes in reports, from this process or from xdist workers, and makes one AuditResult."""

    def __init__(self) -> None:
        self.result: AuditResult | None = None
        self._endings: dict[str, str] = {}
        self._findings: dict[str, Finding] = {}
        self._controls: dict[tuple[str, str], ControlResult] = {}
        self._canaries: CanaryResult | None = None
        self._rate: Rate | None = None
        self._untargeted: UntargetedResult | None = None
        self._context: dict[str, Any] = {}
        self._notes: dict[str, None] = {}
        self._evidence_left_out: set[str] = set()

    def take(self, report: "pytest.TestReport") -> None:
        """Take in one phase of one case."""
        ending = report.memex_ending
        if report.when == "call" or ending != "passed":
            self._endings[report.nodeid] = ending
        for entry in getattr(report, "memex_records", ()):
            self._take_record(entry["kind"], entry["record"])

    def _take_record(self, kind: str, record: Any) -> None:
        match kind:
            case "finding":
                self._take_finding(_as(Finding, record))
            case "rate":
                self._rate = _as(Rate, record)
            case "control":
                control = _as(ControlResult, record)
                self._controls[control.kind, control.subject] = control
            case "canaries":
                self._canaries = _as(CanaryResult, record)
            case "untargeted":
                self._untargeted = _as(UntargetedResult, record)
            case "evidence_left_out":
                self._evidence_left_out.add(record["prompt_id"])
            case "context":
                self._context = record
                self._notes |= dict.fromkeys(record["notes"])

    def _take_finding(self, finding: Finding) -> None:
        before = self._findings.get(finding.prompt_id)
        if before is not None and finding.trigger is None:
            # The rate's case, on another worker, looked for none.
            finding = replace(finding, trigger=before.trigger)
        self._findings[finding.prompt_id] = finding

    def finish(self, n_cases: int) -> AuditResult:
        """Make the result of a run of which `n_cases` cases were collected."""
        endings = list(self._endings.values())
        verdict = run_verdict(
            broken=endings.count("broken"),
            failed=endings.count("failed"),
            inconclusive=endings.count("inconclusive"),
            not_run=n_cases > len(endings) or (self._rate is None and self._untargeted is None),
        )
        set_aside = [record_from_dict(SetAside, entry) for entry in self._context.get("set_aside", ())]
        provenance = self._context.get("provenance")
        calibration = self._context.get("calibration")
        protocol = self._context.get("protocol")
        findings = sorted(
            self._findings.values(), key=lambda finding: (-finding.duplication_count, finding.prompt_id)
        )
        self.result = AuditResult(
            verdict=verdict,
            rate=self._rate,
            protocol=record_from_dict(Protocol, protocol) if protocol else None,
            calibration=record_from_dict(Calibration, calibration) if calibration else None,
            findings=tuple(findings),
            set_aside=tuple(set_aside),
            controls=tuple(self._controls.values()),
            provenance=record_from_dict(Provenance, provenance) if provenance else None,
            notes=(*self._notes, *self._said_of_evidence()),
            canaries=self._canaries,
            untargeted=self._untargeted,
        )
        return self.result

    def _said_of_evidence(self) -> list[str]:
        dropped = len(self._evidence_left_out)
        if not dropped:
            return []
        sheets = "1 evidence sheet was" if dropped == 1 else f"{dropped:,} evidence sheets were"
        return [f"{sheets} dropped from the Allure report: more than --memex-evidence-mb allows."]


def _as(kind: type[Record], record: Any) -> Record:
    """Return a record of this process as it is, and make one again of what a worker sent."""
    return record if isinstance(record, kind) else record_from_dict(kind, record)
