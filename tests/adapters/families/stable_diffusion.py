"""Stable Diffusion 1, 2, XL and 3."""

from diffusers import (
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    PNDMScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
)
from families.latent_parts import autoencoder, prompted_unet
from families.text_parts import clip, t5

UNCHECKED = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def stable_diffusion_1(folder):
    words, encoder = clip()
    StableDiffusionPipeline(
        vae=autoencoder(), text_encoder=encoder, tokenizer=words, unet=prompted_unet(),
        scheduler=PNDMScheduler(**BETAS, skip_prk_steps=True, steps_offset=1), **UNCHECKED,
    ).save_pretrained(folder)  # fmt: skip


def stable_diffusion_2(folder):
    words, encoder = clip()
    scheduler = DDIMScheduler(**BETAS, prediction_type="v_prediction", steps_offset=1, clip_sample=False)
    StableDiffusionPipeline(
        vae=autoencoder(), text_encoder=encoder, tokenizer=words, scheduler=scheduler,
        unet=prompted_unet(use_linear_projection=True), **UNCHECKED,
    ).save_pretrained(folder)  # fmt: skip


def sd_turbo(folder):
    """Save a model of one step, whose scheduler starts at the last of its training."""
    words, encoder = clip()
    scheduler = EulerDiscreteScheduler(**BETAS, timestep_spacing="trailing", steps_offset=1)
    StableDiffusionPipeline(
        vae=autoencoder(), text_encoder=encoder, tokenizer=words, unet=prompted_unet(), scheduler=scheduler,
        **UNCHECKED,
    ).save_pretrained(folder)  # fmt: skip


def latent_consistency(folder):
    words, encoder = clip()
    LatentConsistencyModelPipeline(
        vae=autoencoder(), text_encoder=encoder, tokenizer=words, unet=prompted_unet(time_cond_proj_dim=16),
        scheduler=LCMScheduler(**BETAS), **UNCHECKED,
    ).save_pretrained(folder)  # fmt: skip


def sdxl_turbo(folder):
    scheduler = EulerAncestralDiscreteScheduler(**BETAS, timestep_spacing="trailing", steps_offset=1)
    _two_encoders(folder, scheduler)


def stable_diffusion_xl(folder):
    _two_encoders(folder, EulerDiscreteScheduler(**BETAS, steps_offset=1))


def _two_encoders(folder, scheduler):
    (words, encoder), (words_2, encoder_2) = clip(), clip(projected=True)
    unet = prompted_unet(
        cross_attention_dim=16, use_linear_projection=True, addition_embed_type="text_time",
        addition_time_embed_dim=4, projection_class_embeddings_input_dim=6 * 4 + 8,
    )  # fmt: skip
    StableDiffusionXLPipeline(
        vae=autoencoder(), text_encoder=encoder, text_encoder_2=encoder_2, tokenizer=words,
        tokenizer_2=words_2, unet=unet, scheduler=scheduler,
        add_watermarker=False,
    ).save_pretrained(folder)  # fmt: skip


def stable_diffusion_3(folder):
    words, encoder = t5()
    _flow(folder, text_encoder_3=encoder, tokenizer_3=words)


def stable_diffusion_3_without_t5(folder):
    _flow(folder, text_encoder_3=None, tokenizer_3=None)


def stable_diffusion_3_without_clip(folder):
    """Save a pipeline that diffusers can save, and cannot draw with."""
    words, encoder = t5()
    without = dict.fromkeys(["text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"])
    _flow(folder, text_encoder_3=encoder, tokenizer_3=words, **without)


def _flow(folder, **others):
    (words, encoder), (words_2, encoder_2) = clip(projected=True), clip(projected=True)
    transformer = SD3Transformer2DModel(
        sample_size=16, patch_size=2, in_channels=4, out_channels=4, num_layers=1, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=32, caption_projection_dim=16, pooled_projection_dim=16,
        pos_embed_max_size=16,
    )  # fmt: skip
    texts = {
        "text_encoder": encoder, "tokenizer": words, "text_encoder_2": encoder_2, "tokenizer_2": words_2,
    }  # fmt: skip
    StableDiffusion3Pipeline(
        transformer=transformer.eval(), scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=autoencoder(shift_factor=0.1), **{**texts, **others},
    ).save_pretrained(folder)  # fmt: skip
