"""Canaries are a function of the seed, and unlike each other and the training set."""

import csv
import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from memex_audit.canaries.captions import draw_captions, word_pairs
from memex_audit.canaries.making import Plan, make_canaries
from memex_audit.canaries.pictures import LEAST_L2, cell_l2, cell_means, draw_pictures
from memex_audit.errors import CanaryError
from memex_audit.extraction.distances import l2
from memex_audit.records import TrainingExample
from memex_audit.training_set import open_training_set


class Examples:
    """A training set of these examples."""

    location = "examples"

    def __init__(self, *examples: tuple[str, np.ndarray]) -> None:
        self._examples = examples

    def examples(self):
        for number, (caption, pixels) in enumerate(self._examples):
            yield TrainingExample(id=str(number), caption=caption, pixels=pixels)


def plan(**changes) -> Plan:
    return Plan(**{"repetitions": (1, 3), "each": 2, "references": 5, "size": (32, 24), "seed": 7, **changes})


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_seed_makes_the_same_files_and_another_seed_others(tmp_path):
    for name, seed in (("one", 7), ("same", 7), ("other", 8)):
        make_canaries(tmp_path / name, plan(seed=seed))
    one, same, other = (files(tmp_path / name) for name in ("one", "same", "other"))
    assert one == same
    assert one["canaries.json"] != other["canaries.json"]
    assert one["pictures/reference-004.png"] != other["pictures/reference-004.png"]


def test_what_is_planted_is_an_image_folder_with_a_file_for_each_repetition(tmp_path):
    made = make_canaries(tmp_path / "canaries", plan())
    examples = list(open_training_set(tmp_path / "canaries" / "planted").examples())
    assert len(examples) == 2 * 1 + 2 * 3
    for canary in made.planted:
        copies = [example for example in examples if example.caption == canary.caption]
        assert len(copies) == canary.repetitions
        picture = np.asarray(Image.open(made.folder / canary.picture))
        assert all(np.array_equal(example.pixels, picture) for example in copies)
        assert picture.shape == (32, 24, 3)


def test_references_are_kept_out_of_what_is_planted(tmp_path):
    made = make_canaries(tmp_path / "canaries", plan())
    assert [canary.repetitions for canary in made.canaries] == [1, 1, 3, 3, 0, 0, 0, 0, 0]
    planted = (tmp_path / "canaries" / "planted" / "metadata.csv").read_text()
    hashes = {
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (tmp_path / "canaries" / "planted").glob("*.png")
    }
    for reference in made.references:
        assert reference.caption not in planted
        assert reference.sha256 not in hashes
    assert len(list(csv.reader(planted.splitlines()))) == 1 + 8


def test_which_picture_is_planted_is_drawn_and_not_the_order_that_they_were_made_in(tmp_path):
    made = make_canaries(tmp_path / "canaries", plan(references=20))
    drawn = list(draw_pictures(24, height=32, width=24, seed=7))
    first = np.asarray(Image.open(made.folder / made.canaries[0].picture))
    assert any(np.array_equal(first, picture) for picture in drawn)
    in_order = [
        np.array_equal(np.asarray(Image.open(made.folder / canary.picture)), picture)
        for canary, picture in zip(made.canaries, drawn, strict=True)
    ]
    assert sum(in_order) < 12


def test_canaries_like_the_training_set_are_left_out(tmp_path):
    without = make_canaries(tmp_path / "without", plan())
    taken = without.planted[0]
    picture = np.asarray(Image.open(without.folder / taken.picture))
    one, two, *_ = taken.caption.split()
    known = Examples(
        (f"A {two} beside the {one}", picture), ("no words of ours", np.zeros((4, 4, 3), np.uint8))
    )
    made = make_canaries(tmp_path / "with", plan(), known)
    assert not any({one, two} <= set(canary.caption.split()) for canary in made.canaries)
    others = [np.asarray(Image.open(made.folder / canary.picture)) for canary in made.canaries]
    assert min(l2(picture, other) for other in others) >= 0.2


def test_a_training_set_that_leaves_too_few_is_refused(tmp_path):
    known = Examples(*((caption, np.zeros((8, 8, 3), np.uint8)) for caption in draw_captions(21, seed=7)))
    with pytest.raises(
        CanaryError, match=r"^9 canaries must be unlike all of examples, got 0 of 21 drawn; ask for"
    ):
        make_canaries(tmp_path / "canaries", plan(), known)
    assert not any(tmp_path.iterdir())


def test_a_folder_that_holds_something_is_left_as_it_is(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(
        CanaryError, match=r"FOLDER must be a new or empty folder, got .*, which holds something"
    ):
        make_canaries(tmp_path, plan())
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_filled_and_nothing_half_made_stands_beside_it(tmp_path):
    (tmp_path / "canaries").mkdir()
    make_canaries(tmp_path / "canaries", plan())
    assert [path.name for path in tmp_path.iterdir()] == ["canaries"]
    assert json.loads((tmp_path / "canaries" / "canaries.json").read_text())["version"] == 1


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        CanaryError, match=r"FOLDER must be a folder that can be written, got .*; name another"
    ):
        make_canaries(tmp_path / "file" / "canaries", plan())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"repetitions": (1, 0)},
            r"--repetitions must be whole numbers of at least 1 .*, got 1,0; what is never",
        ),
        ({"repetitions": ()}, "--repetitions must be whole numbers of at least 1 .*, got none"),
        ({"repetitions": (4, 4)}, "--repetitions must differ, got 4,4; --each says"),
        ({"each": 0}, "--each must be at least 1, got 0"),
        ({"references": 0}, "--reference must be at least 1, got 0; exposure needs"),
        ({"size": (7, 32)}, "--size must have sides of 8 to 4096 pixels, got 7x32"),
        ({"size": (32, 5000)}, "--size must have sides of 8 to 4096 pixels, got 32x5000"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_with_its_option(changes, said):
    with pytest.raises(CanaryError, match=said):
        plan(**changes)


def test_captions_share_at_most_one_word_with_each_other():
    captions = list(draw_captions(120, seed=3))
    assert all(len(set(caption.split())) == 4 for caption in captions)
    pairs = [pair for caption in captions for pair in word_pairs(caption.split())]
    assert len(pairs) == len(set(pairs)) == 120 * 6


def test_the_cells_of_a_picture_are_the_means_of_its_parts():
    picture = np.zeros((16, 8, 3), np.uint8)
    picture[0:2, 0] = (255, 51, 0)
    picture[2, 0] = (255, 255, 255)
    cells = cell_means(picture)
    assert cells.shape == (8, 8, 3)
    assert cells[0, 0].tolist() == [1.0, 0.2, 0.0]
    assert cells[1, 0].tolist() == [0.5, 0.5, 0.5]
    assert cell_l2(cells, cells) == 0


def test_pictures_of_any_size_are_far_from_each_other():
    for height, width in ((8, 8), (33, 50)):
        pictures = list(draw_pictures(6, height=height, width=width, seed=1))
        cells = [cell_means(picture) for picture in pictures]
        assert all(cell_l2(a, b) >= LEAST_L2 for i, a in enumerate(cells) for b in cells[:i])
        assert {picture.shape for picture in pictures} == {(height, width, 3)}
