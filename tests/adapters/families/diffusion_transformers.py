"""FLUX and other diffusion transformers."""

from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from families.latent_parts import autoencoder
from families.text_parts import clip, t5


def flux(folder):
    (words, encoder), (words_2, encoder_2) = clip(), t5()
    transformer = FluxTransformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=8, axes_dims_rope=(4, 4, 8), guidance_embeds=True,
    )  # fmt: skip
    FluxPipeline(
        transformer=transformer.eval(), scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=autoencoder(shift_factor=0.1), text_encoder=encoder, tokenizer=words,
        text_encoder_2=encoder_2, tokenizer_2=words_2,
    ).save_pretrained(folder)  # fmt: skip
