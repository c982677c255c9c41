"""A good embedder, and for each rule of the contract one that breaks it. Run by test_contracts.py."""

import numpy as np
import pytest

from memex_audit.testing import EmbedderContract


class Good:
    """Means of a 4 x 4 grid of cells, with their own mean taken off."""

    name, dimension, duplicate_similarity = "cells", 48, 0.99

    def cells(self, image):
        rows, columns = (np.linspace(0, side, 5).astype(int) for side in image.shape[:2])
        sums = np.add.reduceat(np.add.reduceat(image.astype(float), rows[:-1], 0), columns[:-1], 1)
        means = sums / np.outer(np.diff(rows), np.diff(columns))[..., None]
        return (means - means.mean()).ravel()

    def embed(self, images):
        vectors = np.stack([self.cells(image) for image in images]).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Contract(EmbedderContract):
    breaks = ()

    @pytest.fixture
    def memex_embedder(self):
        return self.Subject()


class TestGood(Contract):
    Subject = Good


class TestNameless(Contract):
    breaks = ("test_it_offers_what_an_embedder_must",)

    class Subject(Good):
        name = ""


class TestWithoutDimension(Contract):
    breaks = ("test_it_offers_what_an_embedder_must", "test_pictures_of_any_size_become_float32_vectors")

    class Subject(Good):
        @property
        def dimension(self):
            raise AttributeError


class TestNoDimensions(Contract):
    breaks = ("test_it_offers_what_an_embedder_must", "test_pictures_of_any_size_become_float32_vectors")

    class Subject(Good):
        dimension = 0


class TestAngle(Contract):
    breaks = ("test_it_offers_what_an_embedder_must", "test_near_copies_are_above_the_duplicate_similarity")

    class Subject(Good):
        duplicate_similarity = 2.5


class TestDoubles(Contract):
    breaks = ("test_pictures_of_any_size_become_float32_vectors",)

    class Subject(Good):
        def embed(self, images):
            return super().embed(images).astype(np.float64)


class TestLonger(Contract):
    breaks = (
        "test_vectors_have_unit_norm",
        "test_identical_pictures_have_a_cosine_of_one",
        "test_near_copies_are_above_the_duplicate_similarity",
    )

    class Subject(Good):
        def embed(self, images):
            return super().embed(images) * np.float32(0.9)


class TestSorted(Contract):
    breaks = ("test_vectors_stand_in_the_order_of_the_pictures", "test_a_vector_does_not_depend_on_the_batch",
              "test_identical_pictures_have_a_cosine_of_one")  # fmt: skip

    class Subject(Good):
        def embed(self, images):
            vectors = super().embed(images)
            return vectors[np.argsort(vectors[:, 0], kind="stable")]


class TestBatchNormalized(Contract):
    breaks = ("test_a_vector_does_not_depend_on_the_batch",)

    class Subject(Good):
        def embed(self, images):
            vectors = super().embed(images)
            vectors[:, 0] += 0.05 / len(images)
            return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class TestNoisy(Contract):
    breaks = (
        "test_identical_pictures_have_a_cosine_of_one",
        "test_a_vector_does_not_depend_on_the_batch",
    )

    class Subject(Good):
        duplicate_similarity = 0.97
        random = np.random.default_rng(0)

        def embed(self, images):
            vectors = super().embed(images)
            vectors += self.random.normal(0, 0.01, vectors.shape).astype(np.float32)
            return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class TestStrict(Contract):
    breaks = ("test_near_copies_are_above_the_duplicate_similarity",)

    class Subject(Good):
        duplicate_similarity = 1.0


class TestEverythingIsNear(Contract):
    breaks = ("test_different_pictures_are_below_the_duplicate_similarity",)

    class Subject(Good):
        duplicate_similarity = 0.01


class TestWritesIntoThePictures(Contract):
    breaks = ("test_the_pictures_are_left_as_they_are", "test_a_vector_does_not_depend_on_the_batch")

    class Subject(Good):
        def embed(self, images):
            vectors = super().embed(images)
            for image in images:
                image[0, 0] ^= 255
            return vectors
