import numpy as np

from memex_audit.training_set import duplicates
from memex_audit.training_set.duplicates import count_duplicates, find_duplicates, group_images

NONE = np.empty((0, 2), dtype=np.int64)


def test_a_chain_is_one_group_but_does_not_inflate_the_counts_of_its_ends():
    chain = np.array([[0, 1], [1, 2]])
    assert count_duplicates(chain, 3).tolist() == [2, 3, 2]
    assert group_images(chain, 3).tolist() == [0, 0, 0]


def test_a_unique_image_counts_one_and_is_a_group_of_its_own():
    assert count_duplicates(NONE, 3).tolist() == [1, 1, 1]
    assert group_images(NONE, 3).tolist() == [0, 1, 2]


def test_no_images_have_no_counts():
    assert count_duplicates(NONE, 0).shape == group_images(NONE, 0).shape == (0,)


def test_groups_are_numbered_by_their_first_image():
    assert group_images(np.array([[2, 5], [1, 3]]), 6).tolist() == [0, 1, 2, 1, 3, 2]


def test_blocks_give_what_all_pairs_at_once_give(monkeypatch):
    monkeypatch.setattr(duplicates, "PAIRS_AT_A_TIME", 3)
    blocks = [np.array([[0, 9]]), NONE, np.array([[1, 2], [2, 3], [8, 9]]), np.array([[3, 8]])]
    found = find_duplicates(iter(blocks), 10)
    assert found.counts.tolist() == [2, 2, 3, 3, 1, 1, 1, 1, 3, 3]
    assert found.groups.tolist() == [0, 0, 0, 0, 1, 2, 3, 4, 0, 0]


def test_no_blocks_at_all_are_unique_images():
    found = find_duplicates(iter([]), 2)
    assert found.counts.tolist() == [1, 1]
    assert found.groups.tolist() == [0, 1]
