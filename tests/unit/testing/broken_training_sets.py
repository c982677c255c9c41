# ruff: noqa: B008, RUF012 - state that lasts is what some of these are broken by
"""A good training set, and for each rule of the contract one that breaks it. Run by test_contracts.py."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from memex_audit.records import SetAside, TrainingExample
from memex_audit.testing import TrainingSetContract


class Good:
    """Three pictures of noise."""

    location = "noise"
    set_aside = (SetAside(what="3.png", reason="cut short"),)

    def made(self):
        pixels = np.random.default_rng(0).integers(0, 256, (3, 6, 5, 3), np.uint8)
        return [TrainingExample(id=f"{i}", caption=f"noise {i}", pixels=pixels[i]) for i in range(3)]

    def examples(self):
        return iter(self.made())

    def load(self, example_ids):
        pixels = {example.id: example.pixels for example in self.made()}
        return [pixels[name] for name in example_ids]

    def stat_fingerprint(self):
        return "stat"

    def content_fingerprint(self):
        return "content"


class Changed(Good):
    """One example is made another."""

    changes = {}

    def made(self):
        first, *others = super().made()
        return [replace(first, **self.changes), *others]


class Contract(TrainingSetContract):
    breaks = ()

    @pytest.fixture
    def training_set(self):
        return self.Subject()


class TestGood(Contract):
    Subject = Good


class TestNowhere(Contract):
    breaks = ("test_it_offers_what_a_training_set_must",)

    class Subject(Good):
        location = ""


class TestSmall(Contract):
    breaks = ("test_it_holds_at_least_two_examples",)

    class Subject(Good):
        def made(self):
            return super().made()[:1]


class TestTwins(Contract):
    breaks = (
        "test_every_example_has_an_id_of_its_own",
        "test_examples_are_loaded_by_id_in_the_order_asked_for",
    )

    class Subject(Changed):
        changes = {"id": "1"}


class TestNumbers(Contract):
    breaks = ("test_every_example_has_an_id_of_its_own",)

    class Subject(Changed):
        changes = {"id": 0}


class TestWithoutCaption(Contract):
    breaks = ("test_every_example_has_a_caption",)

    class Subject(Changed):
        changes = {"caption": " "}


class TestGrey(Contract):
    breaks = ("test_every_picture_is_uint8_of_height_width_and_three_colours",)

    class Subject(Changed):
        changes = {"pixels": np.zeros((6, 5), np.uint8)}


class TestShuffled(Contract):
    breaks = (
        "test_every_pass_gives_the_same_examples_in_the_same_order",
        "test_two_passes_may_run_at_once",
    )

    class Subject(Good):
        def __init__(self):
            self.passes = itertools.count()

        def examples(self):
            turn = next(self.passes) % 3
            return iter(self.made()[turn:] + self.made()[:turn])


class TestAugmented(Contract):
    breaks = ("test_every_pass_gives_the_same_examples_in_the_same_order",)

    class Subject(Good):
        def __init__(self):
            self.passes = itertools.count()

        def examples(self):
            turn = next(self.passes)
            return iter([replace(example, pixels=example.pixels ^ np.uint8(turn)) for example in self.made()])


class TestOnePass(Contract):
    breaks = ("test_two_passes_may_run_at_once",)

    class Subject(Good):
        def examples(self):
            self.place = 0
            while self.place < 3:
                self.place += 1
                yield self.made()[self.place - 1]


class TestLoadsInItsOwnOrder(Contract):
    breaks = ("test_examples_are_loaded_by_id_in_the_order_asked_for",)

    class Subject(Good):
        def load(self, example_ids):
            return super().load(sorted(example_ids))


class TestLoadsOnce(Contract):
    breaks = ("test_examples_are_loaded_by_id_in_the_order_asked_for",)

    class Subject(Good):
        def load(self, example_ids):
            return super().load(dict.fromkeys(example_ids))


class TestRestless(Contract):
    breaks = ("test_its_fingerprints_are_texts_that_do_not_change",)

    class Subject(Good):
        def content_fingerprint(self, calls=itertools.count()):
            return str(next(calls))


class TestSilent(Contract):
    breaks = ("test_it_says_what_it_set_aside",)

    class Subject(Good):
        set_aside = (SetAside(what="3.png", reason=""),)
