"""Rules for whatever holds captioned pictures."""

from typing import TYPE_CHECKING

import pytest

from memex_audit.generation.guards import picture_fault
from memex_audit.protocols import TrainingSet
from memex_audit.records import SetAside, TrainingExample
from memex_audit.testing.rules import require, require_attributes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PORT = ("location", "examples", "load", "stat_fingerprint", "content_fingerprint", "set_aside")


class TrainingSetContract:
    """Rules that every TrainingSet keeps, a test each.

    Override the fixture `training_set`: a set of two examples or more, small enough to be read six times.
    """

    @pytest.fixture
    def training_set(self) -> TrainingSet:
        """The training set under test."""
        raise NotImplementedError("a TrainingSetContract must define the fixture training_set")

    @pytest.fixture
    def examples(self, training_set: TrainingSet) -> tuple[TrainingExample, ...]:
        """Everything it holds, in its order."""
        return tuple(training_set.examples())

    def test_it_offers_what_a_training_set_must(self, training_set: TrainingSet) -> None:
        """`location`, `examples`, `load`, `stat_fingerprint`, `content_fingerprint` and `set_aside`."""
        require_attributes(training_set, "TrainingSet", PORT)
        location = training_set.location
        require(
            isinstance(location, str) and location != "",
            f"`location` must be a text that says where the set lies, got {location!r}.",
        )

    def test_it_holds_at_least_two_examples(self, examples: tuple[TrainingExample, ...]) -> None:
        """With fewer the other rules say little."""
        require(len(examples) > 1, f"the set must hold two examples or more here, got {len(examples)}.")

    def test_every_example_has_an_id_of_its_own(self, examples: tuple[TrainingExample, ...]) -> None:
        """A text that no other example has: what was extracted is named by it."""
        ids = [example.id for example in examples]
        require(
            all(isinstance(name, str) and name for name in ids),
            f"ids must be texts, got {[name for name in ids if not isinstance(name, str) or not name][:3]}.",
        )
        repeated = sorted({name for name in ids if ids.count(name) > 1})
        require(not repeated, f"every example must have an id of its own, got {repeated[:3]} more than once.")

    def test_every_example_has_a_caption(self, examples: tuple[TrainingExample, ...]) -> None:
        """A text that is not empty; what has none belongs to `set_aside`."""
        without = [
            example.id
            for example in examples
            if not isinstance(example.caption, str) or not example.caption.strip()
        ]
        require(not without, f"every example must have a caption, got none for {without[:3]}; set it aside.")

    def test_every_picture_is_uint8_of_height_width_and_three_colours(
        self, examples: tuple[TrainingExample, ...]
    ) -> None:
        """Of any size from 4 x 4."""
        faults = [fault for example in examples if (fault := picture_fault(example.pixels))]
        require(
            not faults,
            "`pixels` must be a uint8 array of shape (height, width, 3), sides of 4 or more, got "
            f"{faults[0] if faults else ''}; convert it or set it aside.",
        )

    def test_every_pass_gives_the_same_examples_in_the_same_order(
        self, training_set: TrainingSet, examples: tuple[TrainingExample, ...]
    ) -> None:
        """Rows of the index are told by their place."""
        again = tuple(training_set.examples())
        first = [(example.id, example.caption) for example in examples]
        second = [(example.id, example.caption) for example in again]
        same = first == second and all(
            _equal(a.pixels, b.pixels) for a, b in zip(examples, again, strict=True)
        )
        require(same, "every pass must give the same examples in the same order, got another second pass.")

    def test_two_passes_may_run_at_once(
        self, training_set: TrainingSet, examples: tuple[TrainingExample, ...]
    ) -> None:
        """A pass keeps its place for itself."""
        pairs = [(a.id, b.id) for a, b in zip(training_set.examples(), training_set.examples(), strict=False)]
        require(
            pairs == [(example.id, example.id) for example in examples],
            f"two passes at once must each give all {len(examples)} examples, got {len(pairs)} pairs, "
            f"{sum(a != b for a, b in pairs)} of them of two examples.",
        )

    def test_examples_are_loaded_by_id_in_the_order_asked_for(
        self, training_set: TrainingSet, examples: tuple[TrainingExample, ...]
    ) -> None:
        """Backwards, and the last a second time."""
        wanted = [*reversed(examples), examples[-1]]
        loaded = training_set.load([example.id for example in wanted])
        same = len(loaded) == len(wanted) and all(
            _equal(example.pixels, pixels) for example, pixels in zip(wanted, loaded, strict=True)
        )
        require(
            same,
            f"`load` must give the pictures of the {len(wanted)} ids it is asked for, in that order, got "
            f"{len(loaded)} that are not these.",
        )

    def test_its_fingerprints_are_texts_that_do_not_change(self, training_set: TrainingSet) -> None:
        """What was mined is kept under them."""
        for name in ("stat_fingerprint", "content_fingerprint"):
            first, second = getattr(training_set, name)(), getattr(training_set, name)()
            require(
                isinstance(first, str) and first != "" and first == second,
                f"`{name}` must be a text that stays the same while the set does, got {first!r} and then "
                f"{second!r}.",
            )

    def test_it_says_what_it_set_aside(
        self, training_set: TrainingSet, examples: tuple[TrainingExample, ...]
    ) -> None:
        """A tuple of SetAside, each with a reason, empty where everything could be used."""
        del examples  # a full pass has been made by now
        found = training_set.set_aside
        require(
            isinstance(found, tuple) and all(isinstance(item, SetAside) and item.reason for item in found),
            f"`set_aside` must be a tuple of SetAside with reasons, got {found!r}.",
        )


def _equal(a: "NDArray[np.uint8]", b: "NDArray[np.uint8]") -> bool:
    return a.shape == b.shape and bool((a == b).all())
