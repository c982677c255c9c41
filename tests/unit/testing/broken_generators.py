# ruff: noqa: B006, RUF012 - state that lasts is what some of these are broken by
"""A good generator, and for each rule of the contract one that breaks it. Run by test_contracts.py."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from memex_audit.records import Generation
from memex_audit.testing import GeneratorContract


class Good:
    """Noise from the request's own seed."""

    fingerprint, seeded, shareable, evaluations_per_image = "noise-1", True, True, 1
    settings = {"size": [8, 8]}

    def picture(self, request, place):
        return np.random.default_rng(request.seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)

    def generate(self, requests):
        for place, request in enumerate(requests):
            yield Generation(request=request, pixels=self.picture(request, place))


class Contract(GeneratorContract):
    breaks = ()

    @pytest.fixture
    def memex_generator(self, made):
        return made

    @pytest.fixture
    def made(self, request, once={}):
        cls = request.cls
        return once.setdefault(cls, cls.Subject())


class TestGood(Contract):
    Subject = Good


class TestHalfOffered(Contract):
    breaks = ("test_it_offers_what_a_generator_must",)

    class Subject(Good):
        shareable = "no"


class TestWithoutEvaluations(Contract):
    breaks = (
        "test_it_offers_what_a_generator_must",
        "test_a_picture_costs_evaluations_or_nobody_knows_how_many",
    )

    class Subject(Good):
        @property
        def evaluations_per_image(self):
            raise AttributeError


class TestFree(Contract):
    breaks = ("test_a_picture_costs_evaluations_or_nobody_knows_how_many",)

    class Subject(Good):
        evaluations_per_image = -1


class TestRenamed(Contract):
    breaks = ("test_its_fingerprint_is_a_text_that_does_not_change",)

    class Subject(Good):
        def __init__(self):
            self.names = map(str, itertools.count())

        @property
        def fingerprint(self):
            return next(self.names)


class TestNameless(Contract):
    breaks = ("test_its_fingerprint_is_a_text_that_does_not_change",)

    class Subject(Good):
        fingerprint = ""


class TestCountsInSettings(Contract):
    breaks = ("test_its_settings_are_plain_values_that_do_not_change",)

    class Subject(Good):
        def __init__(self):
            self.settings = {"drawn": 0}

        def picture(self, request, place):
            self.settings["drawn"] += 1
            return super().picture(request, place)


class TestWithoutSettings(Contract):
    breaks = ("test_its_settings_are_plain_values_that_do_not_change",)

    class Subject(Good):
        settings = {}


class TestArraysInSettings(Contract):
    breaks = ("test_its_settings_are_plain_values_that_do_not_change",)

    class Subject(Good):
        settings = {"size": np.array([8, 8])}


class TestListOfSettings(Contract):
    breaks = ("test_its_settings_are_plain_values_that_do_not_change",)

    class Subject(Good):
        settings = ["size"]


class TestBackwards(Contract):
    breaks = (
        "test_every_request_is_answered_in_order",
        "test_the_same_request_gives_the_same_picture_alone",
    )

    class Subject(Good):
        def generate(self, requests):
            yield from reversed(list(super().generate(requests)))


class TestForgetsTheLast(Contract):
    breaks = (
        "test_every_request_is_answered_in_order",
        "test_the_same_request_gives_the_same_picture_in_another_order",
    )

    class Subject(Good):
        def generate(self, requests):
            yield from super().generate(requests[: max(1, len(requests) - 1)])


class TestBarePixels(Contract):
    breaks = ("test_every_request_is_answered_in_order", "test_at_least_one_picture_is_drawn")

    class Subject(Good):
        def generate(self, requests):
            for answer in super().generate(requests):
                yield answer.pixels


class TestFloats(Contract):
    breaks = ("test_a_picture_is_uint8_of_height_width_and_three_colours",)

    class Subject(Good):
        def picture(self, request, place):
            return super().picture(request, place) / 255


class TestGrey(Contract):
    breaks = ("test_a_picture_is_uint8_of_height_width_and_three_colours",)

    class Subject(Good):
        def picture(self, request, place):
            return super().picture(request, place)[..., 0]


class TestTiny(Contract):
    breaks = ("test_a_picture_is_uint8_of_height_width_and_three_colours",)

    class Subject(Good):
        def picture(self, request, place):
            return super().picture(request, place)[:3]


class TestSetsAsideWithoutReason(Contract):
    breaks = ("test_a_picture_or_the_reason_why_there_is_none",)

    class Subject(Good):
        def picture(self, request, place):
            return None if request.prompt.startswith("a r") else super().picture(request, place)


class TestPictureWithReason(Contract):
    breaks = ("test_a_picture_or_the_reason_why_there_is_none",)

    class Subject(Good):
        def generate(self, requests):
            for answer in super().generate(requests):
                yield replace(answer, reason="blank")


class TestDrawsNothing(Contract):
    breaks = ("test_at_least_one_picture_is_drawn",)

    class Subject(Good):
        def generate(self, requests):
            for request in requests:
                yield Generation(request=request, pixels=None, reason="blank")


class TestSizes(Contract):
    breaks = ("test_pictures_of_a_prompt_have_one_size",)

    class Subject(Good):
        def picture(self, request, place):
            return super().picture(request, place)[: 8 if request.seed == 7 else 6]


class TestIgnoresTheSeed(Contract):
    breaks = ("test_two_seeds_give_two_pictures",)

    class Subject(Good):
        def picture(self, request, place):
            return super().picture(replace(request, seed=len(request.prompt)), place)


class TestMovesOn(Contract):
    breaks = (
        "test_the_same_request_gives_the_same_picture_again",
        "test_the_same_request_gives_the_same_picture_in_another_order",
        "test_the_same_request_gives_the_same_picture_alone",
    )

    class Subject(Good):
        def __init__(self):
            self.seeds = itertools.count()

        def picture(self, request, place):
            return super().picture(replace(request, seed=next(self.seeds)), place)


class TestPlaceCounts(Contract):
    breaks = (
        "test_the_same_request_gives_the_same_picture_in_another_order",
        "test_the_same_request_gives_the_same_picture_alone",
    )

    class Subject(Good):
        def picture(self, request, place):
            return super().picture(replace(request, seed=request.seed + place), place)


class TestBatchCounts(Contract):
    breaks = ("test_the_same_request_gives_the_same_picture_alone",)

    class Subject(Good):
        def generate(self, requests):
            moved = [replace(request, seed=request.seed ^ len(requests)) for request in requests]
            for request, answer in zip(requests, super().generate(moved), strict=True):
                yield replace(answer, request=request)


class TestRounding(Contract):
    """Within the tolerance, which is 2 levels."""

    class Subject(Good):
        def generate(self, requests):
            for answer in super().generate(requests):
                yield replace(
                    answer, pixels=np.minimum(answer.pixels, 250) + np.uint8(2 * (len(requests) > 1))
                )


class TestUnseeded(Contract):
    """It says so, and is asked for no more."""

    class Subject(Good):
        seeded = False

        def __init__(self):
            self.random = np.random.default_rng(0)

        def picture(self, request, place):
            return self.random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
