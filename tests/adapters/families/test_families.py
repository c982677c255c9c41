"""What an audit needs of every family, on tiny models of their real classes, and the page that says so."""

import importlib.util
from collections import defaultdict
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline
from families.builders import EVERY_FAMILY, FAMILIES, REFUSED
from families.examination import ROOT, examine, generator_of, prompts_of, what_is_said

from memex_audit.config import Settings
from memex_audit.errors import ConfigurationError, ModelError, ScreenUnavailable
from memex_audit.generation.cascades import IFCascade
from memex_audit.generation.fingerprints import model_fingerprint
from memex_audit.model_bench import ModelBench
from memex_audit.records import GenerationRequest

pytestmark = [
    # Of diffusers 0.42 itself: schedulers and NumPy 2, Kandinsky's combined pipeline, Chroma's positions.
    pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*callback_steps:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*FluxPosEmbed:FutureWarning"),
]
# Evaluations beside those that are said, of two pictures in two steps: PNDM without its Runge-Kutta steps
# takes a step more than it is told to, with the prompt and without; Karras's sampler corrects all steps but
# the last.
UNSAID = {"Stable Diffusion 1": 4, "EDM": 2}


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Returns a function that gives the folder of a family's model, built once."""
    built = {}

    def folder_of(family):
        if family not in built:
            place = tmp_path_factory.mktemp("family")
            build = EVERY_FAMILY.get(family) or REFUSED[family][0]
            built[family] = build(place / "model")
        return built[family]

    return folder_of


@pytest.fixture(scope="session")
def result_of(folders):
    """Returns a function that gives what was seen of a family, looked at once."""
    seen = {}

    def result(family):
        if family not in seen:
            seen[family] = examine(family, folders(family))
        return seen[family]

    return result


@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_a_picture_of_the_family_is_drawn(family, result_of):
    (picture,) = result_of(family).pictures
    assert picture.reason is None
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.shape[2] == 3


def networks_of(pipeline):
    parts = (pipeline, getattr(pipeline, "stage_2", None))
    names = ("unet", "transformer", "prior_prior")
    found = (getattr(part, name, None) for part in parts for name in names)
    return [network for network in found if network is not None]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_picture_costs_the_evaluations_that_are_said(family, folders):
    generator = generator_of(folders(family))
    seen = defaultdict(int)

    def count(network, _, output):
        predicted = output[0] if isinstance(output, tuple) else next(iter(output.values()))
        seen[network] += len(predicted)

    for network in networks_of(generator.pipeline):
        network.register_forward_hook(count)
    prompts = prompts_of(family, generator)
    list(generator.generate([GenerationRequest(prompt=prompt, seed=7) for prompt in prompts]))
    assert sum(seen.values()) == 2 * generator.evaluations_per_image + UNSAID.get(family, 0)


@pytest.mark.parametrize("family", REFUSED)
def test_what_cannot_draw_is_refused_with_the_reason(family, folders):
    assert REFUSED[family][1] in what_is_said(folders(family))


def test_a_guidance_difference_of_flux_is_refused_and_a_clique_is_not(result_of):
    screens = result_of("FLUX.1-dev").screens
    assert "guidance was distilled into it" in screens["guidance-difference"]
    assert "guidance was distilled into it" in screens["anisotropy"]
    assert screens["one-step-clique"] is None


def test_a_model_without_prompts_draws_as_many_as_it_is_asked_for_and_is_not_screened(folders):
    generator = generator_of(folders("DDPM"))
    assert not generator.takes_prompts
    requests = [GenerationRequest(prompt="", seed=seed) for seed in (1, 2, 3)]
    drawn = list(generator.generate(requests))
    assert len({picture.pixels.tobytes() for picture in drawn}) == 3
    with pytest.raises(ScreenUnavailable, match=r"must have prompts to compare, DDPMPipeline draws without"):
        generator.predict_steps(requests, steps=1, unconditional=False)


def test_a_class_is_asked_for_by_number_or_name(folders):
    generator = generator_of(folders("DiT"))
    by_number, by_name, other = (
        next(generator.generate([GenerationRequest(prompt=prompt, seed=5)])).pixels
        for prompt in ("1", "goldfish", "2")
    )
    assert (by_number == by_name).all()
    assert (by_number != other).any()


@pytest.mark.parametrize("prompt", ["a goldfish in a bowl", "1000", "-1", "²"])
def test_a_prompt_that_is_no_class_is_refused_and_not_shown(folders, prompt):
    generator = generator_of(folders("DiT"))
    with pytest.raises(
        ModelError, match=r"must be a class of the model, a number below 1,000 or one of its \d names, got"
    ) as caught:
        list(generator.generate([GenerationRequest(prompt=prompt, seed=5)]))
    assert "bowl" not in str(caught.value)


def test_one_consistency_model_has_prompts_and_another_has_none(folders):
    assert generator_of(folders("Consistency model by class")).takes_prompts
    assert not generator_of(folders("Consistency model")).takes_prompts


def test_kandinsky_in_two_folders_draws_what_it_draws_in_one(result_of):
    (one,), (two,) = (result_of(name).pictures for name in ("Kandinsky 2.2", "Kandinsky 2.2 in two folders"))
    assert (one.pixels == two.pixels).all()


def test_a_negative_prompt_that_the_prior_cannot_draw_is_refused(folders):
    settings = Settings(model=str(folders("Kandinsky 2.2")), device="cpu", negative_prompt="blurry")
    bench = ModelBench(settings, folders("Kandinsky 2.2").parent)
    with pytest.raises(ConfigurationError, match=r"its prior cannot draw .*; leave --memex-negative"):
        _ = bench.generator


def test_a_decoder_without_its_prior_is_refused_and_told_where_to_name_it(folders, tmp_path):
    build = EVERY_FAMILY["Kandinsky 2.2 in two folders"]
    folder = build(tmp_path / "decoder")
    (folder / "memex.toml").unlink()
    with pytest.raises(ModelError, match=r'must have a prior, .*\[model\] prior = "FOLDER"'):
        generator_of(folder)


def test_if_is_audited_at_the_size_of_either_stage(result_of):
    (small,), (large,) = (
        result_of(f"DeepFloyd IF, {stages}").pictures for stages in ("stage I", "stages I and II")
    )
    assert small.pixels.shape == (16, 16, 3)
    assert large.pixels.shape == (32, 32, 3)
    # Two steps of stage I and the fifty that stage II takes by default, each with the prompt and without.
    assert result_of("DeepFloyd IF, stages I and II").evaluations == 2 * 2 + 2 * 50


def test_what_stage_2_enlarges_is_the_picture_of_stage_1(folders):
    generator = generator_of(folders("DeepFloyd IF, stages I and II"))
    cascade = generator.pipeline
    seen = []

    def keep(**arguments):
        seen.append(arguments["image"])
        raise KeyboardInterrupt

    cascade.stage_2 = keep
    request = GenerationRequest(prompt="a cat", seed=3)
    with pytest.raises(KeyboardInterrupt):
        list(generator.generate([request]))
    alone = next(generator_of(folders("DeepFloyd IF, stage I")).generate([request]))
    given = (seen[0][0].permute(1, 2, 0) / 2 + 0.5).clamp(0, 1)
    assert np.abs(np.round(255 * given.numpy()) - alone.pixels).max() <= 1


def test_what_saves_memory_is_done_in_both_stages():
    stages = [Mock(), Mock()]
    cascade = IFCascade(*stages)
    cascade.enable_model_cpu_offload(device="cuda")
    cascade.enable_sequential_cpu_offload(device="cuda")
    cascade.enable_attention_slicing("auto")
    for stage in stages:
        stage.enable_model_cpu_offload.assert_called_once_with(device="cuda")
        stage.enable_sequential_cpu_offload.assert_called_once_with(device="cuda")
        stage.enable_attention_slicing.assert_called_once_with("auto")


def test_another_stage_makes_another_model(tmp_path):
    folder = EVERY_FAMILY["DeepFloyd IF, stages I and II"](tmp_path / "model")
    before = model_fingerprint(folder)
    config = tmp_path / "model-stage-2" / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace("0.95", "0.9"))
    assert model_fingerprint(folder) != before


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            'stage_2 = "../model"',
            "must be an IFSuperResolutionPipeline behind an IFPipeline, got DDPMPipeline",
        ),
        ('prior = "../model"', "must name a `prior` for KandinskyPipeline or KandinskyV22Pipeline only, got"),
        ('prior = "../nowhere"', "nowhere, which does not exist"),
        ("prior = 3", "prior must be a folder, got 3"),
    ],
)
def test_a_stage_that_is_none_is_refused(tmp_path, lines, message):
    folder = EVERY_FAMILY["DDPM"](tmp_path / "model")
    (folder / "memex.toml").write_text(f"[model]\n{lines}\n")
    with pytest.raises(Exception, match=message):
        generator_of(folder)


def test_a_folder_that_starts_from_a_picture_is_loaded_as_the_one_that_draws_from_noise(folders, tmp_path):
    from_noise = generator_of(folders("Stable Diffusion 1"))
    StableDiffusionImg2ImgPipeline(
        **from_noise.pipeline.components, requires_safety_checker=False
    ).save_pretrained(tmp_path / "model")
    assert type(generator_of(tmp_path / "model").pipeline).__name__ == "StableDiffusionPipeline"


def test_a_turbo_model_costs_one_evaluation_a_picture(result_of):
    assert result_of("SD Turbo").evaluations == result_of("SDXL Turbo").evaluations == 1


def test_a_dreambooth_folder_is_a_model_like_any_other(folders, tmp_path):
    """All its weights are changed: a folder of its own, with a fingerprint of its own."""
    base = generator_of(folders("Stable Diffusion 1"))
    with torch.no_grad():
        for weight in base.pipeline.unet.parameters():
            weight.add_(0.01 * torch.ones_like(weight))
    base.pipeline.save_pretrained(tmp_path / "dreambooth")
    tuned = generator_of(tmp_path / "dreambooth")
    assert tuned.fingerprint != base.fingerprint
    request = [GenerationRequest(prompt="a sks dog", seed=1)]
    plain = next(generator_of(folders("Stable Diffusion 1")).generate(request))
    assert (next(tuned.generate(request)).pixels != plain.pixels).any()


def test_the_page_says_what_was_seen(result_of, folders):
    spec = importlib.util.spec_from_file_location("models_page", ROOT / "docs/scripts/models_page.py")
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    refused = {family: what_is_said(folders(family)) for family in REFUSED}
    tables = page.tables([result_of(family) for family in EVERY_FAMILY], refused)
    written = page.PAGE.read_text(encoding="utf-8").partition(page.BEGIN)[2].partition(page.END)[0]
    # The first line names the versions of the run that wrote the page.
    assert written.strip().splitlines()[1:] == tables.splitlines()[1:], "python docs/scripts/models_page.py"
