"""FLUX and other diffusion transformers."""

import json

import diffusers
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler
from families.latent_parts import autoencoder, deep_autoencoder, video_autoencoder
from families.text_parts import bert, clip, gemma, glm, qwen, t5, umt5

HEADS = {"num_layers": 1, "attention_head_dim": 16, "num_attention_heads": 2}
ROTARY = {**HEADS, "axes_dims_rope": (4, 4, 8)}


def flow(**others):
    return FlowMatchEulerDiscreteScheduler(shift=3.0, **others)


def flux(folder):
    _flux(folder, guidance_embeds=True)


def flux_schnell(folder):
    _flux(folder, guidance_embeds=False)


def _flux(folder, **others):
    (words, encoder), (words_2, encoder_2) = clip(), t5()
    transformer = diffusers.FluxTransformer2DModel(
        in_channels=16,
        num_single_layers=1,
        joint_attention_dim=32,
        pooled_projection_dim=8,
        **ROTARY,
        **others,
    )
    diffusers.FluxPipeline(
        transformer=transformer.eval(), scheduler=flow(), vae=autoencoder(shift_factor=0.1),
        text_encoder=encoder, tokenizer=words, text_encoder_2=encoder_2, tokenizer_2=words_2,
    ).save_pretrained(folder)  # fmt: skip


def chroma(folder):
    words, encoder = t5()
    transformer = diffusers.ChromaTransformer2DModel(
        in_channels=16, num_single_layers=1, joint_attention_dim=32, **ROTARY,
        approximator_hidden_dim=32, approximator_layers=1, approximator_num_channels=16,
    )  # fmt: skip
    diffusers.ChromaPipeline(
        transformer=transformer.eval(), scheduler=flow(), vae=autoencoder(shift_factor=0.1),
        text_encoder=encoder, tokenizer=words,
    ).save_pretrained(folder)  # fmt: skip


def pixart_alpha(folder):
    _pixart(folder, diffusers.PixArtAlphaPipeline)


def pixart_sigma(folder):
    _pixart(folder, diffusers.PixArtSigmaPipeline)


def _pixart(folder, pipeline):
    words, encoder = t5()
    transformer = diffusers.PixArtTransformer2DModel(
        sample_size=32, in_channels=4, out_channels=8, cross_attention_dim=32, caption_channels=32, **HEADS
    )
    pipeline(
        transformer=transformer.eval(), scheduler=DPMSolverMultistepScheduler(), vae=autoencoder(levels=4),
        text_encoder=encoder, tokenizer=words,
    ).save_pretrained(folder)  # fmt: skip


def dit(folder):
    transformer = diffusers.DiTTransformer2DModel(
        sample_size=16, in_channels=4, out_channels=8, num_embeds_ada_norm=1000, **HEADS
    )
    diffusers.DiTPipeline(
        transformer=transformer.eval(), vae=autoencoder(), scheduler=DDIMScheduler()
    ).save_pretrained(folder)
    # Published models have their classes' names there; diffusers reads them, and does not write them.
    index = folder / "model_index.json"
    names = {"0": "tench, Tinca tinca", "1": "goldfish", "2": "great white shark"}
    index.write_text(json.dumps({**json.loads(index.read_text()), "id2label": names}))


def sana(folder):
    words, encoder = gemma()
    transformer = diffusers.SanaTransformer2DModel(
        sample_size=16, in_channels=4, out_channels=4, num_cross_attention_heads=2,
        cross_attention_head_dim=16, cross_attention_dim=32, caption_channels=32, **HEADS,
    )  # fmt: skip
    diffusers.SanaPipeline(
        transformer=transformer.eval(), vae=deep_autoencoder(), scheduler=flow(), tokenizer=words,
        text_encoder=encoder,
    ).save_pretrained(folder)  # fmt: skip


def aura_flow(folder):
    words, encoder = umt5()
    transformer = diffusers.AuraFlowTransformer2DModel(
        sample_size=16, in_channels=4, num_mmdit_layers=1, num_single_dit_layers=1, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=32, caption_projection_dim=32, pos_embed_max_size=256,
    )  # fmt: skip
    diffusers.AuraFlowPipeline(
        transformer=transformer.eval(), vae=autoencoder(), scheduler=flow(), tokenizer=words,
        text_encoder=encoder,
    ).save_pretrained(folder)  # fmt: skip


def hunyuan_dit(folder):
    (words, encoder), (words_2, encoder_2) = bert(), t5()
    transformer = diffusers.HunyuanDiT2DModel(
        sample_size=16, patch_size=2, in_channels=4, hidden_size=32, cross_attention_dim=32,
        cross_attention_dim_t5=32, pooled_projection_dim=16, **HEADS,
    )  # fmt: skip
    diffusers.HunyuanDiTPipeline(
        transformer=transformer.eval(), vae=autoencoder(levels=4), scheduler=diffusers.DDPMScheduler(),
        tokenizer=words, text_encoder=encoder, tokenizer_2=words_2, text_encoder_2=encoder_2,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip


def lumina_2(folder):
    words, encoder = gemma()
    transformer = diffusers.Lumina2Transformer2DModel(
        sample_size=16, in_channels=4, hidden_size=32, num_layers=1, num_refiner_layers=1,
        num_attention_heads=2, num_kv_heads=1, multiple_of=16, axes_dim_rope=(4, 6, 6),
        axes_lens=(512, 64, 64), cap_feat_dim=32,
    )  # fmt: skip
    diffusers.Lumina2Pipeline(
        transformer=transformer.eval(), vae=autoencoder(levels=4, shift_factor=0.1), scheduler=flow(),
        tokenizer=words, text_encoder=encoder,
    ).save_pretrained(folder)  # fmt: skip


def cogview_4(folder):
    words, encoder = glm()
    transformer = diffusers.CogView4Transformer2DModel(
        in_channels=4, out_channels=4, text_embed_dim=32, time_embed_dim=16, condition_dim=8, sample_size=16,
        rope_axes_dim=(64, 64), **HEADS,
    )  # fmt: skip
    scheduler = FlowMatchEulerDiscreteScheduler(
        base_shift=0.25, max_shift=0.75, base_image_seq_len=256, use_dynamic_shifting=True,
        time_shift_type="linear",
    )  # fmt: skip
    diffusers.CogView4Pipeline(
        transformer=transformer.eval(), vae=autoencoder(), scheduler=scheduler, tokenizer=words,
        text_encoder=encoder,
    ).save_pretrained(folder)  # fmt: skip


def qwen_image(folder):
    words, encoder = qwen()
    transformer = diffusers.QwenImageTransformer2DModel(
        in_channels=16, out_channels=4, joint_attention_dim=32, **ROTARY
    )
    diffusers.QwenImagePipeline(
        transformer=transformer.eval(), vae=video_autoencoder(), scheduler=flow(), tokenizer=words,
        text_encoder=encoder,
    ).save_pretrained(folder)  # fmt: skip
