"""Replicas of near-copies are replicas of one image; a few pictures are kept to be shown."""

import numpy as np

from memex_audit.untargeted.replicas import MOST_PICTURES, Replica, Replicas

GROUPS = {"a": 0, "a again": 0, "b": 1, "c": 2}


def replica(example_id, adaptive, seed=0):
    pixels = np.full((4, 4, 3), seed, np.uint8)
    return Replica(example_id=example_id, distance=adaptive / 5, adaptive=adaptive, seed=seed, pixels=pixels)


def test_copies_are_one_image_that_is_named_by_the_nearest():
    taken = Replicas(GROUPS)
    for one in (replica("b", 0.5), replica("a", 0.4), replica("a again", 0.2), replica("c", 0.1)):
        taken.add(one)
    assert len(taken) == 4
    assert [(image.example_id, image.generations, image.adaptive) for image in taken.images()] == [
        ("a again", 2, 0.2),
        ("c", 1, 0.1),
        ("b", 1, 0.5),
    ]


def test_of_many_replicas_a_few_pictures_are_kept():
    taken = Replicas(GROUPS)
    for seed in range(9):
        taken.add(replica("a", 0.2 + seed / 100, seed))
    ((name, pictures),) = taken.pictures()
    assert name == "a"
    assert len(pictures) == MOST_PICTURES
    assert taken.images()[0].generations == 9


def test_an_image_that_no_group_knows_is_one_by_itself():
    taken = Replicas({})
    taken.add(replica("x", 0.1))
    taken.add(replica("y", 0.2))
    assert [image.example_id for image in taken.images()] == ["x", "y"]
