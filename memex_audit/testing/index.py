"""Rules for whatever finds neighbours among unit vectors."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest

from memex_audit.protocols import Index
from memex_audit.testing.rules import require, require_attributes

if TYPE_CHECKING:
    from numpy.typing import NDArray

N = 60
DIMENSION = 16
NEIGHBORS = 9


class IndexContract:
    """Rules that every Index keeps, a test each.

    Define `build`; the contract has its own vectors, so that it knows the right answers.

    Attributes:
        tolerance: how far a cosine may lie from the exact one.
    """

    tolerance: ClassVar[float] = 1e-5

    def build(self, embeddings: "NDArray[np.float32]", example_ids: Sequence[str]) -> Index:
        """Return the index under test, over these unit vectors (n, d) of these n examples."""
        raise NotImplementedError("an IndexContract must define build(self, embeddings, example_ids)")

    @pytest.fixture
    def embeddings(self) -> "NDArray[np.float32]":
        """Unit vectors, the last of them equal to the first."""
        vectors = _unit_vectors(N, seed=0)
        vectors[-1] = vectors[0]
        return vectors

    @pytest.fixture
    def example_ids(self) -> list[str]:
        """Their ids, in no order of their own."""
        return [f"example-{(7 * i) % N}" for i in range(N)]

    @pytest.fixture
    def index(self, embeddings: "NDArray[np.float32]", example_ids: list[str]) -> Index:
        """The index over them."""
        return self.build(embeddings, example_ids)

    def test_it_offers_what_an_index_must(self, index: Index, example_ids: list[str]) -> None:
        """`example_ids`, in the order of the vectors, and `search`."""
        require_attributes(index, "Index", ("example_ids", "search"))
        found = list(index.example_ids)
        require(
            found == example_ids,
            f"`example_ids` must be those it was built from, in order, got {found[:3]}... "
            f"of {example_ids[:3]}...",
        )

    def test_it_answers_with_float32_cosines_and_int64_rows(self, index: Index) -> None:
        """Each of shape (queries, n)."""
        cosines, rows = index.search(_unit_vectors(5, seed=1), 3)
        found = [(np.asarray(array).dtype.name, np.shape(array)) for array in (cosines, rows)]
        require(
            found == [("float32", (5, 3)), ("int64", (5, 3))],
            f"`search` must give float32 cosines and int64 rows of shape (5, 3) each, got {found}.",
        )

    def test_the_nearest_are_those_of_brute_force(
        self, index: Index, embeddings: "NDArray[np.float32]"
    ) -> None:
        """No neighbour is missed. Told by cosines, so that ties may stand in any order."""
        queries = _unit_vectors(23, seed=2)
        exact = -np.sort(-_cosines(queries, embeddings), axis=1)[:, :NEIGHBORS]
        rows = np.asarray(index.search(queries, NEIGHBORS)[1])
        found = -np.sort(-np.take_along_axis(_cosines(queries, embeddings), rows, axis=1), axis=1)
        off = float(np.abs(found - exact).max())
        distinct = all(len(set(row)) == NEIGHBORS for row in rows.tolist())
        require(
            off <= self.tolerance and distinct,
            f"the {NEIGHBORS} nearest must be those of brute force, each once, got others that are up to "
            f"{off:.3g} farther: an approximate index misses copies.",
        )

    def test_a_cosine_is_that_of_its_row(self, index: Index, embeddings: "NDArray[np.float32]") -> None:
        """Cosines, not squared distances or angles."""
        queries = _unit_vectors(23, seed=3)
        cosines, rows = index.search(queries, NEIGHBORS)
        exact = np.take_along_axis(_cosines(queries, embeddings), np.asarray(rows), axis=1)
        off = float(np.abs(np.asarray(cosines) - exact).max())
        require(
            off <= self.tolerance,
            f"a neighbour's cosine must be that of query and row, within {self.tolerance:g}, got one off by "
            f"{off:.3g}.",
        )

    def test_the_nearest_comes_first(self, index: Index) -> None:
        """Cosines fall along a row."""
        cosines = np.asarray(index.search(_unit_vectors(23, seed=4), NEIGHBORS)[0], dtype=np.float64)
        rise = float(np.diff(cosines, axis=1).max())
        require(
            rise <= 0, f"neighbours must stand nearest first, got a cosine that is {rise:.3g} above the last."
        )

    def test_a_vector_of_the_set_finds_itself(self, index: Index, embeddings: "NDArray[np.float32]") -> None:
        """At a cosine of 1; one that stands twice finds both."""
        cosines, rows = index.search(embeddings, 2)
        missed = [i for i, row in enumerate(np.asarray(rows).tolist()) if i not in row]
        least = float(np.asarray(cosines)[:, 0].min())
        require(
            not missed and least >= 1 - self.tolerance,
            f"every vector must find itself at a cosine of 1, got rows {missed} that do not, and a nearest "
            f"cosine of {least:.6g}.",
        )

    def test_asking_for_more_than_there_are_gives_all(
        self, index: Index, embeddings: "NDArray[np.float32]"
    ) -> None:
        """Each once, and no filler such as row -1."""
        rows = np.asarray(index.search(_unit_vectors(2, seed=5), len(embeddings) + 5)[1])
        require(
            [sorted(row) for row in rows.tolist()] == [list(range(len(embeddings)))] * len(rows),
            f"asking for {len(embeddings) + 5} of {len(embeddings)} must give every row once, got rows of "
            f"shape {rows.shape} from {rows.min(initial=0)} to {rows.max(initial=0)}.",
        )

    def test_a_set_of_one_is_searched_too(self) -> None:
        """A fine-tune may have one training image."""
        cosines, rows = self.build(_unit_vectors(1, seed=6), ["only"]).search(_unit_vectors(3, seed=7), 4)
        require(
            np.asarray(rows).tolist() == [[0]] * 3 and np.shape(cosines) == (3, 1),
            f"a set of one must answer with its one row, got rows {np.asarray(rows).tolist()}.",
        )


def _unit_vectors(n: int, *, seed: int) -> "NDArray[np.float32]":
    vectors = np.random.default_rng(seed).standard_normal((n, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _cosines(queries: "NDArray[np.float32]", embeddings: "NDArray[np.float32]") -> "NDArray[np.float64]":
    return queries.astype(np.float64) @ embeddings.astype(np.float64).T
