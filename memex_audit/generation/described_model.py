"""A model as an earlier run found it: an audit whose pictures are all in the store loads none.

    descriptions/<key>.json    what a loaded model said of itself
    descriptions/<key>.tokens  what it reads of prompts

The key is a digest of the model's contents, all options that it is loaded with, the machine, and the code.
"""

import hashlib
import json
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memex_audit.errors import ModelError
from memex_audit.records import Generation, GenerationRequest, Prediction
from memex_audit.whole_file import write_whole

if TYPE_CHECKING:
    from memex_audit.generation.diffusers_pipeline import DiffusersGenerator

SAID = ("fingerprint", "settings", "shareable", "evaluations_per_image", "takes_prompts", "device")


class DescribedModel:
    """A Generator over a diffusers pipeline that is loaded when it must draw; see protocols.Generator.

    Args:
        load: gives the generator.
        file: where the description is, or will be; without one there, the model is loaded at once.
    """

    seeded = True
    keeps_every_batch = False
    draws = True
    on_step: Callable[[int, int], None] | None = None

    def __init__(self, load: "Callable[[], DiffusersGenerator]", file: Path) -> None:
        self._load = load
        self._file = file
        said = _read(file)
        if said is None or said.keys() != set(SAID):
            said = _said_of(self.loaded)
            with suppress(OSError):  # the next run loads it once more
                write_whole(file, json.dumps(said).encode())
        self._said = said
        self.fingerprint: str = said["fingerprint"]
        self.settings: Mapping[str, object] = said["settings"]
        self.shareable: bool = said["shareable"]
        self.evaluations_per_image: int = said["evaluations_per_image"]
        self.takes_prompts: bool = said["takes_prompts"]
        self.device: str = said["device"]

    @cached_property
    def loaded(self) -> "DiffusersGenerator":
        """The model itself.

        Raises:
            ModelError: it is not what was found before, and the pictures in the store are another's.
        """
        generator = self._load()
        if "_said" in self.__dict__ and _said_of(generator) != self._said:
            with suppress(OSError):
                self._file.unlink(missing_ok=True)
            raise ModelError(
                "a model must be loaded as in the run before, with the same files, libraries and device, got "
                "other settings; run again: it is looked at anew."
            )
        return generator

    @property
    def pipeline(self) -> Any:
        """The pipeline that draws, loaded for whoever asks."""
        return self.loaded.pipeline

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[Generation]:
        """Draw; the model is loaded first."""
        self.loaded.on_step = self.on_step
        return self.loaded.generate(requests)

    def read_tokens(self, prompt: str) -> tuple[Hashable, int]:
        """Return what identifies the tokens that the model reads, and how many more are cut off."""
        key = _digest(prompt)
        if key not in self._tokens:
            tokens, cut = self.loaded.read_tokens(prompt)
            self._tokens[key] = [_digest(repr(tokens)), cut]
            self._read_more = True
        identity, cut = self._tokens[key]
        return identity, cut

    def remember_tokens(self) -> None:
        """Write down what is known of prompts, for the next run."""
        if self.__dict__.pop("_read_more", False):
            with suppress(OSError):
                write_whole(self._file.with_suffix(".tokens"), json.dumps(self._tokens).encode())

    @cached_property
    def _tokens(self) -> dict[str, Any]:
        return _read(self._file.with_suffix(".tokens")) or {}

    def predict_steps(
        self, requests: Sequence[GenerationRequest], *, steps: int, unconditional: bool = True
    ) -> tuple[Prediction, ...]:
        """Return what the network predicts at the first steps; see protocols.Denoises."""
        return self.loaded.predict_steps(requests, steps=steps, unconditional=unconditional)

    def predict_low_noise(self, requests: Sequence[GenerationRequest]) -> tuple[Prediction, Prediction]:
        """Return what the network predicts at the first step and at low noise; see protocols.Denoises."""
        return self.loaded.predict_low_noise(requests)


def description_file(folder: Path, loaded_with: object) -> Path:
    """Return where a model is described that is loaded with all of this, in types that JSON has."""
    text = json.dumps(loaded_with, sort_keys=True, separators=(",", ":"), default=str)
    return folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


def _said_of(generator: "DiffusersGenerator") -> dict[str, Any]:
    # As JSON gives it back: its tuples are lists.
    said: dict[str, Any] = json.loads(json.dumps({name: getattr(generator, name) for name in SAID}))
    return said


def _read(file: Path) -> dict[str, Any] | None:
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return said if isinstance(said, dict) else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]
