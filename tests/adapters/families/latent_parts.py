"""Autoencoders and networks of the families, tiny and with random weights."""

from diffusers import AutoencoderKL, UNet2DConditionModel, UNet2DModel


def autoencoder(channels=4, **others):
    """Return an autoencoder that halves the sides."""
    return AutoencoderKL(
        block_out_channels=(8, 8), norm_num_groups=4, latent_channels=channels, sample_size=32,
        scaling_factor=0.2, down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, **others,
    ).eval()  # fmt: skip


def prompted_unet(**others):
    """Return a UNet that attends to a text of eight values a token."""
    return UNet2DConditionModel(**{
        "sample_size": 16, "in_channels": 4, "out_channels": 4, "block_out_channels": (8, 8),
        "layers_per_block": 1, "cross_attention_dim": 8, "attention_head_dim": 4, "norm_num_groups": 4,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        **others,
    }).eval()  # fmt: skip


def pixel_unet(**others):
    """Return a UNet without text, over pixels."""
    return UNet2DModel(**{
        "sample_size": 16, "in_channels": 3, "out_channels": 3, "block_out_channels": (8, 8),
        "layers_per_block": 1, "attention_head_dim": 4, "norm_num_groups": 4,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        **others,
    }).eval()  # fmt: skip
