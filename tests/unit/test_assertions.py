import warnings
from dataclasses import replace

import pytest

from memex_audit.assertions import (
    AuditInconclusive,
    ControlFailed,
    RateExceeded,
    ReplicaExtracted,
    ReplicaFlagged,
    TrainingSetDuplicated,
    assert_duplicated_share_at_most,
    assert_negative_control,
    assert_not_extracted,
    assert_positive_control,
    assert_rate_within_limit,
)
from memex_audit.errors import ConfigurationError
from memex_audit.records import ControlResult, Finding, Frame, PromptSet, Protocol, Rate, Verdict

PROTOCOL = Protocol(name="default", looks=(4, 16), clique_size=4, edge_delta=0.12, match_delta=0.15)
FINDING = Finding(
    prompt_id="0123456789ab", prompt="Zebra", duplication_count=1, group_id="g", verdict=Verdict.NOT_FLAGGED,
    near_miss=False, generations=4, set_aside=0, network_evaluations=80, clique_size=0, clique_seeds=(),
    replicas=0, replica_seeds=(), blind_spot=0.75, match=None,
)  # fmt: skip
RATE = Rate(
    extracted=0, flagged=0, undecided=0, near_misses=0, prompts=320, groups=320, extracted_groups=0,
    undecided_groups=0, generations=1280, replicas=0, lower=0.0, upper=0.0093, confidence=0.95, limit=0.01,
    frame="f", frame_size=None, method="binomial", blind_spot=0.75,
)  # fmt: skip


def control(kind, detected, prompts):
    return ControlResult(kind=kind, subject="s", prompts=prompts, detected=detected)


def prompt_set(share):
    return PromptSet(
        prompts=(), frame=Frame(description="f", size=1), n_examples=1000, duplicated_share=share
    )


def test_a_clean_prompt_passes_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_not_extracted(FINDING, protocol=PROTOCOL)
        assert_not_extracted(replace(FINDING, near_miss=True, replicas=1), protocol=PROTOCOL)


def test_an_extracted_prompt_fails_with_the_command_that_repeats_it():
    with pytest.raises(ReplicaExtracted, match=r'gives back a training image for "Zebra"[\s\S]*pytest one'):
        assert_not_extracted(
            replace(FINDING, verdict=Verdict.EXTRACTED), protocol=PROTOCOL, rerun="pytest one"
        )


def test_an_undecided_prompt_is_inconclusive():
    with pytest.raises(AuditInconclusive, match="It is undecided"):
        assert_not_extracted(replace(FINDING, verdict=Verdict.UNDECIDED), protocol=PROTOCOL)


def test_a_flagged_prompt_passes_with_a_warning():
    with pytest.warns(ReplicaFlagged, match="no training image matched"):
        assert_not_extracted(replace(FINDING, verdict=Verdict.FLAGGED), protocol=PROTOCOL)


def test_every_flagged_prompt_warns_with_the_same_words_and_no_caption():
    # Equal warnings are shown once.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for name in ("Zebra", "Yak"):
            flagged = replace(FINDING, verdict=Verdict.FLAGGED, prompt=name)
            assert_not_extracted(flagged, protocol=PROTOCOL)
    assert len(caught) == 2
    assert len({str(warning.message) for warning in caught}) == 1


def test_a_breach_is_worded_again_with_its_command_and_without_captions():
    with pytest.raises(ReplicaExtracted) as caught:
        assert_not_extracted(replace(FINDING, verdict=Verdict.EXTRACTED), protocol=PROTOCOL)
    assert "Zebra" in str(caught.value)
    caught.value.complete(rerun="pytest one", redact=True)
    assert "Zebra" not in str(caught.value)
    assert str(caught.value).startswith("The model gives back a training image for prompt 0123456789ab.")
    assert str(caught.value).endswith("\nRepeat: pytest one")
    assert caught.value.short == "0 of 4 generations near a training image, 1 near-copy"


def test_a_breach_of_no_one_prompt_keeps_its_words():
    with pytest.raises(RateExceeded) as caught:
        assert_rate_within_limit(replace(RATE, lower=0.011, upper=0.05), rerun="pytest rate")
    before = str(caught.value)
    caught.value.complete(rerun="pytest other", redact=True)
    assert str(caught.value) == before
    assert caught.value.short == "The extraction rate is over the limit of 1 %."


def test_a_redacted_failure_holds_no_caption():
    with pytest.raises(ReplicaExtracted) as caught:
        assert_not_extracted(replace(FINDING, verdict=Verdict.EXTRACTED), protocol=PROTOCOL, redact=True)
    assert "Zebra" not in str(caught.value)


@pytest.mark.parametrize("upper", [0.0093, 0.01])
def test_an_upper_bound_up_to_the_limit_passes(upper):
    assert_rate_within_limit(replace(RATE, upper=upper))


def test_a_lower_bound_over_the_limit_fails():
    with pytest.raises(RateExceeded, match=r"over the limit of 1 %[\s\S]*pytest rate"):
        assert_rate_within_limit(replace(RATE, lower=0.011, upper=0.05), rerun="pytest rate")


@pytest.mark.parametrize("lower", [0.0, 0.01])
def test_a_limit_between_the_bounds_is_inconclusive(lower):
    with pytest.raises(AuditInconclusive, match="Inconclusive"):
        assert_rate_within_limit(replace(RATE, groups=100, lower=lower, upper=0.0101))


def test_a_positive_control_needs_its_share():
    assert_positive_control(control("positive", 9, 10))
    with pytest.raises(ControlFailed, match=r"8 of 10 prompts extracted .* at least 90 % must be"):
        assert_positive_control(control("positive", 8, 10))


def test_a_negative_control_fails_only_when_the_excess_is_no_chance():
    # BetaQuantile(0.05; x, 61 - x): 0.0231 for 4 of 60, 0.0561 for 7 of 60.
    assert_negative_control(control("negative", 4, 60), 0.05)
    with pytest.raises(ControlFailed, match="never learned"):
        assert_negative_control(control("negative", 7, 60), 0.05)


@pytest.mark.parametrize(
    ("check", "kind"),
    [(assert_positive_control, "positive"), (lambda c: assert_negative_control(c, 0.05), "negative")],
)
def test_a_control_without_prompts_or_of_the_other_kind_never_passes(check, kind):
    with pytest.raises(AuditInconclusive, match="shows nothing"):
        check(control(kind, 0, 0))
    with pytest.raises(ConfigurationError, match=f"must be a {kind} control, got kind='other'"):
        check(control("other", 10, 10))


def test_a_duplicated_share_is_held_to_its_limit():
    assert_duplicated_share_at_most(prompt_set(0.02), 0.02)
    with pytest.raises(TrainingSetDuplicated, match=r"over the limit of 2 %[\s\S]*2\.1 % of 1,000 examples"):
        assert_duplicated_share_at_most(prompt_set(0.021), 0.02)


def test_an_unknown_duplicated_share_is_inconclusive():
    with pytest.raises(AuditInconclusive, match="no training set was mined"):
        assert_duplicated_share_at_most(prompt_set(None), 0.02)
