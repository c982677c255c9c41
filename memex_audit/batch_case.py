"""A case of many prompts: the test is called for each, and fails once, by the worst that became of any."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from memex_audit.assertions import AuditInconclusive, Breach, ReplicaExtracted
from memex_audit.batches import PromptBatch
from memex_audit.case_policy import (
    ENDING,
    RECORDS,
    InconclusiveAudit,
    case_settings,
    of_prompt,
    repeat_prompts,
)
from memex_audit.collecting import PROMPT
from memex_audit.errors import GeneratorError, MemexAuditError, StoreUnwritable
from memex_audit.explain import REPEAT, counted, one_line, quoted
from memex_audit.records import AuditPrompt, Finding, Verdict

if TYPE_CHECKING:
    from memex_audit.session import AuditSession

MOST_NAMED = 5
# From the worst on; what is not among them passed.
RANKS = ("broken", "failed", "inconclusive", "warned", "xfailed", "skipped")
SAID_AS = {
    "broken": ("broke", "broke"),
    "failed": ("failed", "failed"),
    "inconclusive": ("is inconclusive", "are inconclusive"),
    "warned": ("is inconclusive", "are inconclusive"),
    "xfailed": ("failed as expected", "failed as expected"),
    "skipped": ("was skipped", "were skipped"),
}
EXTRACTED = ("gives a training image back", "give a training image back")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one prompt that did not simply pass."""

    prompt: AuditPrompt
    kind: str
    error: BaseException | Warning


def audit_batch(item: pytest.Function, session: "AuditSession") -> None:
    """Call a test for each prompt of its batch, then end the case as the worst of them ended."""
    batch = item.funcargs[PROMPT]
    assert isinstance(batch, PromptBatch)
    outcomes = []
    try:
        for prompt in batch.prompts:
            item.funcargs[PROMPT] = prompt
            with of_prompt(item, prompt) as warned:
                outcome = _call(item, prompt)
            if outcome is None and warned:
                outcome = Outcome(prompt, "warned", warned[0])
            if outcome is not None:
                outcomes.append(outcome)
    finally:
        item.funcargs[PROMPT] = batch
    _record_properties(item, session, batch)
    if (ending := _ending(outcomes)) != "passed":
        item.stash[ENDING] = ending
    _end(item, batch, outcomes, session)


def _call(item: pytest.Function, prompt: AuditPrompt) -> Outcome | None:
    """Call the test for one prompt, by whatever calls tests here, under the policy of its case."""
    try:
        item.ihook.pytest_pyfunc_call(pyfuncitem=item)
    except (pytest.exit.Exception, StoreUnwritable, GeneratorError):
        raise  # every other prompt would meet it too
    except pytest.skip.Exception as error:
        return Outcome(prompt, "skipped", error)
    except pytest.xfail.Exception as error:
        return Outcome(prompt, "xfailed", error)
    except AuditInconclusive as error:
        return Outcome(prompt, "inconclusive", error)
    except AssertionError as error:
        return Outcome(prompt, "failed", error)
    except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - shown with the others, and as itself
        return Outcome(prompt, "broken", error)
    return None


def _ending(outcomes: Sequence[Outcome]) -> str:
    worst = _worst(outcomes)
    return {"warned": "inconclusive", "xfailed": "passed", "skipped": "passed"}.get(worst, worst)


def _worst(outcomes: Sequence[Outcome]) -> str:
    return min((outcome.kind for outcome in outcomes), key=RANKS.index, default="passed")


def _end(
    item: pytest.Function, batch: PromptBatch, outcomes: Sequence[Outcome], session: "AuditSession"
) -> None:
    """Raise, warn or skip by the worst of the outcomes.

    Raises:
        AssertionError: a prompt failed: the first breach's kind, with all that did not pass.
        BatchBroken: a prompt could not be audited.
    """
    __tracebackhide__ = True
    worst = _worst(outcomes)
    text = _Words(item, batch, outcomes, redact=case_settings(item, session.settings).redacts_captions)
    if worst in ("broken", "failed", "inconclusive"):
        _raise([outcome.error for outcome in outcomes if outcome.kind == worst], text)
    if warned := [outcome for outcome in outcomes if outcome.kind == "warned"]:
        item.warn(InconclusiveAudit(text.claim(warned)))
    if xfailed := [outcome for outcome in outcomes if outcome.kind == "xfailed"]:
        pytest.xfail(text.claim(xfailed))
    if worst == "skipped" and len(outcomes) == len(batch.prompts):
        pytest.skip(str(outcomes[0].error))


def _raise(errors: Sequence[BaseException], text: "_Words") -> NoReturn:
    __tracebackhide__ = True
    ours = [error for error in errors if isinstance(error, Breach | MemexAuditError)]
    if not ours:
        # Somebody else's error is shown where it was raised.
        errors[0].add_note(text.whole(()))
        raise errors[0]
    kinds = (ReplicaExtracted, AuditInconclusive, Breach)
    kind: type[Exception] = next((kind for kind in kinds if isinstance(ours[0], kind)), BatchBroken)
    raise kind(text.whole(str(ours[0]).splitlines())) from ours[0]


class BatchBroken(MemexAuditError):  # noqa: N818 - says what is broken
    """Prompts of a batch could not be audited."""


class _Words:
    """Says what became of a batch, in the words of its prompts."""

    def __init__(
        self, item: pytest.Function, batch: PromptBatch, outcomes: Sequence[Outcome], *, redact: bool
    ) -> None:
        self._item, self._batch, self._outcomes, self._redact = item, batch, outcomes, redact

    def claim(self, outcomes: Sequence[Outcome]) -> str:
        """Count what became of the prompts of the batch."""
        kinds = Counter(
            EXTRACTED if isinstance(outcome.error, ReplicaExtracted) else SAID_AS[outcome.kind]
            for outcome in outcomes
        )
        said = ", ".join(f"{n} {one if n == 1 else several}" for (one, several), n in kinds.items())
        return f"Of {counted(len(self._batch.prompts), 'prompt')} {said}."

    def whole(self, lines: Sequence[str]) -> str:
        """Say it all: what of `lines`, a breach's, says how sure it is and what next is said once."""
        shown = sorted(
            (outcome for outcome in self._outcomes if outcome.kind != "skipped"),
            key=lambda outcome: RANKS.index(outcome.kind),
        )
        named = [self._named(outcome) for outcome in shown[:MOST_NAMED]]
        named += [f"and {len(shown) - MOST_NAMED:,} more"] if len(shown) > MOST_NAMED else []
        rest = [line for line in lines if line.startswith(("How sure: ", "Next: "))]
        repeat = repeat_prompts(self._item, [outcome.prompt for outcome in shown])
        return "\n".join([self.claim(shown), f"Evidence: {'; '.join(named)}.", *rest, f"{REPEAT}{repeat}"])

    def _named(self, outcome: Outcome) -> str:
        finding = getattr(outcome.error, "finding", None)
        if isinstance(finding, Finding):
            undecided = "undecided, " if finding.verdict is Verdict.UNDECIDED else ""
            return f"{undecided}{one_line(finding, self._redact)} ({outcome.prompt.prompt_id})"
        name = "prompt" if self._redact else quoted(outcome.prompt.text, 70)
        said = (str(outcome.error).splitlines() or [type(outcome.error).__name__])[0].rstrip(".")
        return f"{name} ({outcome.prompt.prompt_id}): {said}"


def _record_properties(item: pytest.Function, session: "AuditSession", batch: PromptBatch) -> None:
    """Count the findings of a batch for JUnit; in Allure name and file the case by its worst one."""
    findings = {
        entry["record"].prompt_id: entry["record"]
        for entry in item.stash.get(RECORDS, [])
        if entry["kind"] == "finding"
    }
    verdicts = Counter(str(finding.verdict) for finding in findings.values())
    counts: dict[str, Any] = {
        "memex_prompts": len(batch.prompts),
        **{f"memex_{verdict}": verdicts[verdict] for verdict in Verdict},
        "memex_near_misses": sum(finding.near_miss for finding in findings.values()),
        "memex_replicas": sum(finding.replicas for finding in findings.values()),
        "memex_generations": sum(finding.generations for finding in findings.values()),
    }
    item.user_properties += counts.items()
    if findings and item.config.getoption("allure_report_dir", None):
        from memex_audit.reporting.allure_report import describe_batch

        redact = case_settings(item, session.settings).redacts_captions
        describe_batch(tuple(findings.values()), redact=redact)
