import os
import subprocess
import sys

import pytest

from memex_audit.errors import TrainingSetError
from memex_audit.training_set import open_training_set
from memex_audit.training_set.image_folder import ImageFolder
from memex_audit.training_set.parquet_set import ParquetSet


@pytest.fixture
def parquet(tmp_path, png, picture):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "set.parquet"
    pq.write_table(pa.table({"image": [png(picture(0))], "text": ["a cat"]}), path)
    return path


def test_a_parquet_file_and_a_folder_of_them_are_parquet_sets(parquet, tmp_path):
    assert isinstance(open_training_set(parquet), ParquetSet)
    below = tmp_path / "hub" / "data"
    below.mkdir(parents=True)
    parquet.rename(below / "train-00000.parquet")
    assert [example.id for example in open_training_set(str(tmp_path / "hub")).examples()] == [
        "train-00000:0"
    ]


def test_a_folder_of_pictures_is_an_image_folder(folder):
    assert isinstance(open_training_set(folder({"a.png": 1, "a.txt": "a cat"})), ImageFolder)


def test_the_location_is_the_path_that_was_given(parquet, folder):
    root = folder({"a.png": 1, "a.txt": "a cat"})
    assert open_training_set(root).location == str(root)
    assert open_training_set(parquet).location == str(parquet)


def test_hidden_files_and_folders_are_not_looked_at(folder):
    root = folder({"a.png": 1, "a.txt": "a cat", "._a.png": "resource fork", ".memex/b.png": 2})
    training_set = open_training_set(root)
    assert [example.id for example in training_set.examples()] == ["a.png"]
    assert training_set.set_aside == ()


def test_linked_folders_are_followed_once(folder):
    root = folder({"a/x.png": 1, "a/x.txt": "a cat"})
    (root / "a" / "round").symlink_to(root, target_is_directory=True)
    outside = root.parent / "outside"
    outside.mkdir()
    (root / "a" / "x.png").rename(outside / "y.png")
    (outside / "y.txt").write_text("a dog")
    (root / "b").symlink_to(outside, target_is_directory=True)
    assert [example.id for example in open_training_set(root).examples()] == ["b/y.png"]


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(
        TrainingSetError, match=r"must be a file or folder, got .*nowhere, which does not exist"
    ):
        open_training_set(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("files", "got"), [({}, "an empty folder"), ({"notes.md": "x", "model.bin": "y"}, "2 other files")]
)
def test_a_folder_with_nothing_to_read_says_what_it_holds(folder, tmp_path, files, got):
    (tmp_path / "set").mkdir()
    with pytest.raises(TrainingSetError, match=rf"set must be a Parquet file, .*with captions, got {got};"):
        open_training_set(folder(files))


def test_a_single_file_of_another_kind_is_refused(folder):
    root = folder({"a.png": 1})
    with pytest.raises(TrainingSetError, match=r"a\.png must be a Parquet file, .*got another file"):
        open_training_set(root / "a.png")


def test_two_kinds_in_one_folder_are_refused(folder, parquet):
    root = folder({"a.png": 1, "a.txt": "a cat"})
    parquet.rename(root / "set.parquet")
    with pytest.raises(
        TrainingSetError, match="one kind of training set, got 1 Parquet files and 1 pictures; give"
    ):
        open_training_set(root)


def test_importing_the_stage_loads_no_heavy_library():
    heavy = ("numpy", "torch", "open_clip", "faiss", "pyarrow", "PIL", "scipy", "huggingface_hub")
    code = f"import sys, memex_audit.training_set; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.strip() == "[]"
