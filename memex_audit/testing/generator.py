"""Rules for whatever draws pictures."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest

from memex_audit.generation.fingerprints import settings_digest
from memex_audit.generation.guards import PORT, SMALLEST_SIDE, picture_fault
from memex_audit.protocols import Generator
from memex_audit.records import Generation, GenerationRequest
from memex_audit.testing.rules import Record, made_once, require, require_attributes

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The audit's seeds have 63 bits: one of few, one of many.
SEEDS = (7, 2**62 + 11)


class GeneratorContract:
    """Rules that every Generator keeps, a test each.

    Tested is the fixture `memex_generator`: what this project audits, or what a fixture of that name in the
    test's module gives. Every prompt is drawn with two seeds, four times over.

    Attributes:
        prompts: what is drawn, at least one prompt; give a model that knows few words its own.
        tolerance: largest difference of two pictures of one request, in levels of 255. What rounds
            otherwise in another batch may differ by it; the largest that was seen is recorded as the
            test's property `largest_difference`.
    """

    prompts: ClassVar[Sequence[str]] = ("a lighthouse in fog", "a red bicycle")
    tolerance: ClassVar[int] = 2

    @pytest.fixture
    def requests(self) -> tuple[GenerationRequest, ...]:
        """What is drawn: every prompt with every seed."""
        return tuple(GenerationRequest(prompt=prompt, seed=seed) for prompt in self.prompts for seed in SEEDS)

    @pytest.fixture
    def drawn(
        self,
        request: pytest.FixtureRequest,
        memex_generator: Generator,
        requests: tuple[GenerationRequest, ...],
    ) -> tuple[object, ...]:
        """What the generator answers to all requests at once; drawn for the first test that asks."""
        return made_once(request, memex_generator, lambda: tuple(memex_generator.generate(requests)))

    def test_it_offers_what_a_generator_must(self, memex_generator: Generator) -> None:
        """`fingerprint`, `settings`, `seeded`, `shareable`, `evaluations_per_image` and `generate`."""
        require_attributes(memex_generator, "Generator", PORT)
        for name in ("seeded", "shareable"):
            value = getattr(memex_generator, name)
            require(isinstance(value, bool), f"`{name}` must be True or False, got {name}={value!r}.")

    def test_its_fingerprint_is_a_text_that_does_not_change(
        self, memex_generator: Generator, drawn: tuple[object, ...]
    ) -> None:
        """It names the folder of what was drawn: a text, the same before and after drawing."""
        del drawn  # it has drawn by now
        first, second = memex_generator.fingerprint, memex_generator.fingerprint
        require(
            isinstance(first, str) and first != "",
            f"`fingerprint` must be a text that identifies the weights, got {first!r}; a digest will do.",
        )
        require(
            first == second,
            f"`fingerprint` must stay the same, got {first!r} and then {second!r}; take it from the weights.",
        )

    def test_its_settings_are_plain_values_that_do_not_change(
        self, memex_generator: Generator, requests: tuple[GenerationRequest, ...]
    ) -> None:
        """Whatever else changes a picture, as JSON could hold it: what was drawn is kept under it."""
        before = _digest(memex_generator.settings)
        next(iter(memex_generator.generate(requests[:1])))
        require(
            before == _digest(memex_generator.settings),
            "`settings` must stay the same while pictures are drawn, got others after a picture; "
            "keep counters and caches out of it.",
        )

    def test_a_picture_costs_evaluations_or_nobody_knows_how_many(self, memex_generator: Generator) -> None:
        """`evaluations_per_image`: network evaluations on one latent."""
        cost = memex_generator.evaluations_per_image
        require(
            isinstance(cost, int) and not isinstance(cost, bool) and cost >= 0,
            f"`evaluations_per_image` must be a whole number, got {cost!r}; "
            "it is the number of steps, twice that with guidance; 0 where nobody knows.",
        )

    def test_every_request_is_answered_in_order(
        self, requests: tuple[GenerationRequest, ...], drawn: tuple[object, ...]
    ) -> None:
        """One Generation a request, which holds the request it answers."""
        for answer in drawn:
            require(
                isinstance(answer, Generation),
                f"`generate` must yield Generations, got a {type(answer).__name__}.",
            )
        answered = [answer.request for answer in _generations(drawn)]
        require(
            len(answered) == len(requests),
            f"`generate` must answer every request once, got {len(answered)} answers to {len(requests)}.",
        )
        wrong = [i for i, (a, b) in enumerate(zip(answered, requests, strict=True), start=1) if a != b]
        require(
            not wrong,
            "`generate` must answer the requests in their order, got another request back for number "
            f"{', '.join(map(str, wrong))} of {len(requests)}.",
        )

    def test_a_picture_is_uint8_of_height_width_and_three_colours(self, drawn: tuple[object, ...]) -> None:
        """Pixels of a side too short for the 4 x 4 grid of tiles cannot be compared either."""
        faults = [picture_fault(answer.pixels) for answer in _generations(drawn) if answer.pixels is not None]
        require(
            not any(faults),
            f"`pixels` must be a uint8 array of shape (height, width, 3), sides of {SMALLEST_SIDE} or more, "
            f"got {next(filter(None, faults), None)}; np.round(255 * x) converts values in [0, 1].",
        )

    def test_a_picture_or_the_reason_why_there_is_none(self, drawn: tuple[object, ...]) -> None:
        """`pixels` is None only with a `reason`, and `reason` is None where there are pixels."""
        for number, answer in enumerate(_generations(drawn), start=1):
            require(
                (answer.pixels is None) == bool(answer.reason),
                f"a Generation must have either pixels or a reason, got {_words(answer)} "
                f"in answer {number} of {len(drawn)}.",
            )

    def test_at_least_one_picture_is_drawn(self, drawn: tuple[object, ...]) -> None:
        """Where every picture is set aside the other rules say nothing."""
        reasons = {answer.reason for answer in _generations(drawn) if answer.pixels is None}
        require(
            any(answer.pixels is not None for answer in _generations(drawn)),
            f"at least one of {len(drawn)} requests must give a picture, got none ({reasons}); "
            "give the contract prompts that the model can draw.",
        )

    def test_pictures_of_a_prompt_have_one_size(self, drawn: tuple[object, ...]) -> None:
        """They are compared tile by tile."""
        sizes: dict[str, set[tuple[int, ...]]] = {}
        for answer in _generations(drawn):
            if answer.pixels is not None:
                sizes.setdefault(answer.request.prompt, set()).add(np.shape(answer.pixels)[:2])
        require(
            all(len(of_prompt) == 1 for of_prompt in sizes.values()),
            f"pictures of a prompt must have one size, got {sizes}; fix the size in the settings.",
        )

    def test_two_seeds_give_two_pictures(self, drawn: tuple[object, ...]) -> None:
        """A generator that ignores the seed would look like a model that memorized every prompt."""
        for prompt in self.prompts:
            of_prompt = [answer for answer in _generations(drawn) if answer.request.prompt == prompt]
            pictures = [answer.pixels for answer in of_prompt if answer.pixels is not None]
            same = len(pictures) == len(SEEDS) and _difference(pictures[0], pictures[1]) == 0
            require(
                not same,
                f"two seeds of a prompt must give two pictures, got one for {prompt!r} with the seeds "
                f"{SEEDS}; every bit of a seed must count.",
            )

    def test_the_same_request_gives_the_same_picture_again(
        self,
        memex_generator: Generator,
        requests: tuple[GenerationRequest, ...],
        drawn: tuple[object, ...],
        record_property: Record,
    ) -> None:
        """In the same batch, a second time."""
        again = tuple(memex_generator.generate(requests))
        self._require_equal(memex_generator, drawn, again, "drawn again", record_property)

    def test_the_same_request_gives_the_same_picture_in_another_order(
        self,
        memex_generator: Generator,
        requests: tuple[GenerationRequest, ...],
        drawn: tuple[object, ...],
        record_property: Record,
    ) -> None:
        """What was drawn before it must not count."""
        backwards = tuple(memex_generator.generate(requests[::-1]))[::-1]
        self._require_equal(memex_generator, drawn, backwards, "drawn in another order", record_property)

    def test_the_same_request_gives_the_same_picture_alone(
        self,
        memex_generator: Generator,
        requests: tuple[GenerationRequest, ...],
        drawn: tuple[object, ...],
        record_property: Record,
    ) -> None:
        """What is drawn beside it must not count: the size of a batch depends on the machine."""
        alone = tuple(answer for request in requests for answer in memex_generator.generate([request]))
        self._require_equal(memex_generator, drawn, alone, "drawn alone", record_property)

    def _require_equal(
        self,
        generator: Generator,
        first: tuple[object, ...],
        second: tuple[object, ...],
        how: str,
        record_property: Record,
    ) -> None:
        if not generator.seeded:
            pytest.skip("the generator says of itself that it is not seeded")
        pairs = zip(_generations(first), _generations(second), strict=False)
        differences = [_difference(one.pixels, other.pixels) for one, other in pairs]
        record_property("largest_difference", largest := max(differences, default=0))
        require(
            largest <= self.tolerance,
            f"the same request must give the same picture when {how}, within {self.tolerance} levels of "
            f"255, got a difference of {largest:g}; draw each picture from its own seed alone, or say "
            "`seeded = False`.",
        )


def _generations(drawn: tuple[object, ...]) -> list[Generation]:
    return [answer for answer in drawn if isinstance(answer, Generation)]


def _difference(one: "NDArray[np.uint8] | None", other: "NDArray[np.uint8] | None") -> float:
    """Return the largest difference of a value, infinity where only one is a picture or sizes differ."""
    if one is None or other is None:
        return 0 if one is other else math.inf
    if np.shape(one) != np.shape(other):
        return math.inf
    return float(np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).max(initial=0))


def _digest(settings: object) -> str:
    try:
        values = dict(settings)  # type: ignore[call-overload]
        digest = settings_digest(values)
    except (TypeError, ValueError) as error:
        values, digest, fault = {}, "", str(error)
    else:
        fault = "an empty one"
    require(
        bool(values),
        "`settings` must be a mapping of names to numbers, texts and lists, with at least what the picture "
        f"depends on beside the weights, got {fault}.",
    )
    return digest


def _words(answer: Generation) -> str:
    if answer.pixels is None:
        return f"no pixels and reason={answer.reason!r}"
    return f"pixels and reason={answer.reason!r}"
