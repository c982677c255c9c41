"""Operations of a Stable Diffusion 1 model and of CLIP ViT-B/32, counted on tensors without data."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def count_operations() -> dict[str, float]:
    """Count floating-point operations for a picture of 512 x 512: `evaluation_flop` of the network once,
    `decoding_flop` of its decoder, `embedding_flop` of CLIP ViT-B/32."""
    import open_clip  # noqa: PLC0415 - a benchmark sets its number of threads first
    import torch  # noqa: PLC0415
    from diffusers import AutoencoderKL, UNet2DConditionModel  # noqa: PLC0415
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415

    def counted(call: Callable[..., object], *inputs: "torch.Tensor") -> float:
        with FlopCounterMode(display=False) as counter:
            call(*inputs)
        return float(counter.get_total_flops())

    with torch.device("meta"):
        network = UNet2DConditionModel(
            sample_size=64, cross_attention_dim=768, attention_head_dim=8,
            block_out_channels=(320, 640, 1280, 1280),
        )  # fmt: skip
        decoder = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4,
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        )  # fmt: skip
        clip = open_clip.create_model("ViT-B-32", device="meta")
        latent, text = torch.empty(1, 4, 64, 64), torch.empty(1, 77, 768)
        return {
            "evaluation_flop": counted(network, latent, torch.empty(1), text),
            "decoding_flop": counted(decoder.decode, latent),
            "embedding_flop": counted(clip.encode_image, torch.empty(1, 3, 224, 224)),
        }
