"""Each step of the sampler is heard of while somebody listens, and nothing is touched otherwise."""

import functools

import numpy as np
import pytest
from diffusers import StableDiffusionPipeline
from tiny_pipelines import flow_pipeline, parts

from memex_audit.generation.diffusers_pipeline import DiffusersGenerator
from memex_audit.generation.model_folder import SamplerSettings
from memex_audit.protocols import ReportsSteps
from memex_audit.records import GenerationRequest

REQUESTS = [GenerationRequest(prompt="a cat", seed=1), GenerationRequest(prompt="a dog", seed=2)]


def unet_pipeline():
    made = StableDiffusionPipeline(**parts())
    made.set_progress_bar_config(disable=True)
    return made


def generator(pipeline):
    sampler = SamplerSettings(steps=3, guidance=3.0, size=(32, 32))
    return DiffusersGenerator(pipeline, fingerprint="tiny", sampler=sampler)


@pytest.mark.parametrize("make", [unet_pipeline, flow_pipeline])
def test_every_step_of_a_batch_is_heard_of_and_pictures_stay_the_same(make):
    drawing = generator(make())
    assert isinstance(drawing, ReportsSteps)
    quiet = [picture.pixels for picture in drawing.generate(REQUESTS)]
    heard = []
    drawing.on_step = lambda step, of: heard.append((step, of))
    assert np.array_equal(quiet, [picture.pixels for picture in drawing.generate(REQUESTS)])
    assert heard == [(1, 3), (2, 3), (3, 3)]
    drawing.on_step = None
    list(drawing.generate(REQUESTS))
    assert len(heard) == 3


def test_the_scheduler_is_its_own_again_also_after_an_error():
    drawing = generator(unet_pipeline())

    def stop(step, of):
        raise KeyboardInterrupt

    drawing.on_step = stop
    with pytest.raises(KeyboardInterrupt):
        list(drawing.generate(REQUESTS))
    assert "step" not in vars(drawing.pipeline.scheduler)


def test_stages_that_are_pipelines_of_their_own_are_heard_of_too():
    pipeline = unet_pipeline()
    pipeline.decoder_pipe = flow_pipeline()
    drawing, heard = generator(pipeline), []
    drawing.on_step = lambda step, of: heard.append((step, of))
    call = type(pipeline).__call__

    class Staged(type(pipeline)):
        @functools.wraps(call)
        def __call__(self, *args, **kwargs):
            self.decoder_pipe("a cat", num_inference_steps=2, height=32, width=32, output_type="latent")
            return call(self, *args, **kwargs)

    pipeline.__class__ = Staged
    list(drawing.generate(REQUESTS))
    assert heard == [(1, 2), (2, 2), (1, 3), (2, 3), (3, 3)]


def test_nothing_is_put_in_the_way_where_nobody_listens():
    drawing = generator(unet_pipeline())
    scheduler, seen = drawing.pipeline.scheduler, []
    take = type(scheduler).step

    class Watched(type(scheduler)):
        def step(self, *args, **kwargs):
            seen.append("step" in vars(self))
            return take(self, *args, **kwargs)

    scheduler.__class__ = Watched
    list(drawing.generate(REQUESTS))
    assert seen == [False] * 3
