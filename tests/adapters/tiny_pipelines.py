"""Pipelines of several families, tiny and with random weights."""

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def tokenizer():
    words = ["<|startoftext|>", "<|endoftext|>", *LETTERS, *(f"{letter}</w>" for letter in LETTERS)]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=8)


def parts(**others):
    torch.manual_seed(0)
    words = tokenizer()
    text = CLIPTextConfig(
        vocab_size=len(words), hidden_size=8, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=8,
        bos_token_id=0, eos_token_id=1, pad_token_id=1, projection_dim=8,
    )  # fmt: skip
    return {
        "vae": AutoencoderKL(
            block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4, sample_size=32,
            scaling_factor=0.2,
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        ),
        "text_encoder": CLIPTextModel(text),
        "tokenizer": words,
        "unet": UNet2DConditionModel(
            sample_size=16, in_channels=4, out_channels=4, block_out_channels=(8, 8), layers_per_block=1,
            cross_attention_dim=8, attention_head_dim=4, norm_num_groups=4,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        ),
        "scheduler": DDIMScheduler(num_train_timesteps=100, steps_offset=1, clip_sample=False),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
        **others,
    }  # fmt: skip


def save_xl(path):
    """Save a pipeline of another family: two text encoders, one of them with a projection."""
    one = parts()
    text = one["text_encoder"].config
    unet = UNet2DConditionModel(
        sample_size=16, in_channels=4, out_channels=4, block_out_channels=(8, 8), layers_per_block=1,
        cross_attention_dim=16, attention_head_dim=4, norm_num_groups=4, use_linear_projection=True,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), addition_embed_type="text_time",
        addition_time_embed_dim=4, projection_class_embeddings_input_dim=6 * 4 + 8,
    )  # fmt: skip
    StableDiffusionXLPipeline(
        vae=one["vae"], text_encoder=one["text_encoder"], text_encoder_2=CLIPTextModelWithProjection(text),
        tokenizer=tokenizer(), tokenizer_2=tokenizer(), unet=unet, scheduler=one["scheduler"],
        add_watermarker=False,
    ).save_pretrained(path, safe_serialization=True)  # fmt: skip
    return path


def flow_pipeline():
    """Return a pipeline of Stable Diffusion 3: a transformer that predicts a flow."""
    one = parts()
    one["vae"].register_to_config(shift_factor=0.1)
    text = one["text_encoder"].config
    transformer = SD3Transformer2DModel(
        sample_size=16, patch_size=2, in_channels=4, out_channels=4, num_layers=1, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=32, caption_projection_dim=16, pooled_projection_dim=16,
        pos_embed_max_size=16,
    )  # fmt: skip
    pipeline = StableDiffusion3Pipeline(
        transformer=transformer.eval(), scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), vae=one["vae"],
        text_encoder=CLIPTextModelWithProjection(text), tokenizer=tokenizer(),
        text_encoder_2=CLIPTextModelWithProjection(text), tokenizer_2=tokenizer(),
        text_encoder_3=None, tokenizer_3=None,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
