"""The order of the stages: prompts -> generations -> cliques -> matches -> findings -> rate."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from types import MappingProxyType

from memex_audit.batch_size import BatchSize
from memex_audit.errors import ImagesSpent
from memex_audit.exhibits import Exhibit, exhibits_of, seeds_shown
from memex_audit.extraction.matching import Matcher
from memex_audit.extraction.protocol import blind_spot, sequential_test
from memex_audit.extraction.verdicts import SEEDS_FOR_EXTRACTION, CliqueReading
from memex_audit.generation.filling import draw, draw_again
from memex_audit.generation.store import UnitStore
from memex_audit.judging import Judged, Judgement, Look, goes_on, judge, read_look
from memex_audit.keeping import Keeping
from memex_audit.looking import Looking, comparable
from memex_audit.protocols import Generator
from memex_audit.rates.extraction_rate import extraction_rate
from memex_audit.rates.images_extracted import ImageCount, count_images, images_extracted_rate
from memex_audit.records import (
    AuditPrompt,
    Finding,
    Generation,
    PromptSet,
    Protocol,
    Rate,
    Unit,
    Verdict,
)
from memex_audit.rounds import Rounds
from memex_audit.spending import Spending

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
    `protocols`: by prompt id, where captions are few and each is decided by a protocol of its own.
    `spending`: what may be drawn; what is not decided when it ends is UNDECIDED. `keep`: which pixels are
    written (keeping.py); a prompt that block sums settle is judged without them. `judged`: what was judged
    before, of the very same pictures.
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
        batch_size: int | BatchSize,
        units: Sequence[Sequence[str]] = (),
        progress: Progress = no_progress,
        protocols: Mapping[str, Protocol] = MappingProxyType({}),
        spending: Spending | None = None,
        keep: str = "all",
        judged: Judged | None = None,
    ) -> None:
        self.prompts = prompts
        self.protocol = protocol
        self._protocols = protocols
        self._store = store
        self._generator = generator
        self._evaluations_per_image = evaluations_per_image
        self._matcher = matcher
        self._batch_size = BatchSize.of(batch_size)
        self._progress = progress
        self._spending = spending or Spending(None)
        self._looking = Looking(matcher, self.protocol_of)
        self._keeping = Keeping(keep, self._looking, store)
        self._findings: dict[str, Finding] = {}
        # An image may be near one seed of each of two prompts: what each was near is kept.
        self._seeds_near: dict[str, Mapping[str, int]] = {}
        # Where each has a protocol of its own, prompts have no looks in common.
        others = {prompt.prompt_id: prompt for prompt in prompts.prompts}
        self._prompts = dict(others)
        self._judged = judged
        known = judged.recall(prompts.prompts, self.protocol_of) if judged else {}
        for prompt_id in known:
            self._take(known[prompt_id])
            del others[prompt_id]
        self._rounds: dict[str, Rounds] = {}
        for unit in units:
            self._plan([others.pop(prompt_id).prompt_id for prompt_id in unit if prompt_id in others])
        self._plan(list(others))

    def _plan(self, prompt_ids: Sequence[str]) -> None:
        groups = [[prompt_id] for prompt_id in prompt_ids] if self._protocols else [prompt_ids]
        for together in groups:
            rounds = Rounds(together, len(self._looks_of(together)), self._at_once)
            self._rounds |= dict.fromkeys(together, rounds)

    def _looks_of(self, prompt_ids: Sequence[str]) -> tuple[int, ...]:
        return self.protocol_of(prompt_ids[0]).looks if prompt_ids else self.protocol.looks

    def _at_once(self, number: int) -> int:
        looks = (0, *self.protocol.looks)
        return max(1, self._batch_size.at_once // (looks[number + 1] - looks[number]))

    def protocol_of(self, prompt_id: str) -> Protocol:
        """Return how a prompt is decided."""
        return self._protocols.get(prompt_id, self.protocol)

    def finding(self, prompt: AuditPrompt) -> Finding:
        """Return the finding of a prompt; batches are drawn and judged until there is one.

        Of one that the model reads as another it is the other's.
        """
        prompt_id = self.prompts.read_as.get(prompt.prompt_id, prompt.prompt_id)
        if prompt_id not in self._rounds and prompt_id not in self._findings:
            self._prompts[prompt_id] = prompt
            self._plan([prompt_id])
        while prompt_id not in self._findings:
            self._draw_and_decide(self._rounds[prompt_id], prompt_id)
        return self._findings[prompt_id]

    def findings(self) -> tuple[Finding, ...]:
        """Return the findings of the whole audit set, in its order."""
        findings = tuple(self.finding(prompt) for prompt in self.prompts.prompts)
        self.remember()
        return findings

    def remember(self) -> None:
        """Write down what was judged, where that is remembered."""
        if self._judged:
            self._judged.flush()

    def why_not_drawn(self, prompt: AuditPrompt) -> str | None:
        """Say why no picture is drawn for a prompt: it scored low, and is not in the random sample."""
        prompt_id, screen = self.prompts.read_as.get(prompt.prompt_id, prompt.prompt_id), self.prompts.screen
        if screen is None or prompt_id in self._prompts or prompt_id not in screen.scores:
            return None
        return (
            f"not drawn for: {screen.name} scores {screen.scores[prompt_id].score:.4g}, under the cut of "
            f"{screen.cut:.4g}, and it is not in the random sample of such prompts; the rate covers it"
        )

    def rate(self, *, limit: float, confidence: float) -> Rate:
        """Return the extraction rate of the whole audit set with its bounds.

        Its unit is the prompt group; where captions are few, the training image.
        """
        findings = self.findings()
        if self.protocol.unit is Unit.TRAINING_IMAGE:
            return images_extracted_rate(
                findings, self.prompts, images=self.image_count(), limit=limit, confidence=confidence
            )
        rate = extraction_rate(
            findings,
            self.prompts.frame,
            limit=limit,
            confidence=confidence,
            blind_spot=blind_spot(sequential_test(self.protocol)),
            count_flagged=self._matcher is None,
            strata=self.prompts.strata,
        )
        if self._matcher is None or self.prompts.n_examples is None:
            return rate
        return replace(
            rate,
            captions=self.prompts.n_captions,
            images=self.prompts.n_examples,
            images_extracted=self.image_count().extracted,
        )

    def image_count(self) -> ImageCount:
        """Count the training images that the whole audit set gave back."""
        return count_images(self.findings(), self.prompts, self._seeds_near, at_least=SEEDS_FOR_EXTRACTION)

    def exhibit(self, finding: Finding) -> Exhibit:
        """Return the pictures behind a finding, from the store or drawn again."""
        return self.exhibits(replace(finding, images=()))[0]

    def exhibits(self, finding: Finding) -> tuple[Exhibit, ...]:
        """Return an exhibit for each of the first training images that the finding names; at least one."""
        protocol = self.protocol_of(finding.prompt_id)
        wanted, n = seeds_shown(finding), protocol.looks[-1]
        kept = [one for one in self._store.read(finding.prompt, n) if one.request.seed in wanted]
        images, _ = comparable(self._with_pixels(finding.prompt, kept, n))
        return exhibits_of(finding, images, self._matcher, match_delta=protocol.match_delta)

    def _draw_and_decide(self, rounds: Rounds, wanted: str) -> None:
        """Draw the next look of a batch of prompts, and keep what it decides."""
        number, names = rounds.next_batch(wanted)
        batch = self._affordable([self._prompts[name] for name in names], number)
        if not batch:
            self._end_undecided(rounds)
            return
        looks_of = self._looks_of(names)
        try:
            self._decide(batch, looks_of, number, rounds)
        except ImagesSpent:  # another process, or an answer that had to be asked for twice, took the rest
            self._end_undecided(rounds)

    def _decide(
        self, batch: Sequence[AuditPrompt], looks_of: tuple[int, ...], number: int, rounds: Rounds
    ) -> None:
        for prompt, look in zip(batch, self._looks(batch, looks_of, number), strict=True):
            protocol = self.protocol_of(prompt.prompt_id)
            clique = read_look(look, protocol)
            onward = number + 1 < len(looks_of) and goes_on(look, clique, protocol)
            if not onward:
                judgement = self._keep(prompt, look, clique)
                if self._judged:
                    self._judged.keep(prompt, protocol, judgement)
                self._keeping.forget(prompt)
            rounds.settle(number, prompt.prompt_id, goes_on=onward)

    def _affordable(self, batch: list[AuditPrompt], number: int) -> list[AuditPrompt]:
        """Return what the budget covers: the batch, its first prompt, or nothing.

        Raises:
            ConfigurationError: the budget does not even cover the first.
        """
        if not self._spending.has_end:
            return batch
        n, missing = self._looks_of([batch[0].prompt_id])[number], 0
        for chosen in (batch, batch[:1]):
            missing = self._store.count_missing([prompt.text for prompt in chosen], n)
            if not missing or self._spending.may_draw(missing, self._evaluations_per_image()):
                return chosen
        self._spending.refuse_if_nothing_was_drawn(missing, self._evaluations_per_image())
        return []

    def _end_undecided(self, rounds: Rounds) -> None:
        """Judge what is there of every prompt that still waits: it may be enough to see a replica."""
        for number, name in rounds.waiting():
            prompt, drawn = self._prompts[name], []
            if number:
                looks = self._looks_of([name])
                (drawn,) = draw(
                    self._store,
                    self._generator,
                    [prompt.text],
                    looks[number - 1],
                    batch_size=self._batch_size,
                    reduced=True,
                )
                drawn = self._keeping.recall(prompt, drawn)
            look = self._look_at_what_is_there(prompt, drawn)
            self._keep(prompt, look, read_look(look, self.protocol_of(name)))
            if self._findings[name].verdict is not Verdict.EXTRACTED:
                self._findings[name] = replace(self._findings[name], verdict=Verdict.UNDECIDED)
            rounds.settle(number, name, goes_on=False)

    def _keep(self, prompt: AuditPrompt, look: Look, clique: CliqueReading) -> Judgement:
        judgement = judge(
            prompt,
            look,
            clique,
            protocol=self.protocol_of(prompt.prompt_id),
            matcher=self._matcher,
            evaluations_per_image=self._evaluations_per_image(),
        )
        self._take(judgement)
        return judgement

    def _take(self, judgement: Judgement) -> None:
        prompt_id = judgement.finding.prompt_id
        self._findings[prompt_id] = self._with_screen(judgement.finding)
        self._seeds_near[prompt_id] = judgement.seeds_near

    def _with_screen(self, finding: Finding) -> Finding:
        """Add what the screen said of a prompt, and what it cost."""
        if self.prompts.screen is None or finding.prompt_id not in self.prompts.screen.scores:
            return finding
        score = self.prompts.screen.scores[finding.prompt_id]
        cost = finding.network_evaluations + score.network_evaluations
        return replace(finding, network_evaluations=cost, screen=score)

    def _looks(self, prompts: Sequence[AuditPrompt], looks: Sequence[int], number: int) -> Iterator[Look]:
        texts = [prompt.text for prompt in prompts]
        by_text = dict(zip(texts, prompts, strict=True))
        before, n = (0, *looks)[number : number + 2]
        with self._progress(len(texts) * (n - before)) as advance:
            self._spending.begin()

            def hear(just_drawn: int) -> None:
                if self._spending.has_end:
                    self._spending.count(just_drawn, self._evaluations_per_image())
                advance(just_drawn)

            drawn = draw(
                self._store,
                self._generator,
                texts,
                n,
                batch_size=self._batch_size,
                progress=hear,
                keeps=lambda text, pictures: self._keeping.keeps(by_text[text], n, pictures),
                reduced=True,
            )
            for prompt, pictures in zip(prompts, drawn, strict=True):
                yield self._look(prompt, pictures, n, hear)

    def _look(
        self, prompt: AuditPrompt, drawn: Sequence[Generation], n: int, hear: Callable[[int], None]
    ) -> Look:
        """Look by block sums where these settle it; where not, what has no pixels is drawn again."""
        drawn = self._keeping.recall(prompt, drawn)
        if self._keeping.prefers_sums or any(picture.reduced for picture in drawn):
            look = self._looking.at_sums(prompt, drawn)
            if look:
                return look
        whole = self._with_pixels(prompt.text, drawn, n, hear)
        self._keeping.remember(prompt, whole)
        return self._looking.at_pixels(prompt, whole)

    def _look_at_what_is_there(self, prompt: AuditPrompt, drawn: Sequence[Generation]) -> Look:
        """Look without drawing anything again: there is nothing left to spend on it."""
        look = None
        if any(picture.reduced for picture in drawn):
            look = self._looking.at_sums(prompt, drawn)
        there = [picture for picture in drawn if not picture.reduced]
        return look or self._looking.at_pixels(prompt, there)

    def _with_pixels(
        self,
        text: str,
        pictures: Sequence[Generation],
        n: int,
        hear: Callable[[int], None] = lambda _: None,
    ) -> list[Generation]:
        """Return some of a prompt's first n pictures with their pixels, from the store or drawn again."""
        return draw_again(
            self._store, self._generator, text, pictures, n, batch_size=self._batch_size, progress=hear
        )
