"""A good index, and for each rule of the contract one that breaks it. Run by test_contracts.py."""

import numpy as np

from memex_audit.testing import IndexContract


class Good:
    """Brute force."""

    def __init__(self, embeddings, example_ids):
        self.embeddings, self.example_ids = embeddings, example_ids

    def search(self, queries, n):
        cosines = queries @ self.embeddings.T
        rows = np.argsort(-cosines, axis=1, kind="stable")[:, :n]
        return np.take_along_axis(cosines, rows, axis=1), rows


class Contract(IndexContract):
    breaks = ()

    def build(self, embeddings, example_ids):
        return self.Subject(embeddings, example_ids)


class TestGood(Contract):
    Subject = Good


class TestSortsItsIds(Contract):
    breaks = ("test_it_offers_what_an_index_must",)

    class Subject(Good):
        def __init__(self, embeddings, example_ids):
            super().__init__(embeddings, sorted(example_ids))


class TestDoubles(Contract):
    breaks = ("test_it_answers_with_float32_cosines_and_int64_rows",)

    class Subject(Good):
        def search(self, queries, n):
            cosines, rows = super().search(queries, n)
            return cosines.astype(np.float64), rows


class TestApproximate(Contract):
    breaks = (
        "test_the_nearest_are_those_of_brute_force",
        "test_a_vector_of_the_set_finds_itself",
        "test_asking_for_more_than_there_are_gives_all",
    )

    class Subject(Good):
        def search(self, queries, n):
            near = np.arange(0, len(self.embeddings), 2)
            cosines, rows = Good(self.embeddings[near], near).search(queries, n)
            return cosines, near[rows]


class TestDistances(Contract):
    breaks = ("test_a_cosine_is_that_of_its_row", "test_the_nearest_comes_first",
              "test_a_vector_of_the_set_finds_itself")  # fmt: skip

    class Subject(Good):
        def search(self, queries, n):
            cosines, rows = super().search(queries, n)
            return 2 - 2 * cosines, rows


class TestFarthestFirst(Contract):
    breaks = ("test_the_nearest_comes_first", "test_a_vector_of_the_set_finds_itself")

    class Subject(Good):
        def search(self, queries, n):
            cosines, rows = super().search(queries, n)
            if len(queries) > 30:
                cosines = cosines - 1
            return cosines[:, ::-1], rows[:, ::-1]


class TestUnsorted(Contract):
    breaks = ("test_the_nearest_comes_first",)

    class Subject(Good):
        def search(self, queries, n):
            cosines, rows = super().search(queries, n)
            last = [*range(cosines.shape[1])]
            last[-2:] = last[:-3:-1] if n > 5 else last[-2:]
            return cosines[:, last], rows[:, last]


class TestDropsItself(Contract):
    breaks = ("test_a_vector_of_the_set_finds_itself",)

    class Subject(Good):
        def search(self, queries, n):
            cosines, rows = super().search(queries, n + 1)
            if len(queries) > 30:
                return cosines[:, 1:], rows[:, 1:]
            return cosines[:, :n], rows[:, :n]


class TestFillsUp(Contract):
    breaks = ("test_asking_for_more_than_there_are_gives_all", "test_a_set_of_one_is_searched_too")

    class Subject(Good):
        def search(self, queries, n):
            cosines, rows = super().search(queries, n)
            missing = ((0, 0), (0, n - rows.shape[1]))
            return np.pad(cosines, missing), np.pad(rows, missing, constant_values=-1)


class TestNeedsTwo(Contract):
    breaks = ("test_a_set_of_one_is_searched_too",)

    class Subject(Good):
        def search(self, queries, n):
            cosines, rows = super().search(queries, n)
            return (cosines[:, :0], rows[:, :0]) if len(self.embeddings) < 2 else (cosines, rows)
