"""What a model is made of: the folder of its pipeline or one file, and the fine-tunes on top."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from memex_audit.errors import ConfigurationError
from memex_audit.generation.fingerprints import file_digests, fine_tune_fingerprint, model_fingerprint
from memex_audit.generation.model_folder import is_checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """The files of a model, each where it lies.

    `folder`: of its pipeline; with a `checkpoint`, one file of all weights, that of its configuration and
    tokenizers. `tokens`: learned by textual inversion. `lora`, with the weight that it is given.
    """

    folder: Path
    checkpoint: Path | None = None
    tokens: Path | None = None
    lora: Path | None = None
    lora_weight: float = 1.0

    def fingerprint(self, cache: Path | None = None) -> str:
        """Return SHA-256 (64 hex digits) of what the files hold, and of the LoRA's weight.

        Of the pipeline's folder alone it is `model_fingerprint`; `cache` as there.
        """
        total = model_fingerprint(self.folder, cache)
        for role, file in (("checkpoint", self.checkpoint), ("tokens", self.tokens)):
            if file is not None:
                # A token may be named by its file.
                name = file.stem if role == "tokens" else ""
                parts = (total, role, name, file_digests([file], cache)[file])
                total = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        if self.lora is not None:
            total = fine_tune_fingerprint(total, self.lora, self.lora_weight, cache)
        return total


def folder_of(model: str, config: str | None) -> str:
    """Return the folder of a model's configuration: its own, or of a model in one file the one named for it.

    Raises:
        ConfigurationError: a model in one file has none, or another model has one.
    """
    if is_checkpoint(model) and config is None:
        raise ConfigurationError(
            f"a model in one file must have its configuration, got {model} alone; name the folder of a "
            "pipeline of its family with --memex-model-config FOLDER (its JSON and tokenizer files will do)."
        )
    if config is not None and not is_checkpoint(model):
        raise ConfigurationError(
            f"--memex-model-config must go with a model in one .safetensors file, got {model}; leave it out."
        )
    return config or model
