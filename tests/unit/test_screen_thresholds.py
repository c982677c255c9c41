"""A screen's threshold keeps to its false positive rate, ties and all, or is refused."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from memex_audit.errors import CalibrationError, ScreenUnavailable
from memex_audit.records import GenerationRequest, Prediction, ScreenScore
from memex_audit.screen_thresholds import calibrate_screens, choose_threshold


def scores(*values, **others):
    kind = {"name": "anisotropy", "network_evaluations": 4, "seeds": 1, "steps": 1} | others
    return [ScreenScore(score=float(value), **kind) for value in values]


def test_the_threshold_is_the_first_score_beyond_those_that_may_be_flagged():
    found = choose_threshold(scores(*range(100)), alpha=0.05)
    assert (found.threshold, found.flagged, found.negatives) == (94.0, 5, 100)
    assert (found.name, found.seeds, found.steps) == ("anisotropy", 1, 1)


def test_the_interval_is_that_of_clopper_and_pearson():
    # 5 of 500: FACTS of the field state [0.33 %, 2.3 %] at 95 %.
    found = choose_threshold(scores(*range(500)), alpha=0.01)
    assert found.flagged == 5
    assert (round(found.lower, 4), round(found.upper, 3)) == (0.0033, 0.023)


def test_of_negatives_that_tie_at_the_threshold_none_is_flagged():
    found = choose_threshold(scores(*range(95), *[95] * 5, 99, 100), alpha=0.05)
    assert (found.threshold, found.flagged) == (95.0, 2)


@given(
    values=st.lists(st.integers(0, 30), min_size=60, max_size=120).filter(lambda v: len(set(v)) > 1),
    alpha=st.floats(0.05, 0.5),
)
def test_no_more_than_alpha_is_flagged_and_no_lower_threshold_keeps_to_it(values, alpha):
    found = choose_threshold(scores(*values), alpha)
    flagged = sum(value > found.threshold for value in values)
    assert found.flagged == flagged <= alpha * len(values)
    lower = [value for value in sorted(set(values)) if value < found.threshold]
    if lower:
        assert sum(value > lower[-1] for value in values) > alpha * len(values)
    else:
        assert sum(value >= found.threshold for value in values) > alpha * len(values)
    assert found.lower <= flagged / len(values) <= found.upper
    assert binom.cdf(flagged, len(values), min(found.upper + 1e-9, 1)) <= 0.025 + 1e-6


@pytest.mark.parametrize(("n", "alpha", "needed"), [(0, 0.05, 59), (58, 0.05, 59), (298, 0.01, 299)])
def test_too_few_negatives_are_refused_with_the_number_that_is_needed(n, alpha, needed):
    with pytest.raises(
        CalibrationError, match=rf"needs at least {needed} negative prompts, got {n}; give more"
    ):
        choose_threshold(scores(*range(n)), alpha)


def test_negatives_that_are_all_alike_are_refused():
    with pytest.raises(
        CalibrationError, match=r"must differ in their scores of anisotropy, got 2 for all 60"
    ):
        choose_threshold(scores(*[2.0] * 60), alpha=0.05)


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(CalibrationError, match=r"scores of anisotropy must be finite, got 1 that are not"):
        choose_threshold(scores(*range(60), float("nan")), alpha=0.05)


def test_scores_of_several_screens_are_refused():
    mixed = [*scores(*range(60)), *scores(*range(60), seeds=4)]
    with pytest.raises(CalibrationError, match=r"must be of one screen with the same seeds and steps, got"):
        choose_threshold(mixed, alpha=0.05)


NEGATIVES = [f"caption {number}" for number in range(60)]


def bench_with(generator):
    """What of a bench the screens are taken with."""
    return SimpleNamespace(
        generator=generator,
        unit_store=SimpleNamespace(
            request=lambda prompt, number: GenerationRequest(prompt=prompt, seed=int(prompt.split()[1]))
        ),
        batch_size=16,
        screen_scores=None,
        notes=[],
    )


class Distilled:
    """Predicts with its prompt alone; seeds of one prompt agree, so that all cliques are alike."""

    def predict_steps(self, requests, *, steps, unconditional=True):
        if unconditional:
            raise ScreenUnavailable("no prediction without a prompt")
        pictures = np.ones((len(requests), 4), np.float32)
        return (
            Prediction(latent=pictures, conditional=pictures, unconditional=None, signal=0.1, noise=0.9),
        ) * steps

    def predict_low_noise(self, requests):
        raise ScreenUnavailable("no prediction without a prompt")


def test_screens_that_cannot_be_taken_are_left_out_of_a_calibration_with_a_note():
    bench = bench_with(Distilled())
    assert list(calibrate_screens(bench, NEGATIVES, alpha=0.05)) == []
    assert bench.notes[:2] == [
        "no threshold for the screen guidance-difference: no prediction without a prompt",
        "no threshold for the screen anisotropy: no prediction without a prompt",
    ]
    assert bench.notes[2].startswith(
        "no threshold for the screen one-step-clique: negatives must differ in their scores"
    )


def test_a_generator_without_predictions_is_calibrated_without_screens():
    bench = bench_with(object())
    assert list(calibrate_screens(bench, NEGATIVES, alpha=0.05)) == []
    assert bench.notes == ["no thresholds for screens: object offers no predict_steps and predict_low_noise."]


def test_screens_that_can_be_taken_are_calibrated():
    class Known(Distilled):
        def predict_steps(self, requests, *, steps, unconditional=True):
            if unconditional:
                raise ScreenUnavailable("no prediction without a prompt")
            pictures = np.random.default_rng([r.seed for r in requests]).standard_normal((len(requests), 4))
            return (
                Prediction(latent=pictures, conditional=pictures, unconditional=None, signal=0.1, noise=0.9),
            )

    bench = bench_with(Known())
    (found,) = calibrate_screens(bench, NEGATIVES, alpha=0.05)
    assert (found.name, found.negatives, found.flagged, found.seeds) == ("one-step-clique", 60, 3, 4)
    assert len(bench.notes) == 2
