"""Tokenizers and text encoders of the families, tiny and with random weights."""

from tiny_pipelines import LETTERS, tokenizer
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
    UMT5Config,
    UMT5EncoderModel,
)

WIDTH = 32


def clip(*, projected=False, width=8, projection=8):
    """Return a tokenizer and an encoder of CLIP, with a projection where the family asks for one."""
    words = tokenizer()
    config = CLIPTextConfig(
        vocab_size=len(words), hidden_size=width, intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=8,
        bos_token_id=0, eos_token_id=1, pad_token_id=1, projection_dim=projection,
    )  # fmt: skip
    return words, (CLIPTextModelWithProjection if projected else CLIPTextModel)(config).eval()


def t5_tokenizer(length=16):
    """Return a T5 tokenizer of single letters."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -10.0), ("▁", -2.0)]
    pieces += [(letter, -3.0) for letter in LETTERS]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=length)


def t5(*, width=WIDTH):
    """Return a tokenizer and an encoder of T5."""
    return _t5(T5Config, T5EncoderModel, width)


def umt5(*, width=WIDTH):
    """Return a T5 tokenizer and the encoder of its many-language kin."""
    return _t5(UMT5Config, UMT5EncoderModel, width)


def _t5(config, model, width):
    words = t5_tokenizer()
    text = config(
        vocab_size=len(words), d_model=width, d_kv=8, d_ff=32, num_layers=1, num_heads=4,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    return words, model(text).eval()
