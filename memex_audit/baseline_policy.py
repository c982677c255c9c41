"""A case against a baseline: which file it is, what a missing one does, what is compared with it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memex_audit.assertions import BaselineMissing
from memex_audit.baseline_file import baseline_path, read_baseline, write_baseline
from memex_audit.comparing import (
    AuditComparison,
    Baseline,
    baseline_of_findings,
    check_prompt_set,
    check_same_kind,
    compare_audits,
    model_name,
)
from memex_audit.config import Settings
from memex_audit.records import Finding, Verdict

if TYPE_CHECKING:
    from memex_audit.session import AuditSession


class MissingBaseline(UserWarning):
    """A baseline was named that is not there."""


def compare_with_baseline(
    session: "AuditSession", settings: Settings, item: pytest.Item, *, texts: dict[str, str]
) -> AuditComparison:
    """Compare this run's audit with the baseline, or do what the policy says where there is none.

    Raises:
        ComparisonError: the baseline cannot be read, or is another preset's, sampler's or prompt set's; that
            is found out before anything is drawn.
        BaselineMissing: there is none, and one is required.
    """
    path = _path(session, settings)
    if not path.is_file() and settings.baseline_policy != "create":
        _without(path, settings, item)
    audit = session.audit
    audit_set = [prompt.prompt_id for prompt in session.prompts.prompts]
    before = read_baseline(path) if path.is_file() else None
    if before:
        check_same_kind(before, _audited(session, ()))
        check_prompt_set(before, audit_set)
    after = _audited(session, audit.findings())
    if before is None:
        write_baseline(path, after)
        pytest.skip(f"no baseline was there: this audit was written to {path}; commit it to compare with it")
    return compare_audits(before, after, confidence=settings.confidence, audit_set=audit_set, texts=texts)


def extracted_before(session: "AuditSession", settings: Settings) -> frozenset[str]:
    """Return the ids of the prompts that the baseline lists as extracted; none where there is no baseline."""
    path = _path(session, settings)
    if not path.is_file():
        return frozenset()
    prompts = read_baseline(path).prompts
    return frozenset(prompt.prompt_id for prompt in prompts if prompt.verdict is Verdict.EXTRACTED)


def _path(session: "AuditSession", settings: Settings) -> Path:
    if settings.baseline:
        return Path(settings.baseline).expanduser().absolute()
    lora = settings.lora
    name = model_name(settings.model, lora.path if lora else None, lora.weight if lora else None)
    return session.config.rootpath / baseline_path(name)


def _without(path: Path, settings: Settings, item: pytest.Item) -> None:
    how = "`memex bless latest` after an audit writes one"
    if settings.baseline_policy == "required":
        raise BaselineMissing(
            f"There is no baseline to compare with.\n"
            f"Evidence: {path} is not there.\n"
            "How sure: nothing was compared; --memex-baseline-policy required asks for it.\n"
            f"Next: {how}{f': --out {settings.baseline}' if settings.baseline else ''}; or name another "
            "(--memex-baseline)."
        )
    if settings.baseline:
        item.warn(MissingBaseline(f"--memex-baseline {settings.baseline} is not there: nothing was compared"))
    pytest.skip(f"no baseline {path}: nothing was compared; {how}")


def _audited(session: "AuditSession", findings: Sequence[Finding]) -> Baseline:
    return baseline_of_findings(
        findings,
        session.bench.provenance(),
        session.audit.protocol,
        n_images=session.prompts.n_examples,
    )
