"""The ports: what a generator, an embedder, an index and a training set must offer.

Adapters of heavy libraries stand behind these; a user's own object that offers the same is as good.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from memex_audit.records import Generation, GenerationRequest, Prediction, SetAside, TrainingExample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@runtime_checkable
class Generator(Protocol):
    """Draws pictures.

    `fingerprint` identifies the model's weights, `settings` everything else that changes a picture;
    both are part of a stored generation's identity. `seeded`: the same request gives the same picture.
    `shareable`: several processes may use it at once. `evaluations_per_image`: network evaluations on
    one latent that a picture costs (guidance doubles them), 0 where nobody knows. One whose pictures are paid
    for may say `keeps_every_batch = True`: each batch is then of one prompt, and written before the next.
    """

    fingerprint: str
    settings: Mapping[str, object]
    seeded: bool
    shareable: bool
    evaluations_per_image: int

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[Generation]:
        """Yield one Generation a request, in order; a broken picture has pixels None and a reason."""
        ...


@runtime_checkable
class ReadsTokens(Protocol):
    """What a Generator may offer beside: what the model reads of a prompt.

    Prompts that are cut are then named in the report, and those that are read alike are audited as one.
    """

    def read_tokens(self, prompt: str) -> tuple[Hashable, int]:
        """Return what identifies the tokens that are read, and how many more are cut off."""
        ...


@runtime_checkable
class ReportsSteps(Protocol):
    """What a Generator may offer beside: how far it is with what it draws at the moment.

    `on_step` is None until somebody listens, on a terminal; then it is to be called after each step with the
    step's number, from 1, and the number of steps.
    """

    on_step: Callable[[int, int], None] | None


@runtime_checkable
class Denoises(Protocol):
    """What a Generator may offer beside: what its network predicts before a picture is done.

    Screens read it. Both methods start from the very latents that `generate` starts from for the same
    requests, and evaluate the network no more often than they must: on each latent once a step, twice with
    `unconditional`.
    """

    def predict_steps(
        self, requests: Sequence[GenerationRequest], *, steps: int, unconditional: bool = True
    ) -> tuple[Prediction, ...]:
        """Return the predictions at the sampler's first `steps` steps, one row a request.

        Raises:
            ScreenUnavailable: the model has no such predictions; the message says why.
        """
        ...

    def predict_low_noise(self, requests: Sequence[GenerationRequest]) -> tuple[Prediction, Prediction]:
        """Return the predictions at the first step, and for the same pure noise at a low noise level.

        Raises:
            ScreenUnavailable: as `predict_steps`.
        """
        ...


@runtime_checkable
class Embedder(Protocol):
    """Turns pictures into unit vectors; near-copies lie at a cosine of at least `duplicate_similarity`."""

    name: str
    dimension: int
    duplicate_similarity: float

    def embed(self, images: "Sequence[NDArray[np.uint8]]") -> "NDArray[np.float32]":
        """Embed uint8 (h, w, 3) images of any sizes into float32 (n, dimension) of unit norm."""
        ...


@runtime_checkable
class Index(Protocol):
    """Finds neighbours among unit vectors of the training examples, in the order of the set."""

    example_ids: Sequence[str]

    def search(
        self, queries: "NDArray[np.float32]", n: int
    ) -> "tuple[NDArray[np.float32], NDArray[np.int64]]":
        """Return cosines and rows of the `n` nearest, each (queries, n), nearest first."""
        ...


class Pictures(Protocol):
    """What generations are compared with: pictures that are looked up by id."""

    def load(self, example_ids: Sequence[str]) -> "list[NDArray[np.uint8]]":
        """Return the pixels of these examples, in order."""
        ...


@runtime_checkable
class TrainingSet(Protocol):
    """A captioned set of images, streamed and looked up by id."""

    location: str

    def examples(self) -> Iterator[TrainingExample]:
        """Yield every usable example once, in a fixed order; what is unusable goes to `set_aside`."""
        ...

    def load(self, example_ids: Sequence[str]) -> "list[NDArray[np.uint8]]":
        """Return the pixels of these examples, in order."""
        ...

    def stat_fingerprint(self) -> str:
        """Identify the set by paths, sizes and times of its files: cheap, changes when they do."""
        ...

    def content_fingerprint(self) -> str:
        """SHA-256 over the contents of its files."""
        ...

    @property
    def set_aside(self) -> tuple[SetAside, ...]:
        """What the last full pass of `examples` could not use, and why."""
        ...
