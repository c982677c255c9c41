"""What saves memory or time leaves pictures as they were, or is refused in one line."""

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from tiny_pipelines import flow_pipeline, parts

from memex_audit.errors import ConfigurationError
from memex_audit.generation import execution
from memex_audit.generation.diffusers_pipeline import DiffusersGenerator
from memex_audit.generation.execution import (
    Execution,
    check_execution,
    compile_network,
    offload_weights,
    set_execution,
    slice_attention,
)
from memex_audit.generation.model_folder import SamplerSettings
from memex_audit.records import GenerationRequest

REQUESTS = [GenerationRequest(prompt=f"a {name}", seed=i) for i, name in enumerate(("cat", "dog", "sun"))]


def make_pipeline():
    made = StableDiffusionPipeline(**parts())
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture
def pipeline():
    return make_pipeline()


def generator(pipeline):
    sampler = SamplerSettings(steps=2, guidance=3.0, size=(32, 32))
    return DiffusersGenerator(pipeline, fingerprint="tiny", sampler=sampler)


def drawn(pipeline):
    return np.stack([picture.pixels for picture in generator(pipeline).generate(REQUESTS)]).astype(int)


@pytest.fixture(scope="module")
def as_loaded():
    made = make_pipeline()
    return drawn(made), generator(made).settings, generator(made).predict_steps(REQUESTS, steps=1)


@pytest.mark.parametrize("slices", ["auto", "max"])
def test_attention_in_slices_changes_neither_pictures_nor_settings(pipeline, as_loaded, slices):
    set_execution(pipeline, Execution(attention_slicing=slices), "cpu")
    kinds = {type(processor).__name__ for processor in pipeline.unet.attn_processors.values()}
    assert kinds == {"SlicedAttnProcessor"}
    assert np.abs(drawn(pipeline) - as_loaded[0]).max() <= 1
    assert generator(pipeline).settings == as_loaded[1]


def test_attention_slicing_is_refused_where_it_would_be_left_undone():
    with pytest.raises(
        ConfigurationError, match=r"must have a network that can slice it, StableDiffusion3Pipe"
    ):
        slice_attention(flow_pipeline(), "auto")


def test_a_compiled_network_draws_and_is_read_by_screens_as_before(pipeline, as_loaded):
    compile_network(pipeline, "default", backend="eager")
    assert hasattr(pipeline.unet, "_orig_mod")
    assert np.abs(drawn(pipeline) - as_loaded[0]).max() <= 1
    assert generator(pipeline).settings == as_loaded[1]
    (found,), (expected,) = generator(pipeline).predict_steps(REQUESTS, steps=1), as_loaded[2]
    np.testing.assert_allclose(found.conditional, expected.conditional, atol=1e-3)


def test_a_network_is_compiled_once_and_in_every_stage_that_has_it(pipeline):
    stage = make_pipeline()
    stage.unet = pipeline.unet
    pipeline.decoder_pipe = stage
    compile_network(pipeline, "default", backend="eager")
    compiled = pipeline.unet
    assert pipeline.decoder_pipe.unet is compiled
    set_execution(pipeline, Execution(compile="default"), "cpu")
    assert pipeline.unet is compiled


def test_there_must_be_a_network_to_compile():
    class Empty:
        pass

    with pytest.raises(
        ConfigurationError, match=r"must have a unet or transformer to compile, Empty has nei"
    ):
        compile_network(Empty(), "default")


def test_weights_that_are_brought_a_part_at_a_time_change_no_picture(pipeline, as_loaded):
    # The execution device may be the CPU for accelerate: the hooks are those of any other.
    offload_weights(pipeline, "model", "cpu")
    assert torch.device(generator(pipeline).device).type == "cpu"
    for _ in range(2):  # diffusers sets the hooks anew after each call
        np.testing.assert_array_equal(drawn(pipeline), as_loaded[0])


def test_the_device_of_weights_that_lie_elsewhere_is_where_they_are_used(pipeline):
    offload_weights(pipeline, "sequential", "cpu")
    assert pipeline.unet.device.type == pipeline.device.type == "meta"
    assert torch.device(generator(pipeline).device).type == "cpu"


def test_a_pipeline_that_cannot_bring_its_parts_is_named(pipeline, monkeypatch):
    monkeypatch.setattr(type(pipeline), "model_cpu_offload_seq", None)
    with pytest.raises(
        ConfigurationError, match=r"--memex-offload model .*StableDiffusionPipeline cannot: Model"
    ):
        offload_weights(pipeline, "model", "cpu")


def test_there_must_be_a_memory_to_spare():
    with pytest.raises(
        ConfigurationError, match=r"must have a device with a memory of its own, cuda or mps, got"
    ):
        check_execution(Execution(offload="model"), "cpu")
    check_execution(Execution(offload="model"), "cuda:1")
    check_execution(Execution(attention_slicing="auto", compile="default"), "cpu")


def test_offload_needs_accelerate(monkeypatch):
    monkeypatch.setattr(execution, "find_spec", lambda _: None)
    with pytest.raises(
        ConfigurationError, match=r"sequential needs the package accelerate: pip install accel"
    ):
        check_execution(Execution(offload="sequential"), "mps")


def test_weights_that_are_moved_are_not_compiled():
    with pytest.raises(ConfigurationError, match=r"got default with --memex-offload model; take one of them"):
        check_execution(Execution(offload="model", compile="default"), "cuda")
