"""Tokenizers and text encoders of the families, tiny and with random weights."""

from tiny_pipelines import LETTERS, tokenizer
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    Gemma2Config,
    Gemma2Model,
    GemmaTokenizer,
    GlmConfig,
    GlmModel,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
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


def t5():
    """Return a tokenizer and an encoder of T5."""
    return _t5(T5Config, T5EncoderModel)


def umt5():
    """Return a T5 tokenizer and the encoder of its many-language kin."""
    return _t5(UMT5Config, UMT5EncoderModel)


def _t5(config, model):
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -10.0), ("▁", -2.0)]
    pieces += [(letter, -3.0) for letter in LETTERS]
    words = T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=16)
    text = config(
        vocab_size=len(words), d_model=WIDTH, d_kv=8, d_ff=32, num_layers=1, num_heads=4,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    return words, model(text).eval()


def gemma():
    """Return a tokenizer and a model of Gemma 2, as Sana and Lumina read by."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁"]
    words = GemmaTokenizer(vocab=_numbered([*special, *LETTERS]), merges=[], model_max_length=64)
    config = Gemma2Config(
        vocab_size=len(words), hidden_size=WIDTH, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, head_dim=8, max_position_embeddings=512,
    )  # fmt: skip
    return words, Gemma2Model(config).eval()


def qwen():
    """Return a tokenizer and a model of Qwen 2.5, with eyes, as Qwen-Image reads by."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    words = Qwen2Tokenizer(vocab=_numbered([*special, *LETTERS, "Ġ", "Ċ"]), merges=[])
    text = {
        "vocab_size": len(words), "hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_key_value_heads": 2,
        "rope_scaling": {"mrope_section": [2, 3, 3], "rope_type": "default"},
        "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
    }  # fmt: skip
    eyes = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": WIDTH}
    config = Qwen2_5_VLConfig(text_config=text, vision_config=eyes)
    return words, Qwen2_5_VLForConditionalGeneration(config).eval()


def bert():
    """Return a tokenizer and a model of BERT, as Hunyuan-DiT reads by."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [*LETTERS, *(f"##{letter}" for letter in LETTERS)]
    words = BertTokenizer(vocab=_numbered([*special, *letters]), model_max_length=77)
    config = BertConfig(
        vocab_size=len(words), hidden_size=WIDTH, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=128,
    )  # fmt: skip
    return words, BertModel(config).eval()


def glm():
    """Return a tokenizer and a model of GLM, as CogView 4 reads by."""
    numbers = _numbered(["<pad>", "<unk>", "<sop>", *LETTERS])
    backend = Tokenizer(models.WordLevel(numbers, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    backend.post_processor = processors.TemplateProcessing(
        single="<sop> $A", special_tokens=[("<sop>", numbers["<sop>"])]
    )
    words = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>", padding_side="left",
        model_max_length=64,
    )  # fmt: skip
    config = GlmConfig(
        vocab_size=len(words), hidden_size=WIDTH, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, pad_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return words, GlmModel(config).eval()


def _numbered(words):
    return {word: number for number, word in enumerate(words)}
