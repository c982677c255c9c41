"""One audit case: the object that a test asks, and what it records of the answers."""

from typing import TYPE_CHECKING, Any

import pytest

from memex_audit.case_policy import ASKED, RECORDS, case_settings, rerun_command
from memex_audit.controls import negative_control, positive_control, why_no_negative_control
from memex_audit.evidence import Evidence
from memex_audit.explain import explain_finding, prompt_name
from memex_audit.rates.comparison import Change
from memex_audit.records import (
    AuditPrompt,
    CanaryResult,
    ControlResult,
    Finding,
    Neighbourhood,
    PromptSet,
    Protocol,
    Rate,
    UntargetedResult,
    Verdict,
)
from memex_audit.reporting.json_report import record_to_dict
from memex_audit.work_units import prompt_of_case

if TYPE_CHECKING:
    from memex_audit.comparing import AuditComparison
    from memex_audit.session import AuditSession


class Memex:
    """The audit as a test sees it. Whatever is asked of it is recorded with the test's report."""

    def __init__(self, session: "AuditSession", request: pytest.FixtureRequest) -> None:
        self._session = session
        self._item = request.node
        self._settings = case_settings(request.node, session.settings)
        self._records = request.node.stash.setdefault(RECORDS, [])
        self._asked: str | None = None
        self._evidence = Evidence(session, self._settings, self._records, self._send_context)
        bench = session.bench
        session.request = request
        # Lazily, and through the fixtures, so that a user's own override is what is used.
        bench.load_generator = lambda: request.getfixturevalue("memex_generator")
        bench.load_embedder = lambda: request.getfixturevalue("memex_embedder")
        bench.load_index = lambda: request.getfixturevalue("memex_training_index")
        session.collection.heed_own_parts(request.node)

    @property
    def prompts(self) -> PromptSet:
        """The whole audit set, whatever this run selected of it."""
        return self._session.prompts

    @property
    def protocol(self) -> Protocol:
        """How a prompt is decided: the one last asked for, where each has a protocol of its own."""
        audit = self._session.audit
        return audit.protocol_of(self._asked) if self._asked else audit.protocol

    @property
    def rerun(self) -> str:
        """The command that repeats this case."""
        return rerun_command(self._item)

    @property
    def redact(self) -> bool:
        """Whether captions must not be shown."""
        return self._settings.redacts_captions

    def finding(self, prompt: AuditPrompt) -> Finding:
        """Return what the audit found for this prompt; its batch is drawn on first access."""
        self._ask_for_prompts()
        if reason := self._session.audit.why_not_drawn(prompt):
            pytest.skip(reason)
        finding = self._with_trigger(self._session.audit.finding(prompt))
        self._asked = finding.prompt_id
        self._note_finding(finding)
        if ASKED not in self._item.stash:
            self._describe(finding)
        if finding.near_miss or finding.verdict in (Verdict.EXTRACTED, Verdict.FLAGGED):
            self._show_evidence(finding)
        return finding

    def _describe(self, finding: Finding) -> None:
        """Say what was found in the properties of the case; those of a batch are made of all its prompts."""
        self._item.user_properties += [
            ("memex_prompt_id", finding.prompt_id),
            ("memex_verdict", str(finding.verdict)),
            ("memex_duplication_count", finding.duplication_count),
            ("memex_replicas", finding.replicas),
            ("memex_generations", finding.generations),
        ]
        if self._in_allure and prompt_of_case(self._item.nodeid) == finding.prompt_id:
            from memex_audit.reporting.allure_report import describe_case

            describe_case(finding, redact=self.redact)

    def _show_evidence(self, finding: Finding) -> None:
        if not self._in_allure:
            self._evidence.show_finding(finding)
        elif ASKED in self._item.stash:
            # Of a batch the description is made at its end, of all its prompts.
            name = prompt_name(finding, redact=self.redact, longest=70)
            self._evidence.show_finding(finding, name=f"evidence of {name}")
        elif finding.verdict is Verdict.EXTRACTED and self._settings.on_extracted == "fail":
            self._evidence.show_finding(finding)
        else:
            text = explain_finding(finding, protocol=self.protocol, rerun=self.rerun, redact=self.redact)
            self._evidence.show_finding(finding, text)

    def _with_trigger(self, finding: Finding) -> Finding:
        if not self._settings.minimal_trigger or finding.verdict is not Verdict.EXTRACTED:
            return finding
        from memex_audit.triggers.triggering import with_trigger

        return with_trigger(self._session.bench, finding, self._settings.minimal_trigger)

    def rate(self) -> Rate:
        """Return the extraction rate of the whole audit set, with its bounds."""
        self._ask_for_prompts()
        rate = self._session.rate(limit=self._settings.limit, confidence=self._settings.confidence)
        findings = self._session.audit.findings()
        for finding in findings:
            self._note_finding(finding)
        self._note("rate", rate)
        self._item.user_properties += [
            ("memex_extracted_groups", rate.extracted_groups),
            ("memex_groups", rate.groups),
            ("memex_upper", rate.upper),
            ("memex_limit", rate.limit),
        ]
        if self._in_allure:
            from memex_audit.reporting.allure_report import attach_rate

            count_flagged = self._session.bench.training_set is None
            attach_rate(rate, findings, self.protocol, count_flagged=count_flagged)
        return rate

    def comparison(self) -> "AuditComparison":
        """Compare the whole audit set with the baseline, or do what the policy says where there is none."""
        from memex_audit.baseline_policy import compare_with_baseline

        self._ask_for_prompts()
        texts = {} if self.redact else {prompt.prompt_id: prompt.text for prompt in self.prompts.prompts}
        compared = compare_with_baseline(self._session, self._settings, self._item, texts=texts)
        for finding in self._session.audit.findings():
            self._note_finding(finding)
        if self._in_allure:
            from memex_audit.reporting.allure_report import RATE_SUITE, file_case

            file_case(RATE_SUITE)
        self._item.user_properties += [
            ("memex_baseline", compared.before.model),
            ("memex_newly_extracted", len(compared.found.of_kind(Change.NEWLY_EXTRACTED))),
            ("memex_no_longer_audited", len(compared.found.missing)),
            ("memex_rate_difference", compared.found.difference),
        ]
        return compared

    def positive_control(self) -> ControlResult:
        """Audit planted replicas of the specimen by this audit's protocol."""
        bench = self._session.bench
        if self._session.why_no_prompts:
            control = self._session.unprompted.positive_control()
            self._note_control(control)
            return control
        control = positive_control(
            bench.protocol,
            bench.store_folder,
            device=bench.settings.device,
            seed=bench.settings.seed,
            worker=bench.worker,
        )
        self._note_control(control)
        return control

    def negative_control(self) -> ControlResult:
        """Count false alarms on prompts that no picture was learned under."""
        if self._session.why_no_prompts:
            control = self._session.unprompted.negative_control()
        else:
            if reason := why_no_negative_control(self._session.bench):
                pytest.skip(reason)
            control = negative_control(self._session.bench)
        if not control.prompts:
            pytest.skip("no prompt without a training image could be judged, so no false alarm was counted")
        self._note_control(control)
        return control

    def canaries(self) -> CanaryResult:
        """Audit the canaries that were planted in the model's training set (--memex-canaries)."""
        from memex_audit.canaries.auditing import canary_control

        self._ask_for_prompts()
        result = self._session.canaries(self._settings.confidence)
        self._note("canaries", result)
        self._note_control(canary_control(result, self._settings.model))
        return result

    def neighbourhood(self) -> Neighbourhood:
        """Audit prompts that are like the known ones: those of the baseline, or the most duplicated."""
        from memex_audit.baseline_policy import extracted_before
        from memex_audit.triggers.neighbourhood import audit_neighbourhood, without_captions

        self._ask_for_prompts()
        known = extracted_before(self._session, self._settings)
        found = audit_neighbourhood(self._session.bench, self._settings.neighbours, known)
        self._send_context()
        given_back = [one for one in found.neighbours if one.finding.verdict is Verdict.EXTRACTED]
        self._item.user_properties += [
            ("memex_neighbours", len(found.neighbours)),
            ("memex_neighbours_extracted", len(given_back)),
        ]
        return without_captions(found) if self.redact else found

    def untargeted(self) -> UntargetedResult:
        """Draw pictures for no prompt in particular, and count those that replicate a training image."""
        unprompted = self._session.unprompted
        result = unprompted.result(limit=self._settings.limit, confidence=self._settings.confidence)
        self._note("untargeted", result)
        self._item.user_properties += [
            ("memex_replicating", result.replicating),
            ("memex_generations", result.generations),
            ("memex_images_extracted", result.extracted),
            ("memex_upper", result.upper),
            ("memex_limit", result.limit),
        ]
        if result.replicating:
            self._evidence.show_replicas(unprompted.exhibits(), result)
        return result

    def _ask_for_prompts(self) -> None:
        if self._session.why_no_prompts:
            pytest.skip(self._session.why_no_prompts)

    @property
    def _in_allure(self) -> bool:
        return self._evidence.in_allure

    def _note_control(self, control: ControlResult) -> None:
        self._note("control", control)
        if self._in_allure:
            from memex_audit.reporting.allure_report import CONTROL_SUITE, file_case

            file_case(CONTROL_SUITE)

    def _note_finding(self, finding: Finding) -> None:
        # The rate's case, and that of a comparison, come to what other cases of this process have noted.
        if self._session.noted.get(finding.prompt_id) is not finding:
            self._session.noted[finding.prompt_id] = finding
            self._note("finding", finding)

    def _note(self, kind: str, record: Any) -> None:
        self._send_context()
        self._records.append({"kind": kind, "record": record})

    def _send_context(self) -> None:
        notes = self._session.bench.notes
        if self._session.n_notes_sent != len(notes):
            # Once a process, since it is the same for every case, and again when there is more to note.
            self._records.append({"kind": "context", "record": self._context()})
            self._session.n_notes_sent = len(notes)

    def _context(self) -> dict[str, Any]:
        bench = self._session.bench
        prompted = self._session.why_no_prompts is None
        return {
            "provenance": record_to_dict(bench.provenance()),
            "calibration": record_to_dict(bench.calibration) if prompted else None,
            "protocol": record_to_dict(self._session.audit.protocol) if prompted else None,
            "set_aside": [record_to_dict(entry) for entry in self.prompts.set_aside],
            "notes": list(bench.notes),
        }
