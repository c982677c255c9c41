"""What every Generator promises, shown on tiny real pipelines with random weights."""

import shutil

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from tiny_pipelines import parts, save_xl
from transformers import CLIPConfig, CLIPImageProcessor

from memex_audit.errors import ConfigurationError, ModelError
from memex_audit.generation.devices import choose_dtype
from memex_audit.generation.diffusers_pipeline import DiffusersGenerator
from memex_audit.generation.model_folder import SamplerSettings, check_model_folder
from memex_audit.generation.pipeline_loading import load_pipeline
from memex_audit.records import GenerationRequest
from memex_audit.testing import GeneratorContract

SAMPLER = SamplerSettings(steps=2, guidance=3.0, size=(32, 32))
REQUESTS = tuple(
    GenerationRequest(prompt=f"a {name}", seed=2**40 + i) for i, name in enumerate(["cat", "dog", "sun"])
)


def safety_checker():
    tiny = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    return StableDiffusionSafetyChecker(
        CLIPConfig(
            text_config=tiny, vision_config={**tiny, "image_size": 8, "patch_size": 4}, projection_dim=8
        )
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A pipeline on disk, with a safety checker."""
    path = tmp_path_factory.mktemp("models") / "tiny"
    checked = parts(
        safety_checker=safety_checker(), feature_extractor=CLIPImageProcessor(size=8, crop_size=8)
    )
    StableDiffusionPipeline(**checked).save_pretrained(path, safe_serialization=True)
    return path


@pytest.fixture(scope="module")
def pipeline(folder):
    return load_pipeline(folder, device="cpu")


@pytest.fixture(scope="module")
def xl_pipeline(tmp_path_factory):
    return load_pipeline(save_xl(tmp_path_factory.mktemp("models") / "xl"), device="cpu")


@pytest.fixture(scope="module", params=["pipeline", "xl_pipeline"])
def any_pipeline(request):
    """A pipeline of each family."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def generator(any_pipeline):
    return DiffusersGenerator(any_pipeline, fingerprint="tiny", sampler=SAMPLER)


@pytest.mark.parametrize(
    ("wanted", "device", "bf16", "dtype"),
    [
        ("auto", "cuda", True, "bf16"), ("auto", "cuda:1", False, "fp16"), ("auto", "mps", False, "fp32"),
        ("auto", "cpu", True, "fp32"), ("fp16", "cpu", False, "fp16"), ("fp32", "cuda", True, "fp32"),
        ("bf16", "cuda", False, "bf16"),
    ],
)  # fmt: skip
def test_half_precision_is_for_cuda_unless_it_is_wanted(wanted, device, bf16, dtype):
    assert choose_dtype(wanted, device, bf16=bf16) == dtype


def test_a_dtype_that_does_not_exist_is_refused():
    with pytest.raises(
        ConfigurationError, match=r"`dtype` must be one of auto, fp32, fp16, bf16, got dtype='int8'"
    ):
        choose_dtype("int8", "cpu", bf16=False)


class TestDiffusersGenerator(GeneratorContract):
    @pytest.fixture
    def memex_generator(self, generator):
        return generator


def test_a_pipeline_on_the_cpu_is_seeded_and_several_processes_may_have_one(generator):
    assert generator.device == "cpu"
    assert generator.seeded
    assert generator.shareable


def test_the_initial_latent_depends_on_the_seed_alone(generator, any_pipeline, monkeypatch):
    drawn = []
    prepare = any_pipeline.prepare_latents
    monkeypatch.setattr(
        any_pipeline, "prepare_latents", lambda *a, **k: drawn.append(prepare(*a, **k)) or drawn[-1]
    )
    list(generator.generate(REQUESTS))
    list(generator.generate(REQUESTS[1:2]))
    list(generator.generate([GenerationRequest(prompt="another", seed=REQUESTS[1].seed)]))
    batch, alone, other_prompt = drawn
    assert torch.equal(batch[1:2], alone)
    assert torch.equal(alone, other_prompt)
    assert not torch.equal(batch[0], batch[1])


def test_settings_are_written_out_with_the_defaults_of_the_pipeline(pipeline):
    generator = DiffusersGenerator(pipeline, fingerprint="tiny", sampler=SAMPLER)
    assert generator.settings == {
        "pipeline": "StableDiffusionPipeline", "scheduler": "DDIMScheduler", "dtype": "float32",
        "scheduler_digest": generator.settings["scheduler_digest"],
        "num_inference_steps": 2, "guidance_scale": 3.0, "height": 32, "width": 32,
    }  # fmt: skip
    defaults = DiffusersGenerator(pipeline, fingerprint="tiny", sampler=SamplerSettings())
    assert defaults.settings["num_inference_steps"] == 50  # StableDiffusionPipeline.__call__
    assert defaults.settings["guidance_scale"] == 7.5
    assert "height" not in defaults.settings


def test_another_scheduler_makes_other_settings(generator):
    other = StableDiffusionPipeline(
        **parts(scheduler=DDIMScheduler(num_train_timesteps=50, steps_offset=1, clip_sample=False))
    )
    settings = DiffusersGenerator(other, fingerprint="tiny", sampler=SAMPLER).settings
    assert settings["scheduler_digest"] != generator.settings["scheduler_digest"]


@pytest.mark.parametrize(("guidance", "evaluations"), [(3.0, 4), (1.0, 2), (0.0, 2), (None, 4)])
def test_guidance_doubles_the_evaluations(pipeline, guidance, evaluations):
    sampler = SamplerSettings(steps=2, guidance=guidance)
    assert DiffusersGenerator(pipeline, fingerprint="", sampler=sampler).evaluations_per_image == evaluations


def test_a_network_that_takes_the_scale_as_an_input_is_evaluated_once(monkeypatch):
    distilled = parts()
    config = {key: value for key, value in distilled["unet"].config.items() if not key.startswith("_")}
    distilled["unet"] = UNet2DConditionModel.from_config({**config, "time_cond_proj_dim": 8})
    consistency = StableDiffusionPipeline(**distilled)
    consistency.set_progress_bar_config(disable=True)
    generator = DiffusersGenerator(consistency, fingerprint="", sampler=SAMPLER)
    seen = []
    forward = consistency.unet.forward
    monkeypatch.setattr(
        consistency.unet, "forward", lambda x, *a, **k: seen.append(len(x)) or forward(x, *a, **k)
    )
    list(generator.generate(REQUESTS[:1]))
    assert sum(seen) == generator.evaluations_per_image == 2


def test_a_family_with_another_argument_for_true_guidance_is_evaluated_once(pipeline):
    class Flux:  # FluxPipeline.__call__ of diffusers 0.42, without guidance_embeds: the "schnell" weights
        transformer, scheduler, dtype = torch.nn.Identity(), pipeline.scheduler, torch.float32
        device = torch.device("cpu")

        def __call__(self, prompt, num_inference_steps=28, guidance_scale=3.5, true_cfg_scale=1.0):
            raise NotImplementedError

    assert DiffusersGenerator(Flux(), fingerprint="", sampler=SamplerSettings()).evaluations_per_image == 28


def test_the_evaluations_are_what_the_network_sees(generator, any_pipeline, monkeypatch):
    seen = []
    forward = any_pipeline.unet.forward
    monkeypatch.setattr(
        any_pipeline.unet, "forward", lambda x, *a, **k: seen.append(len(x)) or forward(x, *a, **k)
    )
    list(generator.generate(REQUESTS))
    assert sum(seen) == len(REQUESTS) * generator.evaluations_per_image


def test_the_safety_checker_is_taken_off(folder, pipeline):
    assert (folder / "safety_checker" / "model.safetensors").is_file()
    assert pipeline.safety_checker is None


def test_a_vae_that_gives_nan_is_set_aside_as_not_finite():
    broken = StableDiffusionPipeline(**parts())
    broken.set_progress_bar_config(disable=True)
    torch.nn.init.constant_(broken.vae.decoder.conv_out.bias, torch.nan)
    drawn = list(DiffusersGenerator(broken, fingerprint="", sampler=SAMPLER).generate(REQUESTS))
    assert [(g.pixels, g.reason) for g in drawn] == [(None, "not finite")] * 3


def test_a_vae_that_gives_black_is_set_aside_as_blank():
    broken = StableDiffusionPipeline(**parts())
    broken.set_progress_bar_config(disable=True)
    torch.nn.init.constant_(broken.vae.decoder.conv_out.bias, -1000.0)
    drawn = list(DiffusersGenerator(broken, fingerprint="", sampler=SAMPLER).generate(REQUESTS))
    assert [(g.pixels, g.reason) for g in drawn] == [(None, "blank")] * 3


def test_a_pipeline_that_gives_too_few_pictures_is_refused(generator, monkeypatch):
    class Short:
        images = np.zeros((1, 8, 8, 3))

    monkeypatch.setattr(generator, "pipeline", lambda **arguments: Short)
    with pytest.raises(ModelError, match=r"the pipeline gave 1 pictures for 3 prompts"):
        list(generator.generate(REQUESTS))


def test_a_size_that_the_pipeline_cannot_draw_is_named(pipeline):
    odd = DiffusersGenerator(pipeline, fingerprint="", sampler=SamplerSettings(steps=1, size=(33, 33)))
    with pytest.raises(
        ModelError, match=r"StableDiffusionPipeline must draw with .*'height': 33.* divisible by 8"
    ):
        list(odd.generate(REQUESTS))


def test_a_setting_that_the_pipeline_does_not_know_is_refused():
    class Unguided:
        def __call__(self, prompt, num_inference_steps=1):
            raise NotImplementedError

    with pytest.raises(
        ConfigurationError, match=r"Unguided takes no guidance_scale, got guidance_scale=3\.0; leave"
    ):
        DiffusersGenerator(Unguided(), fingerprint="", sampler=SamplerSettings(guidance=3.0))


@pytest.fixture
def spoiled(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "spoiled")


def fails_to_load(spoiled, reason):
    with pytest.raises(ModelError, match=rf"the model in .*spoiled must load as .*, got {reason}") as caught:
        load_pipeline(spoiled, device="cpu")
    assert "\n" not in str(caught.value)


def test_corrupt_weights_give_one_line(spoiled):
    weights = spoiled / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"must be whole safetensors, got .*unet.* a file of 1,000\); copy"):
        load_pipeline(spoiled, device="cpu")


def test_a_missing_tokenizer_gives_one_line(spoiled):
    shutil.rmtree(spoiled / "tokenizer")
    with pytest.raises(
        ModelError, match=r"must hold every part .*spoiled/tokenizer has no files of a vocabulary"
    ):
        load_pipeline(spoiled, device="cpu")


def test_a_tokenizer_without_a_vocabulary_is_not_taken_for_an_empty_one(spoiled):
    for file in (spoiled / "tokenizer").iterdir():
        if file.name != "tokenizer_config.json":
            file.unlink()
    with pytest.raises(
        ModelError, match=r"must hold every part .*spoiled/tokenizer has no files of a vocabulary"
    ):
        load_pipeline(spoiled, device="cpu")


def test_a_missing_network_gives_one_line(spoiled):
    shutil.rmtree(spoiled / "unet")
    with pytest.raises(
        ModelError, match=r"must hold every part .*spoiled/unet has no files; copy the whole model"
    ):
        check_model_folder(spoiled)


def test_a_broken_index_gives_one_line(spoiled):
    (spoiled / "model_index.json").write_text("{")
    with pytest.raises(
        ModelError, match=r"model_index\.json must be the JSON that a diffusers pipeline wrote, got: E"
    ):
        load_pipeline(spoiled, device="cpu")


def test_a_pipeline_of_no_known_family_gives_one_line(spoiled):
    index = spoiled / "model_index.json"
    index.write_text(index.read_text().replace("StableDiffusionPipeline", "NoSuchPipeline"))
    with pytest.raises(ModelError, match=r"must name a pipeline class of diffusers, got .*'NoSuchPipeline'"):
        load_pipeline(spoiled, device="cpu")


def test_pickled_weights_are_not_loaded_even_unchecked(spoiled):
    weights = spoiled / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save({}, weights.with_suffix(".bin"))
    weights.unlink()
    fails_to_load(spoiled, r"\w+: .+")
    with pytest.raises(
        ModelError, match=r"weights must be safetensors, .*unet has only diffusion_pytorch_model\.bin"
    ):
        check_model_folder(spoiled)
