"""A tiny Stable Diffusion 1 as one checkpoint file, by the names that its authors and most fine-tunes use."""

import re

from safetensors.torch import save_file

# Parts of a residual block, an attention and the network's ends: diffusers' names and the authors'.
RESIDUAL = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection",
}  # fmt: skip
ENDS = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
}  # fmt: skip
AUTOENCODER = {
    "mid_block.resnets.0.": "mid.block_1.", "mid_block.resnets.1.": "mid.block_2.",
    "mid_block.attentions.0.group_norm": "mid.attn_1.norm", "mid_block.attentions.0.to_q": "mid.attn_1.q",
    "mid_block.attentions.0.to_k": "mid.attn_1.k", "mid_block.attentions.0.to_v": "mid.attn_1.v",
    "mid_block.attentions.0.to_out.0": "mid.attn_1.proj_out", "conv_norm_out": "norm_out",
    "conv_shortcut": "nin_shortcut",
}  # fmt: skip


def save_checkpoint(pipeline, path):
    """Write a pipeline of one layer a block as a checkpoint."""
    tensors = {}
    for name, tensor in pipeline.unet.state_dict().items():
        tensors[f"model.diffusion_model.{_unet_name(name)}"] = tensor
    levels = len(pipeline.vae.config.block_out_channels)
    for name, tensor in pipeline.vae.state_dict().items():
        new = _autoencoder_name(name, levels)
        is_attention = re.search(r"attn_1\.(q|k|v|proj_out)\.weight", new)
        tensors[f"first_stage_model.{new}"] = tensor[:, :, None, None] if is_attention else tensor
    for name, tensor in pipeline.text_encoder.state_dict().items():
        tensors[f"cond_stage_model.transformer.text_model.{name.removeprefix('text_model.')}"] = tensor
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


def _unet_name(name):
    for ours, theirs in ENDS.items():
        if name.startswith(f"{ours}."):
            return name.replace(ours, theirs, 1)
    found = re.match(
        r"(down|up|mid)_blocks?\.(?:(\d+)\.)?(resnets|attentions|downsamplers|upsamplers)\.(\d)\.(.*)", name
    )
    kind, level, part, number, rest = found.groups()
    if part == "resnets":
        first, _, last = rest.partition(".")
        rest = f"{RESIDUAL[first]}.{last}"
    level, number = int(level or 0), int(number)
    if kind == "mid":
        return f"middle_block.{1 if part == 'attentions' else 2 * number}.{rest}"
    if part == "downsamplers":
        return f"input_blocks.{2 * (level + 1)}.0.{rest.replace('conv.', 'op.')}"
    if part == "upsamplers":
        return f"output_blocks.{2 * level + 1}.1.{rest}"
    block = (
        f"input_blocks.{2 * level + number + 1}" if kind == "down" else f"output_blocks.{2 * level + number}"
    )
    return f"{block}.{1 if part == 'attentions' else 0}.{rest}"


def _autoencoder_name(name, levels):
    for ours, theirs in AUTOENCODER.items():
        name = name.replace(ours, theirs)
    name = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(
        r"up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"up.{levels - 1 - int(m[1])}.block.{m[2]}", name
    )
    return re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{levels - 1 - int(m[1])}.upsample", name)
