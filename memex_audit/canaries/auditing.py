"""Manifest -> what an audit finds of its canaries: those it detects, by repetitions, and their exposure."""

from collections import Counter
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from memex_audit.audit import Audit
from memex_audit.canaries.exposure import exposure, rank_of_planted
from memex_audit.canaries.manifest import Canary, Manifest
from memex_audit.canaries.pictures import GRID
from memex_audit.extraction.fitting import fit_to
from memex_audit.extraction.matching import Matcher
from memex_audit.generation.filling import draw
from memex_audit.looking import comparable
from memex_audit.picture_bytes import decode_picture
from memex_audit.rates.bounds import binomial_lower, binomial_upper
from memex_audit.records import (
    AuditPrompt,
    CanaryFinding,
    CanaryLevel,
    CanaryResult,
    ControlResult,
    Finding,
    Frame,
    Generation,
    PromptSet,
    Verdict,
)
from memex_audit.training_set.numpy_index import NumpyIndex
from memex_audit.training_set.prompts import prompt_id_of

if TYPE_CHECKING:
    from memex_audit.workbench import Workbench

# Every canary is ranked by so many generations, however early the protocol decides it.
EXPOSURE_GENERATIONS = 16


def audit_canaries(bench: "Workbench", manifest: Manifest, *, confidence: float) -> CanaryResult:
    """Audit the planted canaries by the protocol of this audit, and rank each among the references.

    As many references as there are canaries at a level are audited too, as the level of 0 repetitions: no
    model has learned them.

    Raises:
        CanaryError: a picture of the manifest is missing, or is not the one that was made.
    """
    pictures = CanaryPictures(manifest)
    audited = (*manifest.planted, *_unplanted(manifest))
    audit = _audit_of(bench, pictures, audited)
    texts = [canary.caption for canary in audited]
    drawn = draw(
        bench.unit_store, lambda: bench.generator, texts, EXPOSURE_GENERATIONS, batch_size=bench.batch_size
    )
    findings = tuple(
        _judge(canary, audit.finding(prompt), pictures, generations, bench.protocol.match_delta)
        for canary, prompt, generations in zip(audited, audit.prompts.prompts, drawn, strict=True)
    )
    return CanaryResult(
        seal=manifest.seal,
        confidence=confidence,
        match_delta=bench.protocol.match_delta,
        references=len(manifest.references),
        canaries=findings,
        levels=levels_of(findings, confidence),
    )


def canary_control(result: CanaryResult, model: str) -> ControlResult:
    """Return the positive control that planted canaries are: on the audited model itself."""
    planted = [canary for canary in result.canaries if canary.repetitions]
    return ControlResult(
        kind="positive",
        subject=f"{model}, canaries planted in its training set",
        prompts=len(planted),
        detected=sum(canary.detected for canary in planted),
        unit="canaries",
    )


def levels_of(canaries: Sequence[CanaryFinding], confidence: float) -> tuple[CanaryLevel, ...]:
    """Sum up canaries by repetitions, most first; `lower` and `upper` are exact, each at `confidence`."""
    levels = []
    for repetitions in sorted({canary.repetitions for canary in canaries}, reverse=True):
        those = [canary for canary in canaries if canary.repetitions == repetitions]
        detected, n = sum(canary.detected for canary in those), len(those)
        levels.append(
            CanaryLevel(
                repetitions=repetitions,
                canaries=n,
                detected=detected,
                lower=binomial_lower(detected, n, confidence),
                upper=binomial_upper(detected, n, confidence),
                replicas=sum(canary.replicas for canary in those),
                generations=sum(canary.generations for canary in those),
                exposure=sum(canary.exposure for canary in those) / n,
                most_exposure=sum(exposure(1, canary.candidates) for canary in those) / n,
            )
        )
    return tuple(levels)


class CanaryPictures:
    """The pictures of a manifest, to look generations up in: `load` by canary id."""

    def __init__(self, manifest: Manifest) -> None:
        self._pixels = {
            canary.canary_id: decode_picture(manifest.read_picture(canary)) for canary in manifest.canaries
        }
        self._references = tuple(canary.canary_id for canary in manifest.references)

    def load(self, example_ids: Sequence[str]) -> list[NDArray[np.uint8]]:
        """Return the pictures of these canaries, in order."""
        return [self._pixels[example_id] for example_id in example_ids]

    def candidates_of(self, canary: Canary) -> tuple[str, ...]:
        """Return the ids that a canary is ranked among: its own first, and those never planted."""
        others = (reference for reference in self._references if reference != canary.canary_id)
        return (canary.canary_id, *others)

    @cached_property
    def matcher(self) -> Matcher:
        """What compares generations with all these pictures."""
        embedder = SmallPixels()
        ids = tuple(self._pixels)
        index = NumpyIndex(embedder.embed(self.load(ids)), ids)
        return Matcher(self, lambda: index, lambda: embedder)


class SmallPixels:
    """Embeds a picture as its own pixels at 8 x 8: canaries differ there, so their index needs no network."""

    name = "8 x 8 pixels"
    dimension = 3 * GRID**2
    duplicate_similarity = 0.99

    def embed(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Embed uint8 (h, w, 3) images into float32 (n, 192) of unit norm."""
        small = np.stack([fit_to(image, GRID, GRID) for image in images]).reshape(len(images), -1)
        # Centred by a constant that no mean of bytes equals: a vector is never 0.
        centred = small.astype(np.float32) - 127.3
        vectors: NDArray[np.float32] = centred / np.linalg.norm(centred, axis=1, keepdims=True)
        return vectors


def _unplanted(manifest: Manifest) -> tuple[Canary, ...]:
    most = max(Counter(canary.repetitions for canary in manifest.planted).values())
    return manifest.references[:most]


def _audit_of(bench: "Workbench", pictures: CanaryPictures, canaries: Sequence[Canary]) -> Audit:
    """Return the audit of the canaries' captions: this bench's in all but what it compares with."""
    own = copy(bench)
    own.matcher = pictures.matcher
    if bench.settings.keep == "evidence":  # each is also ranked by its pixels
        own.settings = replace(bench.settings, keep="all")
    prompts = tuple(
        AuditPrompt(
            prompt_id=prompt_id_of(canary.caption),
            text=canary.caption,
            group_id=prompt_id_of(canary.caption),
            duplication_count=max(1, canary.repetitions),
            example_ids=(canary.canary_id,),
        )
        for canary in canaries
    )
    return own.audit(PromptSet(prompts=prompts, frame=Frame(description="canaries", size=len(prompts))))


def _judge(
    canary: Canary,
    finding: Finding,
    pictures: CanaryPictures,
    generations: Sequence[Generation],
    match_delta: float,
) -> CanaryFinding:
    images, _ = comparable(generations)
    candidates = pictures.candidates_of(canary)
    distances = pictures.matcher.distances_to(images, candidates).distances
    rank = rank_of_planted(distances)
    own = distances[:, 0]
    return CanaryFinding(
        canary_id=canary.canary_id,
        repetitions=canary.repetitions,
        detected=_gives_back(finding, canary),
        verdict=finding.verdict,
        replicas=int(np.count_nonzero(own <= match_delta)),
        generations=len(own),
        nearest=float(own.min()) if len(own) else None,
        rank=rank,
        candidates=len(candidates),
        exposure=exposure(rank, len(candidates)),
    )


def _gives_back(finding: Finding, canary: Canary) -> bool:
    match = finding.match
    return finding.verdict is Verdict.EXTRACTED and match is not None and match.example_id == canary.canary_id
