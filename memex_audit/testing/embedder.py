"""Rules for whatever turns pictures into unit vectors."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest

from memex_audit.protocols import Embedder
from memex_audit.testing.rules import (
    Record,
    made_once,
    near_copy,
    require,
    require_attributes,
    sample_pictures,
)
from memex_audit.training_set.vectors import NORM_TOLERANCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pictures = list[NDArray[np.uint8]]

PORT = ("name", "dimension", "duplicate_similarity", "embed")


class EmbedderContract:
    """Rules that every Embedder keeps, a test each.

    Tested is the fixture `memex_embedder`: what this project looks generations up with, or what a fixture
    of that name in the test's module gives.

    Attributes:
        tolerance: how far a value of a vector may differ between batches; the largest difference that was
            seen is recorded as the test's property `largest_difference`.
    """

    tolerance: ClassVar[float] = 1e-4

    @pytest.fixture
    def pictures(self) -> "Pictures":
        """Pictures of different subjects and sizes, uint8 (h, w, 3); override it for a narrow domain."""
        return sample_pictures(7)

    @pytest.fixture
    def vectors(
        self, request: pytest.FixtureRequest, memex_embedder: Embedder, pictures: "Pictures"
    ) -> "NDArray[np.float64]":
        """Their embeddings, made at once, for the first test that asks."""

        def embed() -> "NDArray[np.float64]":
            return np.asarray(memex_embedder.embed(pictures), dtype=np.float64)

        return made_once(request, memex_embedder, embed)

    def test_it_offers_what_an_embedder_must(self, memex_embedder: Embedder) -> None:
        """`name`, `dimension`, `duplicate_similarity` and `embed`."""
        require_attributes(memex_embedder, "Embedder", PORT)
        name, dimension, similarity = (
            memex_embedder.name,
            memex_embedder.dimension,
            memex_embedder.duplicate_similarity,
        )
        require(
            isinstance(name, str) and name != "",
            f"`name` must be a text that identifies the embedder, got {name!r}.",
        )
        require(
            isinstance(dimension, int) and dimension >= 1,
            f"`dimension` must be a whole number of 1 or more, got {dimension!r}.",
        )
        require(
            0 < similarity <= 1,
            f"`duplicate_similarity` must be a cosine in (0, 1], got {similarity!r}.",
        )

    def test_pictures_of_any_size_become_float32_vectors(
        self, memex_embedder: Embedder, pictures: "Pictures"
    ) -> None:
        """An array (pictures, dimension), one row a picture."""
        found = memex_embedder.embed(pictures)
        expected = (len(pictures), memex_embedder.dimension)
        require(
            isinstance(found, np.ndarray) and found.dtype == np.float32 and found.shape == expected,
            f"`embed` must give float32 of shape {expected} for {len(pictures)} pictures, got "
            f"{getattr(found, 'dtype', type(found).__name__)} of shape {np.shape(found)}.",
        )

    def test_vectors_have_unit_norm(self, vectors: "NDArray[np.float64]") -> None:
        """Their inner product is the cosine then."""
        norms = np.linalg.norm(vectors, axis=-1)
        off = float(np.abs(norms - 1).max())
        require(
            off <= NORM_TOLERANCE,
            f"vectors must have unit norm, got norms from {norms.min():.4g} to {norms.max():.4g}; "
            "divide each by its norm.",
        )

    def test_vectors_stand_in_the_order_of_the_pictures(
        self, memex_embedder: Embedder, pictures: "Pictures", vectors: "NDArray[np.float64]"
    ) -> None:
        """Told by the pictures backwards: every vector is nearest to that of its own picture."""
        backwards = np.asarray(memex_embedder.embed(pictures[::-1]), dtype=np.float64)[::-1]
        nearest = (vectors @ backwards.T).argmax(axis=1)
        require(
            nearest.tolist() == list(range(len(pictures))),
            "vectors must stand in the order of the pictures, got those of the pictures "
            f"{nearest.tolist()} when they were given backwards.",
        )

    def test_a_vector_does_not_depend_on_the_batch(
        self,
        memex_embedder: Embedder,
        pictures: "Pictures",
        vectors: "NDArray[np.float64]",
        record_property: Record,
    ) -> None:
        """Each picture embedded alone, against all at once."""
        alone = np.concatenate([memex_embedder.embed([picture]) for picture in pictures])
        record_property("largest_difference", largest := float(np.abs(alone - vectors).max()))
        require(
            largest <= self.tolerance,
            f"a picture must have one vector alone and beside others, within {self.tolerance:g}, got a "
            f"difference of {largest:.3g}; normalize nothing over the batch.",
        )

    def test_identical_pictures_have_a_cosine_of_one(
        self, memex_embedder: Embedder, pictures: "Pictures"
    ) -> None:
        """Wherever they stand in the batch."""
        twice = np.asarray(memex_embedder.embed([*pictures, *pictures]), dtype=np.float64)
        cosines = (twice[: len(pictures)] * twice[len(pictures) :]).sum(axis=1)
        require(
            float(cosines.min()) >= 1 - self.tolerance,
            f"two identical pictures must have a cosine of 1, got {cosines.min():.6g}.",
        )

    def test_near_copies_are_above_the_duplicate_similarity(
        self, memex_embedder: Embedder, pictures: "Pictures", vectors: "NDArray[np.float64]"
    ) -> None:
        """A copy is each picture with every value up to two levels off, as a mild re-encoding leaves it."""
        copies = np.asarray(
            memex_embedder.embed([near_copy(picture) for picture in pictures]), dtype=np.float64
        )
        least = float((vectors * copies).sum(axis=1).min())
        require(
            least >= memex_embedder.duplicate_similarity,
            "near-copies must have a cosine of at least `duplicate_similarity`, "
            f"{memex_embedder.duplicate_similarity:g}, got {least:.6g}: they would not be mined; lower it, "
            "or choose another embedder.",
        )

    def test_different_pictures_are_below_the_duplicate_similarity(
        self, memex_embedder: Embedder, vectors: "NDArray[np.float64]"
    ) -> None:
        """Where all pictures are near-copies of all, no prompt is more duplicated than another."""
        cosines = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]
        largest = float(cosines.max())
        require(
            largest < memex_embedder.duplicate_similarity,
            "pictures of different subjects must have a cosine below `duplicate_similarity`, "
            f"{memex_embedder.duplicate_similarity:g}, got {largest:.6g}: all would be duplicates; raise it.",
        )

    def test_the_pictures_are_left_as_they_are(self, memex_embedder: Embedder, pictures: "Pictures") -> None:
        """They are compared pixel by pixel afterwards."""
        given = [picture.copy() for picture in pictures]
        memex_embedder.embed(given)
        changed = [i for i, (a, b) in enumerate(zip(given, pictures, strict=True)) if (a != b).any()]
        require(not changed, f"`embed` must leave its pictures as they are, got changes in {changed}.")
