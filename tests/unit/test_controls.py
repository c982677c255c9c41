"""Controls: negatives are no captions of the set, and a calibration's negatives are reported as they were."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from memex_audit.controls import (
    negative_control,
    negative_prompts,
    negative_set,
    recombined_prompts,
    why_no_negative_control,
)
from memex_audit.records import Calibration, Verdict
from memex_audit.specimen import HELD_OUT_CAPTIONS

words = st.text(alphabet="abcdefg", min_size=1, max_size=4)
captions = st.lists(st.lists(words, min_size=1, max_size=5).map(" ".join), max_size=12, unique=True)


@given(captions, st.integers(1, 20), st.integers(0, 3))
def test_recombined_captions_are_new_distinct_and_at_most_as_many_as_asked(texts, n, seed):
    made = [prompt.text for prompt in recombined_prompts(negative_set(texts), n, seed=seed).prompts]
    assert len(made) <= n
    assert len(set(made)) == len(made)
    assert not set(made) & set(texts)


@given(captions, st.integers(0, 3))
def test_recombining_does_not_depend_on_the_order_of_the_captions(texts, seed):
    forward = recombined_prompts(negative_set(texts), 10, seed=seed)
    assert recombined_prompts(negative_set(texts[::-1]), 10, seed=seed) == forward


def test_one_caption_alone_cannot_be_recombined():
    assert recombined_prompts(negative_set(["my dog"]), 60, seed=0).prompts == ()


def test_negative_prompts_are_filled_up_with_names_where_captions_are_too_few():
    made = [p.text for p in negative_prompts(negative_set(["red car", "green tree"]), 60, seed=0).prompts]
    assert made[:2] == ["red tree", "green car"] or made[:2] == ["green car", "red tree"]
    assert len(set(made)) == 60
    assert set(made[2:]) <= set(HELD_OUT_CAPTIONS.read_text().splitlines())
    assert made == [
        p.text for p in negative_prompts(negative_set(["green tree", "red car"]), 60, seed=0).prompts
    ]
    assert (
        made[2:]
        != [p.text for p in negative_prompts(negative_set(["red car", "green tree"]), 60, seed=1).prompts][2:]
    )


def test_a_caption_is_no_negative_of_its_own_set():
    names = HELD_OUT_CAPTIONS.read_text().splitlines()[:1200]
    made = {p.text for p in negative_prompts(negative_set(names), 10**6, seed=0).prompts}
    assert not made & set(names)


def test_halves_of_two_captions_are_joined():
    made = {p.text for p in recombined_prompts(negative_set(["red car", "green tree"]), 60, seed=0).prompts}
    assert made == {"red tree", "green car"}


def test_a_calibrated_model_reports_its_calibration_and_draws_nothing():
    calibration = Calibration(
        source="calibrated", edge_delta=0.1, match_delta=0.1, clique_size=4, protocol="default",
        negatives=834, flagged=8, upper=0.017,
    )  # fmt: skip
    control = negative_control(SimpleNamespace(calibration=calibration))
    assert (control.kind, control.prompts, control.detected) == ("negative", 834, 8)


def test_a_prompt_that_could_not_be_judged_is_none_that_raised_no_alarm():
    verdicts = (Verdict.NOT_FLAGGED, Verdict.UNDECIDED, Verdict.FLAGGED, Verdict.UNDECIDED)
    bench = SimpleNamespace(
        calibration=Calibration(
            source="default", edge_delta=0.1, match_delta=0.1, clique_size=4, protocol="default"
        ),
        settings=SimpleNamespace(lora=None, seed=0),
        prompts=negative_set(["red car", "green tree"]),
        audit=lambda _: SimpleNamespace(
            findings=lambda: [SimpleNamespace(verdict=verdict) for verdict in verdicts]
        ),
    )
    control = negative_control(bench)
    assert (control.prompts, control.detected) == (2, 1)


def test_recorded_pictures_show_no_negative_control_and_a_model_that_draws_does():
    default = Calibration(
        source="default", edge_delta=0.1, match_delta=0.1, clique_size=4, protocol="default"
    )
    recorded = SimpleNamespace(calibration=default, generator=SimpleNamespace(draws=False))
    assert "a folder of generations holds none" in str(why_no_negative_control(recorded))
    assert why_no_negative_control(SimpleNamespace(calibration=default, generator=object())) is None
