"""Screens over a generator whose predictions are known, and over files of earlier scores."""

import json

import numpy as np
import pytest

from memex_audit.batch_size import BatchSize
from memex_audit.errors import ConfigurationError, ModelError, ScreenUnavailable, StoreUnwritable
from memex_audit.records import GenerationRequest, Prediction, ScreenScore
from memex_audit.screening.score_files import ScoreFiles
from memex_audit.screening.screens import SCREENS, find_screen, screen_prompts

PROMPTS = [f"a picture of {name}" for name in ("a cat", "a dog", "a sun", "a car", "a fox")]


def request(prompt, number):
    return GenerationRequest(prompt=prompt, seed=100 * PROMPTS.index(prompt) + number)


class Known:
    """Predicts the picture (number of the prompt + 1, 0, 0, 0), plus some of the seed's noise."""

    def __init__(self):
        self.evaluated = 0
        self.batches = []

    def predict_steps(self, requests, *, steps, unconditional=True):
        self.batches.append(len(requests))
        return tuple(self._predict(requests, unconditional, step) for step in range(steps))

    def predict_low_noise(self, requests):
        return self._predict(requests, True, 0), self._predict(requests, True, 0)

    def _predict(self, requests, unconditional, step):
        self.evaluated += len(requests) * (1 + unconditional)
        noise = np.stack([np.random.default_rng(r.seed).standard_normal(4) for r in requests])
        pictures = np.zeros((len(requests), 4))
        pictures[:, 0] = [(PROMPTS.index(r.prompt) + 1) / (step + 1) for r in requests]
        without = 0.1 * noise
        return Prediction(
            latent=noise.astype(np.float32), conditional=(without + pictures).astype(np.float32),
            unconditional=without.astype(np.float32) if unconditional else None, signal=0.6, noise=0.8,
        )  # fmt: skip


def screen(generator, name="guidance-difference", prompts=PROMPTS, **others):
    return screen_prompts(lambda: generator, name, prompts, request=request, **others)


def test_scores_come_in_the_order_of_the_prompts_with_what_they_cost():
    found = screen(Known(), seeds=2, steps=1)
    assert [score.score for score in found] == pytest.approx([1.0, 2.0, 3.0, 4.0, 5.0], rel=1e-5)
    assert found[0] == ScreenScore(
        name="guidance-difference", score=found[0].score, network_evaluations=4, seeds=2, steps=1
    )


def test_a_guidance_difference_is_the_mean_over_steps():
    (score,) = screen(Known(), prompts=PROMPTS[1:2], seeds=3, steps=2)
    assert score.score == pytest.approx((2.0 + 1.0) / 2, rel=1e-5)
    assert score.network_evaluations == 3 * 2 * 2


@pytest.mark.parametrize("name", SCREENS)
def test_the_stated_cost_is_what_the_network_is_asked_for(name):
    generator = Known()
    found = screen(generator, name)
    assert sum(score.network_evaluations for score in found) == generator.evaluated


@pytest.mark.parametrize("name", SCREENS)
def test_a_score_depends_on_its_own_prompt_alone(name):
    together = screen(Known(), name, batch_size=3)
    backwards = screen(Known(), name, list(reversed(PROMPTS)), batch_size=64)
    alone = [screen(Known(), name, [prompt])[0] for prompt in PROMPTS]
    assert [score.score for score in together] == pytest.approx([score.score for score in alone], rel=1e-6)
    assert [score.score for score in reversed(backwards)] == pytest.approx([s.score for s in alone], rel=1e-6)


@pytest.mark.parametrize("name", SCREENS)
def test_out_of_memory_halves_the_batch_and_changes_no_score(name):
    class Small(Known):
        def _predict(self, requests, unconditional, step):
            if len(requests) > 3:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return super()._predict(requests, unconditional, step)

    notes = []
    size = BatchSize(16, notes.append)
    found = screen(Small(), name, batch_size=size)
    assert [score.score for score in found] == [score.score for score in screen(Known(), name, batch_size=16)]
    assert 1 <= size.at_once <= 3
    assert len(notes) == 1
    with pytest.raises(ModelError, match="must have memory for one picture at a time, got MemoryError"):
        screen(Full(), name, batch_size=size)


class Full(Known):
    def _predict(self, requests, unconditional, step):
        raise MemoryError


def test_batches_go_across_prompts_and_seeds():
    generator = Known()
    screen(generator, seeds=2, steps=1, batch_size=4)
    assert generator.batches == [4, 4, 2]


def test_a_prompt_that_stands_twice_is_scored_once():
    generator = Known()
    first, again = screen(generator, prompts=[PROMPTS[0], PROMPTS[0]], seeds=1, steps=1)
    assert first == again
    assert generator.evaluated == 2


def test_an_unknown_screen_is_named():
    with pytest.raises(
        ConfigurationError, match=r"one of guidance-difference, anisotropy, one-step-clique, got 'wen'"
    ):
        find_screen("wen")


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("one-step-clique", {"seeds": 1}, "one-step-clique must have 2 to 12 seeds, got seeds=1"),
        ("anisotropy", {"seeds": 13}, "anisotropy must have 1 to 12 seeds, got seeds=13"),
        ("anisotropy", {"steps": 2}, "anisotropy must have 1 to 1 steps, got steps=2"),
        ("guidance-difference", {"steps": 6}, "guidance-difference must have 1 to 5 steps, got steps=6"),
        ("guidance-difference", {"steps": 0}, "guidance-difference must have 1 to 5 steps, got steps=0"),
    ],
)
def test_what_a_screen_cannot_take_is_refused(name, asked, message):
    with pytest.raises(ConfigurationError, match=message):
        screen(Known(), name, **asked)


def test_a_generator_without_predictions_is_refused():
    with pytest.raises(ScreenUnavailable, match=r"got object, which offers no predict_steps and predict_low"):
        screen(object())


def test_predictions_that_are_no_numbers_are_an_error_of_the_model():
    class Broken(Known):
        def _predict(self, requests, unconditional, step):
            found = super()._predict(requests, unconditional, step)
            found.conditional[0] = np.nan
            return found

    with pytest.raises(ModelError, match=r"got NaN or infinity for 1 of 20 latents; try --memex-dtype fp32"):
        screen(Broken(), batch_size=64)


def unwanted():
    raise AssertionError("the generator is not needed")


def test_scores_are_kept_and_not_taken_again(tmp_path):
    kept = ScoreFiles(tmp_path / "screens")
    first = screen(Known(), kept=kept)
    again = screen_prompts(unwanted, "guidance-difference", PROMPTS, request=request, kept=kept)
    assert again == first
    generator = Known()
    screen(generator, seeds=2, kept=kept)
    assert generator.evaluated == 2 * 2 * len(PROMPTS)


def test_only_what_is_missing_is_scored(tmp_path):
    kept, generator, heard = ScoreFiles(tmp_path), Known(), []
    screen(Known(), prompts=PROMPTS[:3], kept=kept)
    found = screen(generator, kept=kept, progress=heard.append)
    assert generator.evaluated == 2 * 4 * 2
    assert heard == [2]
    assert [score.score for score in found] == pytest.approx([1.0, 2.0, 3.0, 4.0, 5.0], rel=1e-5)


def test_no_prompt_is_written_down(tmp_path):
    screen(Known(), kept=ScoreFiles(tmp_path))
    (file,) = tmp_path.glob("*/*.json")
    assert "picture" not in file.read_text()
    assert file.parent.name == "guidance-difference-4x1"


@pytest.mark.parametrize("text", ["{", "[]", "", '{"a": NaN}', "\udc80"])
def test_a_damaged_file_of_scores_counts_as_not_there(tmp_path, text):
    kept = ScoreFiles(tmp_path)
    first = screen(Known(), kept=kept)
    (file,) = tmp_path.glob("*/*.json")
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert screen(Known(), kept=kept) == first
    assert len(json.loads(file.read_text())) == len(PROMPTS)


def test_a_store_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "screens").write_text("a file")
    with pytest.raises(StoreUnwritable, match=r"the store .*screens.* cannot be written .*--memex-store"):
        screen(Known(), kept=ScoreFiles(tmp_path / "screens"))
