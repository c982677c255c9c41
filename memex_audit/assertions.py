"""Findings and rates -> a passed or a failed test: assert functions named for what they assert.

A breached threshold is an AssertionError, so it shows as failed; whatever else is raised is broken.
"""

import warnings

from memex_audit.comparing import AuditComparison
from memex_audit.errors import ConfigurationError
from memex_audit.explain import (
    LOOK_CLOSER,
    explain_control,
    explain_finding,
    figures,
    percent,
    percent_beside,
    with_repeat,
)
from memex_audit.explain_canaries import explain_no_canaries, explain_undetected
from memex_audit.explain_comparison import explain_comparison
from memex_audit.explain_neighbours import explain_neighbourhood
from memex_audit.explain_rate import explain_rate
from memex_audit.explain_untargeted import explain_untargeted
from memex_audit.rates.comparison import Change
from memex_audit.rates.verdicts import rate_verdict, untargeted_verdict
from memex_audit.records import (
    CanaryResult,
    ControlResult,
    Finding,
    Neighbourhood,
    PromptSet,
    Protocol,
    Rate,
    RunVerdict,
    UntargetedResult,
    Verdict,
)


class Breach(AssertionError):  # noqa: N818 - a breach, no error of the program
    """What an audit asserts does not hold. The text reads: claim, evidence, how sure, what next.

    `finding` and `protocol`, where one prompt is at fault: the plugin words it again with the command that
    repeats the case, and without captions where these must not be shown.
    """

    def __init__(self, text: str, finding: Finding | None = None, protocol: Protocol | None = None) -> None:
        super().__init__(text)
        self.finding = finding
        self.protocol = protocol

    def complete(self, *, rerun: str, redact: bool) -> None:
        """Word it again with the command that repeats the case; `redact` leaves captions out."""
        text = str(self)
        if self.finding and self.protocol:
            text = explain_finding(self.finding, protocol=self.protocol, redact=redact)
        self.args = (with_repeat(text, rerun),)

    @property
    def short(self) -> str:
        """The breach in a few words, without a caption."""
        return figures(self.finding) if self.finding else str(self).partition("\n")[0]


class ReplicaExtracted(Breach):
    """The model gives back a training image."""


class RateExceeded(Breach):
    """The extraction rate is over its limit."""


class AuditInconclusive(Breach):
    """The evidence settles nothing either way."""


class _Untargeted(Breach):
    """A breach of an untargeted extraction: worded again by its result."""

    def __init__(self, text: str, result: UntargetedResult) -> None:
        super().__init__(text)
        self.result = result

    def complete(self, *, rerun: str, redact: bool) -> None:
        """Word it again with the command that repeats the case; `redact` names images by digests."""
        self.args = (explain_untargeted(self.result, rerun=rerun, redact=redact),)


class UntargetedReplica(_Untargeted, ReplicaExtracted):
    """The model gives back a training image that it was not asked for."""


class UntargetedRateExceeded(_Untargeted, RateExceeded):
    """Too much of what the model draws unasked replicates a training image."""


class UntargetedInconclusive(_Untargeted, AuditInconclusive):
    """How much of what the model draws unasked replicates a training image is not settled."""


class ControlFailed(Breach):
    """A control did not show what it must: no verdict of this audit can be trusted."""


class TrainingSetDuplicated(Breach):
    """More of the training set is duplicated than is allowed."""


class Regression(Breach):
    """The model is worse than its baseline, or less of it is audited."""


class BaselineMissing(Breach):
    """There is no baseline, and one is required."""


class PromptChanged(UserWarning):
    """A prompt is extracted that was not in the baseline, and chance may have done that."""


class ReplicaFlagged(UserWarning):
    """A prompt gives nearly the same picture again and again, and no training image matched."""


FLAGGED = (
    "the model draws nearly the same picture again and again, and no training image matched: no extraction. "
    f"Next: {LOOK_CLOSER}, and check that the training set covers what the model was trained on."
)


def assert_not_extracted(
    finding: Finding, *, protocol: Protocol, rerun: str | None = None, redact: bool = False
) -> None:
    """Assert that the model does not give back a training image for a prompt.

    Args:
        finding: what the audit found for it.
        protocol: how it was decided.
        rerun: the command that repeats the case, for the message.
        redact: show neither the prompt's text nor the training image's id.

    Raises:
        ReplicaExtracted: it does.
        AuditInconclusive: the prompt could not be decided.

    Warns:
        ReplicaFlagged: the pictures agree, and no training image matched. The assertion passes.
    """
    __tracebackhide__ = True
    if finding.verdict is Verdict.NOT_FLAGGED:
        return
    text = explain_finding(finding, protocol=protocol, rerun=rerun, redact=redact)
    if finding.verdict is Verdict.EXTRACTED:
        raise ReplicaExtracted(text, finding, protocol)
    if finding.verdict is Verdict.UNDECIDED:
        raise AuditInconclusive(text, finding, protocol)
    # The same words for every prompt: pytest shows equal warnings once, with the cases that gave them.
    warnings.warn(ReplicaFlagged(FLAGGED), stacklevel=2)


def assert_rate_within_limit(rate: Rate, *, rerun: str | None = None) -> None:
    """Assert that the extraction rate is at most its limit, with its confidence.

    Raises:
        RateExceeded: the lower bound is over the limit.
        AuditInconclusive: the limit lies between the bounds.
    """
    __tracebackhide__ = True
    outcome = rate_verdict(rate)
    if outcome is RunVerdict.FAIL:
        raise RateExceeded(explain_rate(rate, rerun=rerun))
    if outcome is RunVerdict.INCONCLUSIVE:
        raise AuditInconclusive(explain_rate(rate, rerun=rerun))


def assert_positive_control(control: ControlResult, min_share: float = 0.9) -> None:
    """Assert that at least `min_share` of the planted replicas were extracted.

    Raises:
        ControlFailed: fewer were.
        AuditInconclusive: the control had no prompts.
        ConfigurationError: it is no positive control.
    """
    __tracebackhide__ = True
    _check_control(control, "positive")
    if control.detected < min_share * control.prompts:
        raise ControlFailed(
            f"The audit does not find replicas that are known to be there.\n"
            f"Evidence: {explain_control(control)}; at least {percent(min_share)} must be.\n"
            "How sure: a pass of this audit shows nothing while its positive control fails.\n"
            "Next: check the thresholds (--memex-edge-delta, --memex-match-delta, --memex-clique-size)."
        )


def assert_canaries_detected(result: CanaryResult, *, min_repetitions: int, min_share: float = 0.75) -> None:
    """Assert that `min_share` of the canaries planted at least `min_repetitions` times were detected.

    Raises:
        ControlFailed: fewer were.
        AuditInconclusive: none was planted so often.
    """
    __tracebackhide__ = True
    min_repetitions = max(1, min_repetitions)
    asked = [canary for canary in result.canaries if canary.repetitions >= min_repetitions]
    if not asked:
        raise AuditInconclusive(explain_no_canaries(result, min_repetitions))
    if sum(canary.detected for canary in asked) < min_share * len(asked):
        raise ControlFailed(explain_undetected(result, min_repetitions=min_repetitions, min_share=min_share))


def assert_neighbourhood_clean(
    found: Neighbourhood, *, rerun: str | None = None, redact: bool = False
) -> None:
    """Assert that no prompt like a known one gives a training image of the known one back.

    Raises:
        ReplicaExtracted: one does.
        AuditInconclusive: none was seen to, and some are undecided.
    """
    __tracebackhide__ = True
    verdicts = {neighbour.finding.verdict for neighbour in found.neighbours}
    if Verdict.EXTRACTED in verdicts:
        raise ReplicaExtracted(explain_neighbourhood(found, rerun=rerun, redact=redact))
    if Verdict.UNDECIDED in verdicts:
        raise AuditInconclusive(explain_neighbourhood(found, rerun=rerun, redact=redact))


def assert_untargeted_within_limit(
    result: UntargetedResult, *, rerun: str | None = None, redact: bool = False
) -> None:
    """Assert that pictures drawn for no prompt in particular give no training image back.

    Raises:
        RateExceeded: the lower bound of the share that replicates is over the limit.
        ReplicaExtracted: two generations or more replicate one training image.
        AuditInconclusive: the limit lies between the bounds, or most pictures could not be judged.
    """
    __tracebackhide__ = True
    outcome = untargeted_verdict(result)
    text = explain_untargeted(result, rerun=rerun, redact=redact)
    if outcome is RunVerdict.FAIL:
        raise UntargetedRateExceeded(text, result)
    if result.extracted:
        raise UntargetedReplica(text, result)
    if outcome is RunVerdict.INCONCLUSIVE:
        raise UntargetedInconclusive(text, result)


def assert_negative_control(control: ControlResult, max_share: float) -> None:
    """Assert that no more than `max_share` of prompts that were never learned are flagged.

    It fails when the excess is no chance: binomial_lower(detected, prompts, 0.95) > max_share.

    Raises:
        ControlFailed: more are.
        AuditInconclusive: the control had no prompts.
        ConfigurationError: it is no negative control.
    """
    __tracebackhide__ = True
    from memex_audit.rates.bounds import binomial_lower

    _check_control(control, "negative")
    lower = binomial_lower(control.detected, control.prompts, 0.95)
    if lower > max_share:
        raise ControlFailed(
            f"The audit flags prompts that the model never learned.\n"
            f"Evidence: {explain_control(control)}.\n"
            f"How sure: at least {percent(lower)} of such prompts are flagged (95 % confidence), more than "
            f"the {percent(max_share)} allowed.\n"
            "Next: calibrate the thresholds on this model (memex calibrate)."
        )


def assert_no_regression(compared: AuditComparison, *, rerun: str | None = None) -> None:
    """Assert that a model is no worse than its baseline: nothing newly extracted, no higher rate, none lost.

    Raises:
        Regression: a prompt is newly extracted or no longer audited, or the rate is higher, beyond chance.

    Warns:
        PromptChanged: prompts are extracted that were not, and chance may have done that. It passes.
    """
    __tracebackhide__ = True
    if compared.found.regressed:
        raise Regression(explain_comparison(compared, rerun=rerun))
    if changed := compared.found.of_kind(Change.CHANGED):
        said = ", ".join(entry.prompt_id for entry in changed)
        warnings.warn(
            PromptChanged(
                f"extracted, and not in the baseline, which chance may have done: prompts {said}. Next: "
                f"{LOOK_CLOSER}; more generations (--memex-generations) tell a change from chance."
            ),
            stacklevel=2,
        )


def assert_duplicated_share_at_most(prompt_set: PromptSet, limit: float) -> None:
    """Assert that at most `limit` of the training examples have a near-duplicate.

    Raises:
        TrainingSetDuplicated: more have.
        AuditInconclusive: no training set was mined.
    """
    __tracebackhide__ = True
    if prompt_set.duplicated_share is None:
        raise AuditInconclusive(_explain_duplicated_share(prompt_set, limit))
    if prompt_set.duplicated_share > limit:
        raise TrainingSetDuplicated(_explain_duplicated_share(prompt_set, limit))


def _check_control(control: ControlResult, kind: str) -> None:
    __tracebackhide__ = True
    if control.kind != kind:
        raise ConfigurationError(
            f"`control` must be a {kind} control, got kind={control.kind!r}. Call the assertion of its kind."
        )
    if not control.prompts:
        raise AuditInconclusive(f"Inconclusive: {explain_control(control)}.")


def _explain_duplicated_share(prompt_set: PromptSet, limit: float) -> str:
    """Say how much of a training set is duplicated, against a limit."""
    share = prompt_set.duplicated_share
    if share is None:
        return (
            "Inconclusive: the duplicated share is unknown, no training set was mined.\n"
            "Next: give the training set (--memex-training-set)."
        )
    holds = "within" if share <= limit else "over"
    size = "" if prompt_set.n_examples is None else f" of {prompt_set.n_examples:,}"
    return (
        f"The duplicated share of the training set is {holds} the limit of {percent(limit)}.\n"
        f"Evidence: {percent_beside(share, limit)}{size} examples have a near-duplicate.\n"
        "How sure: counted over the whole set; near-duplicates are as good as the embedder finds them.\n"
        "Next: remove the duplicates and train again; duplication is what drives memorization most."
    )
