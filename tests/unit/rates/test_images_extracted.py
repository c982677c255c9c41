"""Counting training images one by one, where captions are few."""

import dataclasses

import pytest

from memex_audit.errors import ConfigurationError
from memex_audit.rates.images_extracted import (
    FEW_CAPTIONS,
    ImageCount,
    count_images,
    generations_for,
    has_few_captions,
    image_blind_spot,
    images_extracted_rate,
)
from memex_audit.records import AuditPrompt, Finding, Frame, PromptSet, Unit, Verdict

CLEAN, FLAGGED, EXTRACTED, UNDECIDED = (
    Verdict.NOT_FLAGGED,
    Verdict.FLAGGED,
    Verdict.EXTRACTED,
    Verdict.UNDECIDED,
)


def prompt(name, *example_ids):
    return AuditPrompt(
        prompt_id=name, text=f"a {name}", group_id=name, duplication_count=1, example_ids=example_ids
    )


def prompt_set(*prompts, **changes):
    values = {"n_examples": 6, "n_captions": 2, "frame": Frame(description="two captions", size=2)} | changes
    return PromptSet(prompts=prompts, **values)


def finding(name, verdict, **changes):
    values = {
        "prompt_id": name, "prompt": f"a {name}", "duplication_count": 1, "group_id": name,
        "verdict": verdict, "near_miss": False, "generations": 48, "set_aside": 1,
        "network_evaluations": 900, "clique_size": 0,
        "clique_seeds": (), "replicas": 0, "replica_seeds": (), "blind_spot": 0.1, "match": None,
    }  # fmt: skip
    return Finding(**values | changes)


CAT, DOG = prompt("cat", "1", "2", "3", "4"), prompt("dog", "5", "6")


@pytest.mark.parametrize(
    ("captions", "few"), [(None, False), (1, True), (FEW_CAPTIONS - 1, True), (FEW_CAPTIONS, False)]
)
def test_fewer_than_fifty_captions_are_few(captions, few):
    assert FEW_CAPTIONS == 50
    assert has_few_captions(prompt_set(n_captions=captions)) is few


@pytest.mark.parametrize(
    ("images", "n"), [(0, 16), (2, 16), (3, 24), (12, 96), (62, 496), (63, 500), (9999, 500)]
)
def test_a_caption_is_drawn_eight_times_an_image_within_16_and_500(images, n):
    assert generations_for(images) == n


@pytest.mark.parametrize("n", [2, 16, 96])
def test_the_blind_spot_of_an_image_is_seen_twice_with_95_percent(n):
    q = image_blind_spot(n)
    assert 1 - (1 - q) ** n - n * q * (1 - q) ** (n - 1) == pytest.approx(0.95)


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_generations_find_no_image(n):
    assert image_blind_spot(n) == 1.0


def count(findings, seeds_near, prompts=None, at_least=2):
    return count_images(findings, prompts or prompt_set(CAT, DOG), seeds_near, at_least=at_least)


BOTH = [finding("cat", EXTRACTED), finding("dog", CLEAN)]


def test_an_image_is_extracted_by_enough_seeds_of_whatever_prompts():
    near = {"cat": {"1": 2, "2": 1, "5": 1}, "dog": {"5": 1, "6": 1}}
    assert count(BOTH, near) == ImageCount(extracted=2, undecided=0)
    assert count(BOTH, near, at_least=1) == ImageCount(extracted=4, undecided=0)
    assert count(BOTH, near, at_least=3) == ImageCount(extracted=0, undecided=0)


def test_the_images_of_a_prompt_that_was_not_decided_are_undecided():
    assert count([finding("cat", EXTRACTED), finding("dog", UNDECIDED)], {}) == ImageCount(
        extracted=0, undecided=2
    )
    assert count([finding("cat", FLAGGED)], {}) == ImageCount(extracted=0, undecided=2)


def test_an_extracted_image_of_a_prompt_that_was_not_decided_is_known():
    found = count([finding("cat", UNDECIDED), finding("dog", CLEAN)], {"dog": {"3": 2}})
    assert found == ImageCount(extracted=1, undecided=3)


def test_images_without_an_audited_prompt_are_undecided():
    assert count(BOTH, {}, prompt_set(CAT, DOG, n_examples=9)) == ImageCount(extracted=0, undecided=3)


@pytest.mark.parametrize("n", [None, 2])
def test_more_known_images_than_there_are_leave_none_undecided(n):
    assert count(BOTH, {}, prompt_set(CAT, DOG, n_examples=n)).undecided == 0


def rate_of(findings, prompts=None, extracted=1, undecided=2, limit=0.01):
    return images_extracted_rate(
        findings,
        prompts or prompt_set(CAT, DOG),
        images=ImageCount(extracted=extracted, undecided=undecided),
        limit=limit,
        confidence=0.95,
    )


def test_the_rate_is_a_share_of_the_images_without_sampling_error():
    rate = rate_of(
        [
            finding("cat", EXTRACTED, replicas=3, near_miss=True, blind_spot=0.1),
            finding("dog", UNDECIDED, generations=16, replicas=1, blind_spot=0.3),
            finding("cow", FLAGGED, generations=16, blind_spot=0.2),
        ]
    )
    assert dataclasses.asdict(rate) == {
        "unit": Unit.TRAINING_IMAGE,
        "unit_reason": (
            "the training set has 2 distinct captions, fewer than 50: too few prompts to bound a rate on, "
            "so its images are counted one by one"
        ),
        "captions": 2,
        "images": 6,
        "images_extracted": 1,
        "strata": (),
        "upper_of_alike": None,
        "attempt": 0,
        "overall_confidence": None,
        "extracted": 1,
        "flagged": 1,
        "undecided": 1,
        "near_misses": 1,
        "prompts": 3,
        "groups": 6,
        "extracted_groups": 1,
        "undecided_groups": 2,
        "generations": 80,
        "replicas": 4,
        "lower": 1 / 6,
        "upper": 3 / 6,
        "confidence": 0.95,
        "limit": 0.01,
        "frame": "every image of the training set; prompts: two captions",
        "frame_size": 6,
        "method": "census of training images, no sampling error",
        "blind_spot": 0.3,
    }


def test_one_caption_is_worded_as_one():
    reason = rate_of([finding("cat", CLEAN)], prompt_set(CAT, n_captions=1)).unit_reason
    assert reason.startswith("the training set has 1 distinct caption, fewer than 50:")


def test_a_set_whose_captions_were_not_counted_is_worded_as_none():
    reason = rate_of([finding("cat", CLEAN)], prompt_set(CAT, n_captions=None)).unit_reason
    assert reason.startswith("the training set has 0 distinct captions,")


@pytest.mark.parametrize(
    ("findings", "n", "got"), [([], 6, "0 and 6"), (BOTH, 0, "2 and 0"), (BOTH, None, "2 and 0")]
)
def test_a_rate_of_nothing_is_an_error(findings, n, got):
    message = rf"^findings and images must be at least one each, got {got}: a rate of nothing\.$"
    with pytest.raises(ConfigurationError, match=message):
        rate_of(findings, prompt_set(CAT, DOG, n_examples=n))


def test_one_image_is_a_set():
    assert rate_of(BOTH, prompt_set(CAT, n_examples=1), extracted=1, undecided=0).lower == 1


def test_a_limit_of_nothing_is_an_error():
    with pytest.raises(ConfigurationError, match=r"`limit` must be in \(0, 1\], got limit=0"):
        rate_of(BOTH, limit=0)


def test_a_set_that_was_not_mined_has_no_undecided_images():
    nothing_known = [finding("cat", UNDECIDED)]
    assert count(nothing_known, {}, prompt_set(CAT, n_examples=None)) == ImageCount(extracted=0, undecided=0)
