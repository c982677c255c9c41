"""Teach a loaded pipeline the tokens that a textual inversion learned."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import load_file

from memex_audit.errors import ModelError, first_line
from memex_audit.generation.pipeline_loading import Pipeline

if TYPE_CHECKING:
    from torch import Tensor

# Trainers of Stable Diffusion XL write a token's vectors for either encoder by these names, and others the
# only ones by the last; such a token is called as its file.
ENCODERS = {"clip_l": ("text_encoder", "tokenizer"), "clip_g": ("text_encoder_2", "tokenizer_2")}
UNNAMED = "emb_params"


def apply_textual_inversion(pipeline: Pipeline, file: Path) -> tuple[str, ...]:
    """Add the tokens of a file to a pipeline, each with its vectors; those there already stay as they are.

    Args:
        pipeline: of a family that takes learned tokens.
        file: safetensors.

    Returns:
        The tokens, as they stand in prompts.

    Raises:
        ModelError: the pipeline takes no tokens, or the file holds none that fit its text encoders.
    """
    if not hasattr(pipeline, "load_textual_inversion"):
        raise ModelError(
            "--memex-textual-inversion must have a pipeline that takes learned tokens, got "
            f"{type(pipeline).__name__}; leave it out."
        )
    try:
        vectors = load_file(file)
        learned = _tokens_of(vectors, file)
        for token, part, tensor in learned:
            encoder, tokenizer = (getattr(pipeline, name) for name in part)
            if token not in tokenizer.get_vocab():
                pipeline.load_textual_inversion(
                    tensor, token=token, text_encoder=encoder, tokenizer=tokenizer
                )
    except Exception as error:  # whatever a foreign or broken file happens to make diffusers raise
        raise ModelError(
            f"the learned tokens {file} must fit the model, got {type(error).__name__}: {first_line(error)}; "
            "give the model that they were trained on with --memex-model."
        ) from error
    if not learned:
        raise ModelError(
            f"--memex-textual-inversion must hold a token, got none in {file}; give another file."
        )
    return tuple(dict.fromkeys(token for token, _, _ in learned))


def _tokens_of(vectors: Mapping[str, "Tensor"], file: Path) -> list[tuple[str, tuple[str, str], "Tensor"]]:
    """Return each token, the encoder and tokenizer that it is for, and its vectors, one a row."""
    found = []
    for name, tensor in vectors.items():
        token = file.stem if name in ENCODERS or name == UNNAMED else name
        part = ENCODERS.get(name, ENCODERS["clip_l"])
        found.append((token, part, tensor))
    return found
