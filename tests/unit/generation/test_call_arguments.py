"""Options become arguments of a pipeline's call, or one line that says why not."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, UniPCMultistepScheduler
from tiny_pipelines import flow_pipeline, parts

from memex_audit.errors import ConfigurationError
from memex_audit.generation.diffusers_pipeline import DiffusersGenerator
from memex_audit.generation.model_folder import SamplerSettings
from memex_audit.records import GenerationRequest

REQUESTS = [GenerationRequest(prompt="a cat", seed=1), GenerationRequest(prompt="a dog", seed=2)]


@pytest.fixture
def pipeline():
    made = StableDiffusionPipeline(**parts())
    made.set_progress_bar_config(disable=True)
    return made


def generator(pipeline, **settings):
    sampler = SamplerSettings(**{"steps": 2, "guidance": 3.0, "size": (32, 32)} | settings)
    return DiffusersGenerator(pipeline, fingerprint="tiny", sampler=sampler)


def pictures(pipeline, **settings):
    return np.stack([drawn.pixels for drawn in generator(pipeline, **settings).generate(REQUESTS)])


def test_a_negative_prompt_changes_pictures_and_settings(pipeline):
    without, with_one = generator(pipeline), generator(pipeline, negative_prompt="a sun")
    assert "negative_prompt" not in without.settings  # the digests of what was drawn before stay
    assert with_one.settings["negative_prompt"] == "a sun"
    assert (pictures(pipeline) != pictures(pipeline, negative_prompt="a sun")).any()


def test_a_negative_prompt_leaves_the_screens_alone(pipeline):
    without = generator(pipeline).predict_steps(REQUESTS, steps=1)
    with_one = generator(pipeline, negative_prompt="a sun").predict_steps(REQUESTS, steps=1)
    np.testing.assert_array_equal(without[0].unconditional, with_one[0].unconditional)
    np.testing.assert_array_equal(without[0].conditional, with_one[0].conditional)


@pytest.mark.parametrize("guidance", [0.0, 1.0])
def test_a_negative_prompt_that_no_guidance_reads_is_refused(pipeline, guidance):
    with pytest.raises(
        ConfigurationError,
        match=r"must be read by the model, StableDiffusionPipeline .*guidance_scale=[01] m",
    ):
        generator(pipeline, negative_prompt="a sun", guidance=guidance)


def test_a_negative_prompt_is_refused_where_a_pipeline_takes_it_and_leaves_it_unread():
    class Flux:  # FluxPipeline.__call__ of diffusers 0.42
        transformer = SimpleNamespace(config={"guidance_embeds": True})
        scheduler, dtype, device = DDIMScheduler(), torch.float32, torch.device("cpu")

        def __call__(self, prompt, negative_prompt=None, num_inference_steps=28, guidance_scale=3.5):
            raise NotImplementedError

    sampler = SamplerSettings(negative_prompt="a sun")
    with pytest.raises(ConfigurationError, match=r"must be read by the model, Flux would not: .*distilled"):
        DiffusersGenerator(Flux(), fingerprint="", sampler=sampler)


def test_a_negative_prompt_is_refused_where_a_pipeline_takes_none():
    class Plain:
        scheduler = DDIMScheduler()

        def __call__(self, prompt, num_inference_steps=1, guidance_scale=3.0):
            raise NotImplementedError

    with pytest.raises(
        ConfigurationError, match=r"^Plain takes no negative_prompt, got negative_prompt=a sun"
    ):
        DiffusersGenerator(Plain(), fingerprint="", sampler=SamplerSettings(negative_prompt="a sun"))


def test_a_scheduler_is_made_of_the_configuration_of_the_model_s_own(pipeline):
    before = generator(pipeline)
    after = generator(pipeline, scheduler="DDPMScheduler")
    assert before.settings["scheduler"] == "DDIMScheduler"
    assert after.settings["scheduler"] == "DDPMScheduler"
    assert after.settings["scheduler_digest"] != before.settings["scheduler_digest"]
    assert pipeline.scheduler.config.num_train_timesteps == 100
    assert len(list(after.generate(REQUESTS))) == 2


def test_the_scheduler_of_a_stage_that_is_a_pipeline_of_its_own_is_replaced_too(pipeline):
    pipeline.decoder_pipe = SimpleNamespace(scheduler=pipeline.scheduler)
    generator(pipeline, scheduler="DDPMScheduler")
    assert pipeline.decoder_pipe.scheduler is pipeline.scheduler


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("unipc", r"got 'unipc'; did you mean UniPCMultistepScheduler\?$"),
        ("ddim", r"got 'ddim'; did you mean DDIMScheduler\?$"),
        ("EulerScheduler", r"got 'EulerScheduler'; did you mean EulerDiscreteScheduler\?$"),
        ("nonsense", r"one of .*DDIMScheduler, .*got 'nonsense'; leave it out to take the model's own\.$"),
        ("DPMSolverSDEScheduler", r"got 'DPMSolverSDEScheduler'; did you mean DPMSolver"),  # needs torchsde
    ],
)
def test_a_scheduler_that_does_not_fit_is_refused_with_the_nearest_that_does(pipeline, name, hint):
    with pytest.raises(
        ConfigurationError, match=rf"^--memex-scheduler must be a scheduler that fits Stable.*{hint}"
    ):
        generator(pipeline, scheduler=name)


def test_a_flow_model_keeps_to_the_schedulers_of_flows():
    pipeline = flow_pipeline()
    with pytest.raises(ConfigurationError, match=r"one of FlowMatchEulerDiscreteScheduler, got 'DDIMSch"):
        generator(pipeline, scheduler="DDIMScheduler")
    same = generator(pipeline, scheduler="FlowMatchEulerDiscreteScheduler")
    assert same.settings["scheduler_digest"] == generator(pipeline).settings["scheduler_digest"]


def test_a_scheduler_that_cannot_have_the_configuration_is_named(pipeline):
    pipeline.scheduler = UniPCMultistepScheduler(use_karras_sigmas=True, use_exponential_sigmas=False)
    pipeline.scheduler.register_to_config(use_exponential_sigmas=True)
    with pytest.raises(
        ConfigurationError,
        match=r"must be able to take the configuration of UniPC.*, got DPMSolverM.*: Only one of .*; take an",
    ):
        generator(pipeline, scheduler="DPMSolverMultistepScheduler")


def test_a_scheduler_of_other_noise_levels_is_not_offered(pipeline):
    with pytest.raises(
        ConfigurationError, match=r"must be a scheduler that fits .*, got 'EDMEulerScheduler'"
    ):
        generator(pipeline, scheduler="EDMEulerScheduler")
