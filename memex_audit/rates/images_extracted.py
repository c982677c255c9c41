"""Few captions -> rate: the share of the training images that a fine-tune gives back.

A fine-tune has one caption, or a few, and a dozen or two thousand pictures under it. Prompts are then too
few to bound a rate on them, while what an owner wants to know is which of the pictures come back. So each
training image is a unit: every generation is compared with every image of its caption, and with those of
other captions that are near it by embedding.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from memex_audit.errors import ConfigurationError
from memex_audit.rates.bounds import binomial_upper, check_limit
from memex_audit.records import Finding, PromptSet, Rate, Unit, Verdict

FEW_CAPTIONS = 50
"""With fewer distinct captions the training image is the unit: no bound on so few prompts can pass."""

POWER = 0.95
"""Probability at which a blind spot is quoted, as in extraction/protocol.py."""

LEAST_GENERATIONS, GENERATIONS_PER_IMAGE, MOST_GENERATIONS = 16, 8, 500
METHOD = "census of training images, no sampling error"


def has_few_captions(prompts: PromptSet) -> bool:
    """Whether the training set has so few captions that the rate counts its images."""
    return prompts.n_captions is not None and prompts.n_captions < FEW_CAPTIONS


def generations_for(n_images: int) -> int:
    """Count the generations of a caption that so many training images stand under.

    An image that takes its equal share of the generations is then seen twice with 99.7 %, one that takes 0.6
    of it with 95 %: docs/decisions/004-few-captions.md.

    >>> generations_for(1), generations_for(12), generations_for(2000)
    (16, 96, 500)
    """
    return min(MOST_GENERATIONS, max(LEAST_GENERATIONS, GENERATIONS_PER_IMAGE * n_images))


def image_blind_spot(n_generations: int) -> float:
    """Find the smallest share of a caption's generations that an image must take to be found.

    The q with P(Bin(n_generations, q) >= 2) = 0.95.

    Args:
        n_generations: of the caption, at least 0.

    Returns:
        The share, in (0, 1]; 1.0 for fewer than two generations.

    >>> [round(image_blind_spot(n), 3) for n in (1, 16, 96, 500)]
    [1.0, 0.264, 0.048, 0.009]
    """
    return 1.0 if n_generations < 2 else binomial_upper(1, n_generations, POWER)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCount:
    """Training images that were extracted, and those of which it is not known."""

    extracted: int
    undecided: int


def count_images(
    findings: Sequence[Finding],
    prompts: PromptSet,
    seeds_near: Mapping[str, Mapping[str, int]],
    *,
    at_least: int,
) -> ImageCount:
    """Count the training images that enough seeds lie near, whatever prompts they are of.

    An image that is not extracted is decided where a prompt that it stands under was: it is undecided where
    that was left out of the audit, or gave too little that could be judged.

    Args:
        findings: one for each audited prompt.
        prompts: the audit set.
        seeds_near: for each prompt id the images that its generations lie near, and how many do.
        at_least: seeds that make an extraction.
    """
    total: Counter[str] = Counter()
    for near in seeds_near.values():
        total.update(near)
    extracted = {example_id for example_id, seeds in total.items() if seeds >= at_least}
    decided = {finding.prompt_id for finding in findings if finding.verdict is not Verdict.UNDECIDED}
    known = extracted.union(*(p.example_ids for p in prompts.prompts if p.prompt_id in decided))
    return ImageCount(extracted=len(extracted), undecided=max(0, (prompts.n_examples or 0) - len(known)))


def images_extracted_rate(
    findings: Sequence[Finding],
    prompts: PromptSet,
    *,
    images: ImageCount,
    limit: float,
    confidence: float,
) -> Rate:
    """Give the share of the training images that were extracted. Of N images, e extracted and u undecided,

        lower = e / N,  upper = (e + u) / N:

    every image was looked for, so there is no sampling error; what is not seen is the blind spot's.

    Args:
        findings: one for each audited prompt, at least one.
        prompts: the audit set, of a training set with few captions.
        images: e and u.
        limit: the highest rate that passes, in (0, 1].
        confidence: recorded; a census needs none.

    Returns:
        The rate. Its blind spot is that of the prompt with the fewest generations.

    Raises:
        ConfigurationError: there is no finding or no image, or limit is out of its range.
    """
    n = prompts.n_examples or 0
    if not findings or n < 1:
        raise ConfigurationError(
            f"findings and images must be at least one each, got {len(findings)} and {n}: a rate of nothing."
        )
    check_limit(limit)
    verdicts = [finding.verdict for finding in findings]
    captions = prompts.n_captions or 0
    return Rate(
        unit=Unit.TRAINING_IMAGE,
        unit_reason=(
            f"the training set has {captions:,} distinct caption{'' if captions == 1 else 's'}, fewer than "
            f"{FEW_CAPTIONS}: too few prompts to bound a rate on, so its images are counted one by one"
        ),
        captions=prompts.n_captions,
        images=n,
        images_extracted=images.extracted,
        extracted=verdicts.count(Verdict.EXTRACTED),
        flagged=verdicts.count(Verdict.FLAGGED),
        undecided=verdicts.count(Verdict.UNDECIDED),
        near_misses=sum(finding.near_miss for finding in findings),
        prompts=len(findings),
        groups=n,
        extracted_groups=images.extracted,
        undecided_groups=images.undecided,
        generations=sum(finding.generations for finding in findings),
        replicas=sum(finding.replicas for finding in findings),
        lower=images.extracted / n,
        upper=(images.extracted + images.undecided) / n,
        confidence=confidence,
        limit=limit,
        frame=f"every image of the training set; prompts: {prompts.frame.description}",
        frame_size=n,
        method=METHOD,
        blind_spot=max(finding.blind_spot for finding in findings),
    )
