"""Result file -> one line and an exit code: what a CI job ends on (`memex verdict`)."""

from dataclasses import dataclass
from pathlib import Path

from memex_audit.errors import ReportError
from memex_audit.explain_run import explain_verdict
from memex_audit.records import AuditResult, RunVerdict
from memex_audit.reporting.json_report import read_result

NO_RESULT = 5
# 2 is what the command line answers to arguments it does not know.
EXIT_CODES = {
    RunVerdict.PASS: 0,
    RunVerdict.FAIL: 1,
    RunVerdict.INCONCLUSIVE: 3,
    RunVerdict.INCOMPLETE: 4,
    RunVerdict.ERROR: NO_RESULT,
}

_NO_CASE_RAN = "no audit case ran, so nothing is proven; name the folder of the audit suite"
_NOTHING_COLLECTED = "nothing was collected, so nothing is proven; name the folder of the audit suite"
_WITHOUT_RESULT = {
    0: _NO_CASE_RAN,
    1: _NO_CASE_RAN,
    2: "pytest was stopped, or could not read the suite or its prompts; its log says why",
    3: "pytest broke; its log says why",
    4: "pytest refused its arguments or settings; its log says which",
    5: f"{_NOTHING_COLLECTED}, and check what -k leaves",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What is said of a run, on one line, and the exit code: 0 lets a release through."""

    word: str
    reason: str
    exit_code: int

    @property
    def line(self) -> str:
        return f"{self.word}: {' '.join(self.reason.split())}"


def judge(path: Path, pytest_exit: int | None = None) -> Gate:
    """Judge a run by the result that it wrote.

    Args:
        path: written by --memex-json; a run that audited nothing writes none.
        pytest_exit: exit code of pytest, where it is known. It alone is no verdict; it says what came of a
            run without a result, that a test beside the audit failed, and that the run lets an inconclusive
            result through (--memex-inconclusive warn).
    """
    try:
        result = read_result(path)
    except ReportError as error:
        said = _WITHOUT_RESULT.get(pytest_exit) if pytest_exit is not None and not path.exists() else None
        return Gate(word="none", reason=said or str(error), exit_code=NO_RESULT)
    if result.verdict is RunVerdict.PASS and pytest_exit:
        return Gate(
            word=RunVerdict.FAIL.value,
            reason=f"The audit passes, but pytest exited with {pytest_exit}: another test failed.",
            exit_code=EXIT_CODES[RunVerdict.FAIL],
        )
    return _gate_of(result, let_through=pytest_exit == 0)


def _gate_of(result: AuditResult, *, let_through: bool) -> Gate:
    reason, code = explain_verdict(result), EXIT_CODES[result.verdict]
    if result.verdict is RunVerdict.INCONCLUSIVE and let_through:
        reason, code = f"{reason} Let through by --memex-inconclusive warn.", 0
    return Gate(word=result.verdict.value, reason=reason, exit_code=code)
