"""The order of the stages: prompts -> generations -> cliques -> matches -> findings -> rate."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memex_audit.extraction.cliques import CliqueStatus
from memex_audit.extraction.matching import Matcher, Nearest
from memex_audit.extraction.verdicts import (
    SEEDS_FOR_EXTRACTION,
    NearestExample,
    enough_judged,
    find_replica_clique,
    goes_on,
    nearest_example,
)
from memex_audit.generation.filling import draw
from memex_audit.generation.store import UnitStore
from memex_audit.protocols import Generator
from memex_audit.rates.blind_spot import blind_spot, blind_spot_of_outcome
from memex_audit.rates.extraction_rate import extraction_rate
from memex_audit.records import (
    AuditPrompt,
    Finding,
    Generation,
    Match,
    MatchKind,
    PromptSet,
    Protocol,
    Rate,
    Verdict,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """The evidence for one prompt, in memory only.

    `generations`: uint8 (n, h, w, 3), the replicas or the clique, none for a clean prompt;
    `training_image` at the same size, or None where nothing matched.
    """

    generations: NDArray[np.uint8]
    training_image: NDArray[np.uint8] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What is known of a prompt after some generations."""

    images: NDArray[np.uint8]
    seeds: tuple[int, ...]
    set_aside: int
    own: Nearest


# Opened around a batch with the number of pictures it may draw; what it gives hears how many just were.
Progress = Callable[[int], AbstractContextManager[Callable[[int], None]]]


@contextmanager
def no_progress(_: int) -> Iterator[Callable[[int], None]]:
    """Show nothing."""
    yield lambda _: None


class Audit:
    """Audits prompts of one model; draws what the store lacks, and judges what it holds.

    `generator` is called when a picture is missing, never before. `matcher` is None where there is no
    training set to look in: then a flagged prompt counts as extracted in the rate. `units`: ids of the
    prompts that this run selected, in groups that one process audits; no batch goes beyond its group.
    """

    def __init__(
        self,
        *,
        prompts: PromptSet,
        protocol: Protocol,
        store: UnitStore,
        generator: Callable[[], Generator],
        evaluations_per_image: Callable[[], int],
        matcher: Matcher | None,
        batch_size: int,
        units: Sequence[Sequence[str]] = (),
        progress: Progress = no_progress,
    ) -> None:
        self.prompts = prompts
        self.protocol = protocol
        self._store = store
        self._generator = generator
        self._evaluations_per_image = evaluations_per_image
        self._matcher = matcher
        self._batch_size = batch_size
        self._progress = progress
        self._findings: dict[str, Finding] = {}
        size = max(1, batch_size // protocol.looks[0])
        others = {prompt.prompt_id: prompt for prompt in prompts.prompts}
        self._batches: dict[str, tuple[AuditPrompt, ...]] = {}
        for unit in units:
            chosen = [others.pop(prompt_id) for prompt_id in unit if prompt_id in others]
            self._batches |= _plan_batches(chosen, size)
        self._batches |= _plan_batches(list(others.values()), size)

    def finding(self, prompt: AuditPrompt) -> Finding:
        """Return the finding of a prompt; its whole batch is drawn and judged on first access."""
        if prompt.prompt_id not in self._findings:
            self._audit_batch(self._batches.get(prompt.prompt_id, (prompt,)))
        return self._findings[prompt.prompt_id]

    def findings(self) -> tuple[Finding, ...]:
        """Return the findings of the whole audit set, in its order."""
        return tuple(self.finding(prompt) for prompt in self.prompts.prompts)

    def rate(self, *, limit: float, confidence: float) -> Rate:
        """Return the extraction rate of the whole audit set with its bounds."""
        return extraction_rate(
            self.findings(),
            self.prompts.frame,
            limit=limit,
            confidence=confidence,
            blind_spot=blind_spot(self.protocol.looks, self.protocol.clique_size),
            count_flagged=self._matcher is None,
        )

    def exhibit(self, finding: Finding) -> Exhibit:
        """Return the pictures behind a finding, from the store."""
        wanted = set(finding.replica_seeds or finding.clique_seeds)
        kept = self._store.read(finding.prompt, self.protocol.looks[-1])
        images, _ = comparable([generation for generation in kept if generation.request.seed in wanted])
        training_image = None
        if finding.match and self._matcher and len(images):
            height, width = images.shape[1:3]
            training_image = self._matcher.training_image(finding.match.example_id, height, width)
        return Exhibit(generations=images, training_image=training_image)

    def _audit_batch(self, batch: Sequence[AuditPrompt]) -> None:
        going_on = list(batch)
        for n in self.protocol.looks:
            if not going_on:
                return
            looks = self._looks(going_on, n)
            stopped, going_on = self._split(going_on, looks, last=n == self.protocol.looks[-1])
            for prompt in stopped:
                self._findings[prompt.prompt_id] = self._judge(prompt, looks[prompt.prompt_id])

    def _looks(self, prompts: Sequence[AuditPrompt], n: int) -> dict[str, _Look]:
        texts = [prompt.text for prompt in prompts]
        with self._progress(len(texts) * n) as advance:
            drawn = draw(
                self._store, self._generator, texts, n, batch_size=self._batch_size, progress=advance
            )
            return {p.prompt_id: self._look(p, pictures) for p, pictures in zip(prompts, drawn, strict=True)}

    def _split(
        self, prompts: Sequence[AuditPrompt], looks: dict[str, _Look], *, last: bool
    ) -> tuple[list[AuditPrompt], list[AuditPrompt]]:
        edge_delta, match_delta = self.protocol.edge_delta, self.protocol.match_delta
        onward = [
            prompt
            for prompt in prompts
            if not last
            and goes_on(
                looks[prompt.prompt_id].images,
                looks[prompt.prompt_id].own,
                edge_delta=edge_delta,
                match_delta=match_delta,
            )
        ]
        kept = {prompt.prompt_id for prompt in onward}
        return [prompt for prompt in prompts if prompt.prompt_id not in kept], onward

    def _look(self, prompt: AuditPrompt, drawn: Sequence[Generation]) -> _Look:
        images, seeds = comparable(drawn)
        own = Nearest(distances=np.zeros((len(images), 0)), example_ids=())
        if self._matcher and len(images):
            own = self._matcher.distances_to(images, prompt.example_ids)
        return _Look(
            images=images,
            seeds=seeds,
            set_aside=len(drawn) - len(images),
            own=own,
        )

    def _judge(self, prompt: AuditPrompt, look: _Look) -> Finding:
        protocol = self.protocol
        clique = find_replica_clique(
            look.images, edge_delta=protocol.edge_delta, clique_size=protocol.clique_size
        )
        found = self._extracted(look, clique.members)
        near = found or nearest_example(look.own, match_delta=protocol.match_delta, at_least=1)
        if found:
            verdict = Verdict.EXTRACTED
        elif clique.status is CliqueStatus.FOUND:
            verdict = Verdict.FLAGGED
        elif clique.status is CliqueStatus.UNKNOWN or not enough_judged(len(look.images), look.set_aside):
            # Also after the first look: what gives blanks there is not worth twelve more of them.
            verdict = Verdict.UNDECIDED
        else:
            verdict = Verdict.NOT_FLAGGED
        n = len(look.images)
        replica_rows = found.rows if found else _rows_near(look.own, protocol.match_delta)
        return Finding(
            prompt_id=prompt.prompt_id,
            prompt=prompt.text,
            duplication_count=prompt.duplication_count,
            group_id=prompt.group_id,
            verdict=verdict,
            near_miss=near is not None and found is None,
            generations=n,
            set_aside=look.set_aside,
            network_evaluations=(n + look.set_aside) * self._evaluations_per_image(),
            clique_size=len(clique.members),
            clique_seeds=tuple(look.seeds[row] for row in clique.members),
            replicas=len(replica_rows),
            replica_seeds=tuple(look.seeds[row] for row in replica_rows),
            blind_spot=blind_spot_of_outcome(n, protocol.looks, protocol.clique_size, look.set_aside),
            match=self._match(prompt, look, near) if near else None,
            nearest=_least_distance(look.own, found),
        )

    def _extracted(self, look: _Look, members: tuple[int, ...]) -> NearestExample | None:
        """Return the training image given back: the caption's own, or another that a clique lies near."""
        delta = self.protocol.match_delta
        own = nearest_example(look.own, match_delta=delta, at_least=SEEDS_FOR_EXTRACTION)
        if own or not members or not self._matcher:
            return own
        near = self._matcher.distances_to_neighbors(look.images[list(members)])
        other = nearest_example(near, match_delta=delta, at_least=self.protocol.clique_size)
        if other is None:
            return None
        rows = tuple(members[row] for row in other.rows)
        return NearestExample(example_id=other.example_id, distance=other.distance, rows=rows)

    def _match(self, prompt: AuditPrompt, look: _Look, found: NearestExample) -> Match:
        assert self._matcher is not None
        height, width = look.images.shape[1:3]
        own = found.example_id in prompt.example_ids
        return Match(
            example_id=found.example_id,
            distance=found.distance,
            kind=MatchKind.MATCHING if own else MatchKind.RETRIEVED,
            k=self._matcher.count_within(found.example_id, self.protocol.match_delta, height, width),
        )


def _plan_batches(prompts: Sequence[AuditPrompt], size: int) -> dict[str, tuple[AuditPrompt, ...]]:
    """Group prompts into the batches that are drawn together, by prompt id."""
    batches = [tuple(prompts[first : first + size]) for first in range(0, len(prompts), size)]
    return {prompt.prompt_id: batch for batch in batches for prompt in batch}


def comparable(generations: Sequence[Generation]) -> tuple[NDArray[np.uint8], tuple[int, ...]]:
    """Return the usable pictures, uint8 (n, h, w, 3), with their seeds.

    Left out is what has no pixels, and what is of another size than the first that has.
    """
    drawn = [(g.pixels, g.request.seed) for g in generations if g.pixels is not None]
    if not drawn:
        return np.zeros((0, 4, 4, 3), np.uint8), ()
    kept = [(pixels, seed) for pixels, seed in drawn if pixels.shape == drawn[0][0].shape]
    return np.stack([pixels for pixels, _ in kept]), tuple(seed for _, seed in kept)


def _least_distance(own: Nearest, found: NearestExample | None) -> float | None:
    distances = [*own.distances.ravel(), *([found.distance] if found else [])]
    return float(min(distances)) if distances else None


def _rows_near(own: Nearest, match_delta: float) -> tuple[int, ...]:
    if not own.distances.size:
        return ()
    return tuple(int(row) for row in np.flatnonzero(own.distances.min(axis=1) <= match_delta))
