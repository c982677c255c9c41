import os
import re
from pathlib import Path

import numpy as np
import pytest

from memex_audit.errors import TrainingSetError
from memex_audit.training_set import open_training_set


def read(root):
    """Return captions by id, and the reasons by what was set aside."""
    training_set = open_training_set(root)
    captions = {example.id: example.caption for example in training_set.examples()}
    return captions, {item.what: item.reason for item in training_set.set_aside}


def test_text_files_beside_the_pictures_are_their_captions(folder):
    captions, set_aside = read(
        folder({"b/y.JPG": 1, "b/y.txt": " a dog\n", "a.webp": 2, "a.txt": "\ufeffa cat"})
    )
    assert list(captions.items()) == [("a.webp", "a cat"), ("b/y.JPG", "a dog")]
    assert set_aside == {}


@pytest.mark.parametrize("column", ["text", "caption"])
def test_metadata_files_name_pictures_relative_to_themselves(folder, column):
    root = folder(
        {
            "x.png": 1,
            "train/y.png": 2,
            "metadata.csv": f'\ufefffile_name,{column}\nx.png,"a cat, sitting"\n',
            "train/metadata.jsonl": f'\n{{"file_name": "y.png", "{column}": "a dog"}}\n',
        }
    )
    assert read(root) == ({"train/y.png": "a dog", "x.png": "a cat, sitting"}, {})


def test_a_picture_with_several_captions_is_several_examples(folder, picture):
    root = folder({"x.png": 1, "metadata.csv": "file_name,text\nx.png,a cat\nx.png,an animal\n"})
    assert read(root)[0] == {"x.png": "a cat", "x.png#2": "an animal"}
    first, second = open_training_set(root).load(["x.png", "x.png#2"])
    np.testing.assert_array_equal(first, picture(1))
    np.testing.assert_array_equal(second, picture(1))


def test_every_unusable_sidecar_or_picture_is_counted_and_loses_nothing_else(folder):
    captions, set_aside = read(
        folder(
            {
                "good.png": 1,
                "good.txt": "a cat",
                "alone.png": 2,
                "orphan.txt": "a dog",
                "blank.png": 3,
                "blank.txt": " \n",
                "latin.png": 4,
                "latin.txt": "caf\xe9".encode("latin-1"),
                "empty.png": "",
                "empty.txt": "nothing",
                "broken.png": "<html>",
                "broken.txt": "a page",
            }
        )
    )
    # Without a caption it is still a training image: no prompt is made of it, but it can be given back.
    assert captions == {"good.png": "a cat", "alone.png": "", "blank.png": "", "latin.png": ""}
    assert set_aside == {
        "alone.png": "picture without a caption: no alone.txt",
        "orphan.txt": "caption without a picture",
        "blank.txt": "empty caption",
        "latin.txt": "caption cannot be read: not UTF-8",
        "empty.png": "empty file",
        "broken.png": "no known image format",
    }


def test_what_is_no_regular_file_is_set_aside_and_never_waited_for(folder):
    root = folder({"good.png": 1, "good.txt": "a cat", "dangling.txt": "a dog", "pipe.txt": "a bird"})
    (root / "dangling.png").symlink_to("nowhere.png")
    os.mkfifo(root / "pipe.png")
    (root / "piped.png").write_bytes((root / "good.png").read_bytes())
    os.mkfifo(root / "piped.txt")
    (root / "folder.png").mkdir()
    assert read(root) == (
        {"good.png": "a cat", "piped.png": ""},
        {
            "dangling.png": "cannot be read: No such file or directory",
            "pipe.png": "cannot be read: no regular file",
            "piped.txt": "caption cannot be read: no regular file",
        },
    )
    training_set = open_training_set(root)
    assert training_set.stat_fingerprint() == open_training_set(root).stat_fingerprint()
    assert training_set.content_fingerprint() == open_training_set(root).content_fingerprint()


def test_a_folder_that_cannot_be_listed_is_set_aside(folder, monkeypatch):
    root = folder({"good.png": 1, "good.txt": "a cat", "lost+found/bad.png": 2, "lost+found/bad.txt": "x"})
    scan = os.scandir

    def refuse(path):
        if os.fspath(path).endswith("lost+found"):
            raise PermissionError(13, "Permission denied", path)  # root itself may list what it likes
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert read(root) == (
        {"good.png": "a cat"},
        {"lost+found": "folder cannot be read: Permission denied"},
    )


@pytest.mark.parametrize("suffix", ["avif", "bmp", "gif", "jfif", "JPEG", "tif", "tiff", "webp"])
def test_a_picture_of_every_usual_kind_is_one(folder, png, picture, suffix):
    kind = {"jfif": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper())
    root = folder({f"x.{suffix}": png(picture(0), kind), "x.txt": "a cat"})
    (example,) = open_training_set(root).examples()
    assert (example.id, example.caption) == (f"x.{suffix}", "a cat")
    assert example.pixels.shape == (8, 8, 3)


def test_every_unusable_line_of_a_metadata_file_is_counted(folder):
    lines = ["file_name,text", "a.png,a cat, sitting", "b.png,", "../c.png,a dog", "d.png", "e.png,a bird"]
    captions, set_aside = read(folder({"metadata.csv": "\n".join(lines), "a.png": 1, "b.png": 2, "e.png": 3}))
    assert captions == {"e.png": "a bird", "a.png": "", "b.png": ""}
    assert set_aside == {
        "metadata.csv line 2": "more fields than columns; quote a text that holds a comma",
        "metadata.csv line 3": "empty caption of b.png",
        "metadata.csv line 4": "caption without a picture: ../c.png is no avif, bmp, gif, jfif, jpeg, jpg, "
        "png, tif, tiff, webp here",
        "metadata.csv line 5": "fewer fields than columns",
        "a.png": "picture without a caption: no metadata file names it",
        "b.png": "picture without a caption: no metadata file names it",
    }


def test_every_unusable_line_of_a_jsonl_file_is_counted(folder):
    lines = [
        b"{",
        b"[1]",
        b'{"file_name": "a.png"}',
        b'{"file_name": "a.png", "text": 3}',
        b'{"file_name": "a.png", "text": "caf\xe9"}',
        b'{"file_name": "a.png", "text": "a \\ud83d cat"}',
        b'{"file_name": "a.png", "text": "a cat"}',
    ]
    captions, set_aside = read(folder({"metadata.jsonl": b"\n".join(lines), "a.png": 1}))
    assert captions == {"a.png": "a cat"}
    assert list(set_aside) == [f"metadata.jsonl line {number}" for number in range(1, 7)]
    no_json, no_object, no_text, no_string, no_utf8, no_pair = set_aside.values()
    assert no_json.startswith("no JSON: Expecting")
    assert no_object == "no JSON object, but list"
    assert no_text == "no text or caption"
    assert no_string == "file_name and text must be strings, got 'a.png' and 3"
    assert no_utf8 == "not UTF-8"
    assert no_pair == "half of a surrogate pair, which is no text"


def test_a_file_name_that_is_no_text_is_set_aside_and_others_are_read(folder):
    root = folder({"good.png": 1, "good.txt": "a cat"})
    for suffix in (b".png", b".txt"):
        Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9" + suffix)).write_bytes(b"")
    assert read(root) == (
        {"good.png": "a cat"},
        {"caf\\xe9.png": "file name is not UTF-8", "caf\\xe9.txt": "file name is not UTF-8"},
    )


def test_a_readme_is_no_caption_where_there_is_a_metadata_file(folder):
    root = folder({"metadata.csv": "file_name,text\na.png,a cat\n", "a.png": 1, "README.txt": "about"})
    assert read(root) == ({"a.png": "a cat"}, {})


def test_pictures_without_any_caption_source_are_an_error(folder):
    with pytest.raises(
        TrainingSetError,
        match=r"set must hold a caption for each picture, got pictures only; put a metadata.csv",
    ):
        open_training_set(folder({"a.png": 1}))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("name,text\n", "must have a column file_name, got columns name, text; name it in the first line"),
        ("file_name\n", "must have a column text or caption, got columns file_name"),
        ("", "must have a column file_name, got columns none"),
        ('file_name,text\na.png,"a cat\n', "must be CSV, got after line 1: unexpected end of data; quote"),
        (b"file_name,text\na.png,caf\xe9\n", "must be UTF-8, got other bytes after line "),
    ],
)
def test_a_metadata_file_that_cannot_be_understood_is_an_error(folder, metadata, message):
    training_set = open_training_set(folder({"metadata.csv": metadata, "a.png": 1}))
    with pytest.raises(TrainingSetError, match=re.escape("metadata.csv ") + message):
        list(training_set.examples())


def test_an_unknown_id_and_a_picture_gone_bad_are_named(folder):
    root = folder({"a.png": 1, "a.txt": "a cat"})
    training_set = open_training_set(root)
    with pytest.raises(TrainingSetError, match=r"must be one of .*set, got 'b.png'; mine the set again"):
        training_set.load(["b.png"])
    (root / "a.png").write_bytes(b"")
    with pytest.raises(
        TrainingSetError, match=r"a\.png must be a picture, got: empty file; mine the set again"
    ):
        training_set.load(["a.png"])
    (root / "a.png").unlink()
    with pytest.raises(
        TrainingSetError, match=r"a\.png must be a picture, got: cannot be read: No such file"
    ):
        training_set.load(["a.png"])


def test_what_was_set_aside_is_that_of_the_last_full_pass(folder):
    training_set = open_training_set(folder({"a.png": "", "a.txt": "x", "b.png": 1, "b.txt": "y"}))
    next(iter(training_set.examples()))
    assert training_set.set_aside == ()
    list(training_set.examples())
    list(training_set.examples())
    assert [item.what for item in training_set.set_aside] == ["a.png"]


def test_a_picture_of_too_many_pixels_is_set_aside_and_the_others_are_read(folder, png):
    large = png(np.zeros((9, 8, 3), dtype=np.uint8))
    root = folder({"a.png": 1, "a.txt": "one", "b.png": large, "b.txt": "two"})
    training_set = open_training_set(root, max_pixels=64)
    assert [example.id for example in training_set.examples()] == ["a.png"]
    (aside,) = training_set.set_aside
    assert (aside.what, aside.reason.partition(":")[0]) == ("b.png", "too large")
    with pytest.raises(TrainingSetError, match=r"b\.png must be a picture, got: too large: 8 x 9 pixels"):
        training_set.load(["b.png"])
