"""What a pipeline's predictions promise the screens, shown on tiny real pipelines with random weights."""

import inspect

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    HeunDiscreteScheduler,
    KDPM2DiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
    UniPCMultistepScheduler,
)
from families.builders import EVERY_FAMILY
from tiny_pipelines import flow_pipeline, parts, save_xl

from memex_audit.errors import ScreenUnavailable
from memex_audit.generation.diffusers_pipeline import DiffusersGenerator
from memex_audit.generation.model_folder import SamplerSettings
from memex_audit.generation.pipeline_loading import load_pipeline
from memex_audit.protocols import Denoises
from memex_audit.records import GenerationRequest

# Schedulers of diffusers 0.42 turn tensors into arrays in a way that NumPy 2 no longer likes.
pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")

SAMPLER = SamplerSettings(steps=4, guidance=3.0, size=(32, 32))
REQUESTS = tuple(
    GenerationRequest(prompt=f"a {name}", seed=2**40 + i) for i, name in enumerate(["cat", "dog", "sun"])
)
TABLE = {"num_train_timesteps": 100, "steps_offset": 1}


def diffusion(scheduler, **others):
    """A pipeline of Stable Diffusion, version 1 with epsilon or 2 with v, by its scheduler."""
    pipeline = StableDiffusionPipeline(**parts(scheduler=scheduler, **others))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def ddim(**others):
    return DDIMScheduler(**TABLE, clip_sample=False, **others)


@pytest.fixture(scope="module")
def xl(tmp_path_factory):
    return load_pipeline(save_xl(tmp_path_factory.mktemp("models") / "xl"), device="cpu")


FAMILIES = {
    "epsilon": lambda: diffusion(ddim()),
    "v": lambda: diffusion(ddim(prediction_type="v_prediction")),
    "sample": lambda: diffusion(ddim(prediction_type="sample")),
    "zero terminal SNR": lambda: diffusion(
        ddim(prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing")
    ),
    "euler": lambda: diffusion(EulerDiscreteScheduler(**TABLE)),
    "euler v": lambda: diffusion(EulerDiscreteScheduler(**TABLE, prediction_type="v_prediction")),
    "dpm++": lambda: diffusion(DPMSolverMultistepScheduler(**TABLE)),
    "unipc": lambda: diffusion(UniPCMultistepScheduler(**TABLE)),
    "heun": lambda: diffusion(HeunDiscreteScheduler(**TABLE)),
    "pndm": lambda: diffusion(PNDMScheduler(**TABLE, skip_prk_steps=True)),
    "flow": flow_pipeline,
}


@pytest.fixture(scope="module", params=[*FAMILIES, "xl"])
def pipeline(request):
    if request.param == "xl":
        return request.getfixturevalue("xl")
    return FAMILIES[request.param]()


def generator_of(pipeline, sampler=SAMPLER):
    return DiffusersGenerator(pipeline, fingerprint="tiny", sampler=sampler)


def drawn(pipeline, monkeypatch, guidance=3.0):
    """Draw pictures, and return what the network and the sampler were given on the way."""
    network = pipeline.unet if getattr(pipeline, "unet", None) else pipeline.transformer
    inputs, steps = [], []
    hook = network.register_forward_hook(
        lambda module, args, kwargs, output: inputs.append(args[0] if args else kwargs["hidden_states"]),
        with_kwargs=True,
    )
    take = pipeline.scheduler.step

    def step(output, timestep, sample, **others):
        result = take(output, timestep, sample, **{**others, "return_dict": True})
        steps.append((output.clone(), sample.clone(), getattr(result, "pred_original_sample", None)))
        return result.to_tuple()

    generator = generator_of(pipeline, SamplerSettings(steps=4, guidance=guidance, size=(32, 32)))
    with monkeypatch.context() as patched:
        step.__signature__ = inspect.signature(take)
        patched.setattr(pipeline.scheduler, "step", step)
        list(generator.generate(REQUESTS))
    hook.remove()
    return inputs, steps


def rows(tensor):
    return tensor.detach().float().flatten(1).numpy()


def test_predictions_follow_the_very_steps_of_a_picture(pipeline, monkeypatch):
    inputs, steps = drawn(pipeline, monkeypatch)
    predictions = generator_of(pipeline).predict_steps(REQUESTS, steps=3)
    assert len(predictions) == 3
    for prediction, latent, (output, _, _) in zip(predictions, inputs, steps, strict=False):
        np.testing.assert_allclose(prediction.latent, rows(latent)[3:], rtol=0, atol=1e-5)
        assert prediction.conditional.shape == rows(output).shape


@pytest.mark.parametrize("family", ["epsilon", "v", "sample", "euler", "euler v", "zero terminal SNR"])
def test_predicted_pictures_are_those_of_the_sampler_itself(family, monkeypatch):
    pipeline = FAMILIES[family]()
    _, steps = drawn(pipeline, monkeypatch)
    for prediction, (_, _, picture) in zip(
        generator_of(pipeline).predict_steps(REQUESTS, steps=3), steps, strict=False
    ):
        guided = prediction.unconditional + 3.0 * (prediction.conditional - prediction.unconditional)
        np.testing.assert_allclose(guided, rows(picture), rtol=1e-4, atol=1e-4)


def test_of_a_network_that_predicts_its_variance_too_the_mean_is_read(tmp_path, monkeypatch):
    pipeline = load_pipeline(EVERY_FAMILY["DeepFloyd IF, stage I"](tmp_path / "if"), device="cpu")
    assert pipeline.unet.config.out_channels == 2 * pipeline.unet.config.in_channels
    unbounded = {**pipeline.scheduler.config, "thresholding": False, "clip_sample": False}
    pipeline.scheduler = type(pipeline.scheduler).from_config(unbounded)
    _, steps = drawn(pipeline, monkeypatch)
    predictions = generator_of(pipeline).predict_steps(REQUESTS, steps=3)
    for prediction, (_, _, picture) in zip(predictions, steps, strict=False):
        guided = prediction.unconditional + 3.0 * (prediction.conditional - prediction.unconditional)
        np.testing.assert_allclose(guided, rows(picture), rtol=1e-3, atol=1e-3)
    first, _ = generator_of(pipeline).predict_low_noise(REQUESTS)
    np.testing.assert_allclose(first.conditional, predictions[0].conditional, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scheduler", [DPMSolverMultistepScheduler, UniPCMultistepScheduler])
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_predicted_pictures_are_those_that_a_multistep_sampler_makes_of_the_output(
    scheduler, kind, monkeypatch
):
    pipeline = diffusion(scheduler(**TABLE, prediction_type=kind))
    made = []
    convert = pipeline.scheduler.convert_model_output

    def keep(output, *args, sample=None, **others):
        made.append(convert(output, *args, sample=sample, **others))
        return made[-1]

    with monkeypatch.context() as patched:
        patched.setattr(pipeline.scheduler, "convert_model_output", keep)
        list(generator_of(pipeline).generate(REQUESTS))
    for prediction, picture in zip(
        generator_of(pipeline).predict_steps(REQUESTS, steps=3), made, strict=False
    ):
        guided = prediction.unconditional + 3.0 * (prediction.conditional - prediction.unconditional)
        np.testing.assert_allclose(guided, rows(picture), rtol=1e-4, atol=1e-4)


def test_a_flow_points_from_the_picture_to_the_noise(monkeypatch):
    pipeline = flow_pipeline()
    _, steps = drawn(pipeline, monkeypatch)
    predictions = generator_of(pipeline).predict_steps(REQUESTS, steps=3)
    for number, (prediction, (output, sample, _)) in enumerate(zip(predictions, steps, strict=False)):
        sigma = float(pipeline.scheduler.sigmas[number])
        assert (prediction.signal, prediction.noise) == (1 - sigma, sigma)
        guided = prediction.unconditional + 3.0 * (prediction.conditional - prediction.unconditional)
        # Where the sampler goes in one step down to sigma = 0: sample + (0 - sigma) * output.
        np.testing.assert_allclose(guided, rows(sample - sigma * output), rtol=1e-4, atol=1e-4)
    assert (predictions[0].signal, predictions[0].noise) == (0.0, 1.0)


def test_predictions_do_not_depend_on_the_batch(pipeline):
    generator = generator_of(pipeline)
    together = generator.predict_steps(REQUESTS, steps=2)
    alone = generator.predict_steps(REQUESTS[1:2], steps=2)
    for whole, one in zip(together, alone, strict=True):
        np.testing.assert_array_equal(together[0].latent[1:2], alone[0].latent)
        np.testing.assert_allclose(whole.conditional[1:2], one.conditional, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(whole.unconditional[1:2], one.unconditional, rtol=1e-3, atol=1e-3)


def test_drawing_goes_on_as_before_after_predictions(pipeline):
    generator = generator_of(pipeline)
    before = [generation.pixels for generation in generator.generate(REQUESTS)]
    generator.predict_steps(REQUESTS, steps=1)
    generator.predict_low_noise(REQUESTS)
    after = [generation.pixels for generation in generator.generate(REQUESTS)]
    np.testing.assert_array_equal(before, after)


def count_rows(pipeline, monkeypatch):
    network = pipeline.unet if getattr(pipeline, "unet", None) else pipeline.transformer
    seen, forward = [], network.forward

    def count(*args, **kwargs):
        seen.append(len(args[0] if args else kwargs["hidden_states"]))
        return forward(*args, **kwargs)

    count.__signature__ = inspect.signature(forward)
    monkeypatch.setattr(network, "forward", count)
    return seen


def test_the_network_is_evaluated_no_more_often_than_it_must(pipeline, monkeypatch):
    seen = count_rows(pipeline, monkeypatch)
    generator = generator_of(pipeline)
    generator.predict_steps(REQUESTS, steps=2)
    assert sum(seen) == 3 * 2 * 2
    seen.clear()
    generator.predict_steps(REQUESTS, steps=1, unconditional=False)
    assert sum(seen) == 3
    seen.clear()
    generator.predict_low_noise(REQUESTS)
    assert sum(seen) == 3 * 4


def test_the_prompt_alone_predicts_what_it_predicts_beside_none(pipeline):
    generator = generator_of(pipeline)
    (both,) = generator.predict_steps(REQUESTS, steps=1)
    (alone,) = generator.predict_steps(REQUESTS, steps=1, unconditional=False)
    assert alone.unconditional is None
    np.testing.assert_allclose(alone.conditional, both.conditional, rtol=1e-3, atol=1e-3)


def test_a_model_that_is_drawn_unguided_has_both_predictions_along_the_way_it_draws(monkeypatch):
    pipeline = diffusion(ddim())
    inputs, _ = drawn(pipeline, monkeypatch, guidance=1.0)
    generator = generator_of(pipeline, SamplerSettings(steps=4, guidance=1.0, size=(32, 32)))
    predictions = generator.predict_steps(REQUESTS, steps=3)
    for prediction, latent in zip(predictions, inputs, strict=False):
        np.testing.assert_allclose(prediction.latent, rows(latent), rtol=0, atol=1e-4)
        assert np.abs(prediction.conditional - prediction.unconditional).max() > 1e-4


@pytest.mark.parametrize(
    ("family", "level"), [("epsilon", 2), ("v", 2), ("euler", 2), ("flow", 0.02)], ids=str
)
def test_low_noise_is_told_to_the_network_on_the_same_latents(family, level, monkeypatch):
    pipeline = FAMILIES[family]()
    network = pipeline.unet if getattr(pipeline, "unet", None) else pipeline.transformer
    told, signature = [], inspect.signature(network.forward)

    def keep(module, args, kwargs, output):
        timestep = signature.bind(*args, **kwargs).arguments["timestep"]
        told.append(torch.as_tensor(timestep).flatten()[0].item())

    hook = network.register_forward_hook(keep, with_kwargs=True)
    first, low = generator_of(pipeline).predict_low_noise(REQUESTS)
    hook.remove()
    np.testing.assert_array_equal(first.latent, low.latent)
    if family == "flow":
        assert told == pytest.approx([1000.0, 20.0])
        assert (low.signal, low.noise) == (1 - level, level)
    else:
        assert told[1] == level
        abar = float(pipeline.scheduler.alphas_cumprod[level])
        assert (low.signal, low.noise) == pytest.approx((abar**0.5, (1 - abar) ** 0.5))
    assert np.abs(first.conditional - low.conditional).max() > 1e-3


def test_a_compiled_network_is_read_too():
    plain, compiled = diffusion(ddim()), diffusion(ddim())
    compiled.unet = torch.compile(compiled.unet, backend="eager")
    (expected,) = generator_of(plain).predict_steps(REQUESTS, steps=1)
    (found,) = generator_of(compiled).predict_steps(REQUESTS, steps=1)
    np.testing.assert_allclose(found.conditional, expected.conditional, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("family", ["epsilon", "flow"])
def test_half_precision_is_read_too(family):
    whole = generator_of(FAMILIES[family]()).predict_steps(REQUESTS, steps=1)[0]
    half = generator_of(FAMILIES[family]().to(torch.bfloat16)).predict_steps(REQUESTS, steps=1)[0]
    assert half.conditional.dtype == np.float32
    for name in ("conditional", "unconditional"):
        expected = getattr(whole, name)
        error = np.linalg.norm(getattr(half, name) - expected) / np.linalg.norm(expected)
        assert error < 0.1, name


def test_a_generator_of_a_pipeline_denoises(pipeline):
    assert isinstance(generator_of(pipeline), Denoises)


def distilled():
    config = {key: value for key, value in parts()["unet"].config.items() if not key.startswith("_")}
    return diffusion(ddim(), unet=UNet2DConditionModel.from_config({**config, "time_cond_proj_dim": 8}))


def test_a_guidance_difference_of_a_distilled_model_is_refused():
    with pytest.raises(
        ScreenUnavailable,
        match=r"a guidance difference must have a prediction without a prompt, StableDiffusionPipeline has "
        r"none: its network takes the guidance scale as an input \(time_cond_proj_dim\).* does not exist",
    ):
        generator_of(distilled()).predict_steps(REQUESTS, steps=1)


def test_a_distilled_model_still_predicts_with_its_prompt():
    (prediction,) = generator_of(distilled()).predict_steps(REQUESTS, steps=1, unconditional=False)
    assert prediction.conditional.shape == prediction.latent.shape
    assert np.isfinite(prediction.conditional).all()


class Flux(FluxPipeline):
    """Reads prompts without the T5 encoder, which has no tiny tokenizer."""

    def encode_prompt(self, prompt, **others):
        torch.manual_seed(sum(map(len, prompt)))
        return torch.randn(len(prompt), 6, 32), torch.randn(len(prompt), 8), torch.zeros(6, 3)


def flux(*, guidance_embeds):
    one = parts()
    one["vae"].register_to_config(shift_factor=0.1)
    transformer = FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=32, pooled_projection_dim=8, axes_dims_rope=(4, 4, 8),
        guidance_embeds=guidance_embeds,
    )  # fmt: skip
    pipeline = Flux(
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=one["vae"], text_encoder=one["text_encoder"],
        tokenizer=one["tokenizer"], text_encoder_2=None, tokenizer_2=None, transformer=transformer.eval(),
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize(
    ("guidance_embeds", "reason"),
    [
        (
            True,
            r"its network takes the guidance scale as an input \(guidance_embeds\): guidance was distilled",
        ),
        (
            False,
            r"its pipeline evaluates no empty prompt beside the prompt \(guidance by true_cfg_scale is off",
        ),
    ],
)
def test_a_guidance_difference_of_flux_is_refused(guidance_embeds, reason):
    generator = generator_of(flux(guidance_embeds=guidance_embeds))
    for taken in (
        lambda: generator.predict_steps(REQUESTS, steps=1),
        lambda: generator.predict_low_noise(REQUESTS),
    ):
        with pytest.raises(ScreenUnavailable, match=reason):
            taken()


@pytest.mark.parametrize("guidance_embeds", [True, False])
def test_flux_still_predicts_with_its_prompt(guidance_embeds, monkeypatch):
    pipeline = flux(guidance_embeds=guidance_embeds)
    _, steps = drawn(pipeline, monkeypatch)
    predictions = generator_of(pipeline).predict_steps(REQUESTS, steps=2, unconditional=False)
    for number, (prediction, (output, sample, _)) in enumerate(zip(predictions, steps, strict=False)):
        assert prediction.unconditional is None
        sigma = float(pipeline.scheduler.sigmas[number])
        np.testing.assert_allclose(prediction.latent, rows(sample), rtol=0, atol=1e-5)
        np.testing.assert_allclose(
            prediction.conditional, rows(sample - sigma * output), rtol=1e-4, atol=1e-4
        )


def test_a_pipeline_that_takes_no_guidance_is_refused():
    class Unguided(StableDiffusionPipeline):
        def __call__(self, prompt, num_inference_steps=1, generator=None, output_type="np"):
            raise NotImplementedError

    with pytest.raises(ScreenUnavailable, match=r"Unguided has none: its pipeline takes no guidance_scale"):
        generator_of(Unguided(**parts()), SamplerSettings()).predict_steps(REQUESTS, steps=1)


def test_a_pipeline_that_guides_in_another_way_is_refused():
    class TheOtherWayRound(StableDiffusionPipeline):
        def __call__(self, *args, guidance_scale=3.0, **kwargs):
            return super().__call__(*args, guidance_scale=guidance_scale, guidance_rescale=1.0, **kwargs)

    other = TheOtherWayRound(**parts())
    other.set_progress_bar_config(disable=True)
    with pytest.raises(ScreenUnavailable, match=r"TheOtherWayRound must guide by .*, got another sum"):
        generator_of(other, SamplerSettings()).predict_steps(REQUESTS, steps=1)


def test_a_pipeline_that_evaluates_its_network_beside_the_step_is_refused():
    class Twice(StableDiffusionPipeline):
        def __call__(self, *args, guidance_scale=3.0, **kwargs):
            self.unet(torch.zeros(1, 4, 16, 16), 1, torch.zeros(1, 8, 8))
            return super().__call__(*args, guidance_scale=guidance_scale, **kwargs)

    other = Twice(**parts())
    other.set_progress_bar_config(disable=True)
    with pytest.raises(
        ScreenUnavailable, match=r"Twice must evaluate its network once a step, on 6 latents .*, got \[1, 6\]"
    ):
        generator_of(other, SamplerSettings()).predict_steps(REQUESTS, steps=1)


def test_a_network_that_predicts_something_of_another_shape_is_refused():
    config = {key: value for key, value in parts()["unet"].config.items() if not key.startswith("_")}
    other = diffusion(ddim(), unet=UNet2DConditionModel.from_config({**config, "out_channels": 12}))
    with pytest.raises(
        ScreenUnavailable,
        match=r"must predict something of the latent's own shape .*, got \(4, 16, 16\), \(12, ",
    ):
        generator_of(other).predict_steps(REQUESTS, steps=1)


def test_low_noise_of_a_network_that_is_told_no_timestep_is_refused():
    class Clockless(UNet2DConditionModel):
        def forward(self, sample, when, encoder_hidden_states, **others):
            return super().forward(sample, when, encoder_hidden_states, **others)

    config = {key: value for key, value in parts()["unet"].config.items() if not key.startswith("_")}
    generator = generator_of(diffusion(ddim(), unet=Clockless.from_config(config)))
    generator.predict_steps(REQUESTS, steps=1)
    with pytest.raises(
        ScreenUnavailable, match=r"must tell its network a timestep for this screen, got none"
    ):
        generator.predict_low_noise(REQUESTS)


def test_low_noise_of_a_sampler_that_counts_time_otherwise_is_refused():
    scheduler = EulerDiscreteScheduler(
        **TABLE, timestep_type="continuous", prediction_type="v_prediction", use_karras_sigmas=True,
        sigma_min=0.002, sigma_max=700.0,
    )  # fmt: skip
    generator = generator_of(diffusion(scheduler))
    generator.predict_steps(REQUESTS, steps=1)
    with pytest.raises(
        ScreenUnavailable, match=r"must count time in training steps .*'continuous'; take anoth"
    ):
        generator.predict_low_noise(REQUESTS)


def test_a_sampler_without_a_level_a_step_is_refused():
    scheduler = ddim()
    scheduler.sigmas = torch.ones(3)
    with pytest.raises(
        ScreenUnavailable, match=r"must have a sigma a step, got 3 for 4 steps; give the model"
    ):
        generator_of(diffusion(scheduler)).predict_steps(REQUESTS, steps=1)


def test_a_sampler_with_levels_of_its_own_is_refused():
    with pytest.raises(
        ScreenUnavailable,
        match=r"must know the noise levels of the sampler, got KDPM2DiscreteScheduler .* give the model",
    ):
        generator_of(diffusion(KDPM2DiscreteScheduler(**TABLE))).predict_steps(REQUESTS, steps=1)


def test_more_steps_than_the_sampler_takes_are_refused():
    generator = generator_of(diffusion(ddim()), SamplerSettings(steps=2, guidance=3.0, size=(32, 32)))
    with pytest.raises(ScreenUnavailable, match=r"a screen of 3 steps .*, got 2 for 3 pictures; take fewer"):
        generator.predict_steps(REQUESTS, steps=3)


def test_epsilon_at_pure_noise_without_any_signal_is_refused():
    pipeline = diffusion(ddim(rescale_betas_zero_snr=True, timestep_spacing="trailing"))
    with pytest.raises(ScreenUnavailable, match=r"predicts epsilon .* got zero terminal SNR"):
        generator_of(pipeline).predict_steps(REQUESTS, steps=1)


def test_a_pipeline_without_a_known_network_is_refused():
    class NoNetwork:
        scheduler, dtype, device = ddim(), torch.float32, torch.device("cpu")

        def __call__(self, prompt, guidance_scale=3.0):
            raise NotImplementedError

    with pytest.raises(ScreenUnavailable, match=r"must have a unet or transformer to read, NoNetwork has"):
        generator_of(NoNetwork(), SamplerSettings()).predict_steps(REQUESTS, steps=1)
