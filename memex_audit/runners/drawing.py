"""Draw for a unit of prompts: the audit that pytest would make of them, whose verdicts nobody keeps here.

It looks at what it draws as the audit does, so that it stops where the audit stops: what is in the store
afterwards is what `pytest audits/` asks for, and no more.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from memex_audit.claims import Claims
from memex_audit.config import Settings
from memex_audit.controls import planted_replicas, prompts_without_picture
from memex_audit.errors import MemexAuditError
from memex_audit.records import AuditPrompt, Finding, PromptSet
from memex_audit.runners.claiming import had_claim
from memex_audit.runners.serving import FATAL
from memex_audit.runners.work import Doing, Receipt, WorkUnit
from memex_audit.spending import Spending
from memex_audit.work_units import Worker
from memex_audit.workbench import Workbench

PROMPTS, NEGATIVES, PLANTED = "prompts", "negative prompts", "planted prompts"
CLAIMS = "claims"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawingWork:
    """Draws for prompts of an audit; sent to every worker with the whole audit set.

    `prompts`: all of the audit, whatever is this shard's: which of them the model reads alike is decided
    over all. `budget_share`: of --memex-budget, that a worker may spend.
    """

    settings: Settings
    rootdir: Path
    prompts: PromptSet
    budget_share: float = 1.0

    def begin(self, worker: Worker) -> Doing:
        """Load the model, and see which prompts it tells apart."""
        bench = Workbench(self.settings, self.rootdir, worker)
        bench.prompts = self.prompts
        return _Drawing(bench, self.budget_share).do


class _Drawing:
    """One worker at its units."""

    def __init__(self, bench: Workbench, budget_share: float) -> None:
        self._bench = bench
        self._claims = Claims(bench.store_folder / CLAIMS)
        self._spending = Spending(
            bench.settings.budget,
            share=budget_share,
            pictures_left=bench.pictures_left if bench.settings.max_images else None,
        )
        self._audited = {prompt.prompt_id: prompt for prompt in bench.audit_set.prompts}
        self._drawn = 0
        self._told = 0

    def do(self, unit: WorkUnit, patient: bool) -> Receipt:
        """Draw for one unit; `patient` waits for who holds it."""
        with had_claim(self._claims, self._claim_name(unit), patient=patient) as had:
            return self._receipt(unit) if had else Receipt(unit=unit.name, held=True)

    def _claim_name(self, unit: WorkUnit) -> str:
        """Name the work: the same unit of another model or sampler is other work."""
        of_model = f"{self._bench.generator.fingerprint}\0{self._bench.settings_digest}\0{unit.name}"
        return f"generate-{hashlib.sha256(of_model.encode()).hexdigest()[:24]}"

    def _receipt(self, unit: WorkUnit) -> Receipt:
        before, began, cpu_before = self._drawn, time.perf_counter(), time.process_time()
        findings: tuple[Finding, ...] = ()
        failure, fatal = None, False
        try:
            findings, failure = self._findings(unit)
        except MemexAuditError as error:
            failure, fatal = self._said(error), isinstance(error, FATAL)
        drawn = self._drawn - before
        looked_at = sum(finding.generations + finding.set_aside for finding in findings)
        return Receipt(
            unit=unit.name,
            items=len(findings),
            made=drawn,
            found=max(0, looked_at - drawn),
            set_aside=sum(finding.set_aside for finding in findings),
            seconds=time.perf_counter() - began,
            cpu_seconds=time.process_time() - cpu_before,
            notes=self._new_notes(),
            failure=failure,
            fatal=fatal,
        )

    def _said(self, error: MemexAuditError) -> str:
        if self._bench.settings.redacts_captions:
            error.redact()
        return str(error)

    def _findings(self, unit: WorkUnit) -> tuple[tuple[Finding, ...], str | None]:
        bench, prompts = self._bench, self._bench.audit_set
        if unit.kind == PROMPTS:
            chosen = [self._audited[name] for name in unit.items if name in self._audited]
        elif unit.kind == PLANTED:
            bench, prompts = planted_replicas(
                bench.protocol, bench.store_folder, device=bench.device, seed=bench.settings.seed
            )
            chosen = list(prompts.prompts)
        elif self._negatives is None:
            return (), None
        else:
            bench, prompts = self._negatives
            chosen = [prompts.prompts[int(item)] for item in unit.items if int(item) < len(prompts.prompts)]
        return self._audit(bench, prompts, chosen)

    def _audit(
        self, bench: Workbench, prompts: PromptSet, chosen: list[AuditPrompt]
    ) -> tuple[tuple[Finding, ...], str | None]:
        """Audit prompts together; where one breaks, each by itself, so that it takes none along."""
        part = replace(prompts, prompts=tuple(chosen), read_as={})
        try:
            return bench.audit(part, progress=self._counting, spending=self._spending).findings(), None
        except MemexAuditError as error:
            if isinstance(error, FATAL) or len(chosen) == 1:
                raise
        findings: list[Finding] = []
        failure = None
        for prompt in chosen:
            try:
                findings += self._audit(bench, prompts, [prompt])[0]
            except MemexAuditError as error:
                if isinstance(error, FATAL):
                    raise
                failure = failure or self._said(error)
        return tuple(findings), failure

    @cached_property
    def _negatives(self) -> tuple[Workbench, PromptSet] | None:
        return prompts_without_picture(self._bench)

    @contextmanager
    def _counting(self, _: int) -> Iterator[Callable[[int], None]]:
        def count(just_drawn: int) -> None:
            self._drawn += just_drawn

        yield count

    def _new_notes(self) -> tuple[str, ...]:
        notes = tuple(self._bench.notes[self._told :])
        self._told += len(notes)
        return notes
