"""Autoencoders and networks of the families, tiny and with random weights."""

from diffusers import (
    AutoencoderDC,
    AutoencoderKL,
    AutoencoderKLQwenImage,
    UNet2DConditionModel,
    UNet2DModel,
    VQModel,
)

SCALE_AND_SHIFT = {
    "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
    "resnet_time_scale_shift": "scale_shift",
    "block_out_channels": (32, 32),  # its attention makes groups of 32
}


def autoencoder(channels=4, *, levels=2, **others):
    """Return an autoencoder that halves the sides at every level but the last."""
    return AutoencoderKL(
        block_out_channels=(8,) * levels, norm_num_groups=4, latent_channels=channels, sample_size=32,
        scaling_factor=0.2, down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels, **others,
    ).eval()  # fmt: skip


def deep_autoencoder():
    """Return Sana's autoencoder, which makes a 32nd of the sides."""
    return AutoencoderDC(
        latent_channels=4, attention_head_dim=2, encoder_block_types="ResBlock",
        decoder_block_types="ResBlock",
        encoder_block_out_channels=(4,) * 6, decoder_block_out_channels=(4,) * 6,
        encoder_layers_per_block=(1,) * 6, decoder_layers_per_block=(0, 1, 1, 1, 1, 1),
        encoder_qkv_multiscales=((),) * 6, decoder_qkv_multiscales=((),) * 6,
        upsample_block_type="interpolate", downsample_block_type="conv",
    ).eval()  # fmt: skip


def video_autoencoder():
    """Return Qwen-Image's autoencoder, made for video."""
    return AutoencoderKLQwenImage(
        base_dim=8, z_dim=4, dim_mult=[1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True],
        latents_mean=[0.0] * 4, latents_std=[1.0] * 4,
    ).eval()  # fmt: skip


def quantizer():
    """Return Kandinsky's autoencoder, whose decoder sees the latents at every level."""
    return VQModel(
        block_out_channels=(32, 32), down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
        up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"), latent_channels=4,
        norm_type="spatial", num_vq_embeddings=8, vq_embed_dim=4,
    ).eval()  # fmt: skip


def plain_quantizer():
    """Return the autoencoder of the first latent diffusion models."""
    return VQModel(
        block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=4, num_vq_embeddings=8,
    ).eval()  # fmt: skip


def prompted_unet(**others):
    """Return a UNet that attends to a text of eight values a token."""
    settings = {
        "sample_size": 16, "in_channels": 4, "out_channels": 4, "block_out_channels": (8, 8),
        "layers_per_block": 1, "cross_attention_dim": 8, "attention_head_dim": 4, "norm_num_groups": 4,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    }  # fmt: skip
    return UNet2DConditionModel(**{**settings, **others}).eval()


def pixel_unet(**others):
    """Return a UNet without text, over pixels."""
    settings = {
        "sample_size": 16, "in_channels": 3, "out_channels": 3, "block_out_channels": (8, 8),
        "layers_per_block": 1, "attention_head_dim": 4, "norm_num_groups": 4,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    }  # fmt: skip
    return UNet2DModel(**{**settings, **others}).eval()
