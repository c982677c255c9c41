import io
import json
import tarfile

import numpy as np
import pytest

from memex_audit.errors import TrainingSetError
from memex_audit.training_set import open_training_set


@pytest.fixture
def write(tmp_path, png, picture):
    """Write a tar of files: bytes as given, text, or the picture of a number; links by ("link", target)."""

    def make(files, name="set/00000.tar"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w") as archive:
            for inside, content in files:
                member = tarfile.TarInfo(inside)
                if isinstance(content, tuple):
                    member.type, member.linkname = tarfile.SYMTYPE, content[1]
                    archive.addfile(member)
                    continue
                data = png(picture(content)) if isinstance(content, int) else content
                data = data.encode() if isinstance(data, str) else data
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        return path

    return make


def read(path, **options):
    training_set = open_training_set(path, **options)
    examples = list(training_set.examples())
    return examples, {item.what: item.reason for item in training_set.set_aside}


def test_files_of_one_name_are_a_sample_wherever_they_stand(write, picture):
    path = write(
        [
            ("a.png", 1), ("b.PNG", 2), ("a.txt", " a cat\n"), ("b.json", json.dumps({"caption": "a dog"})),
            ("a.sha256", "0" * 64), ("below/a.png", 3), ("below/a.json", json.dumps({"text": "a sun"})),
        ]
    )  # fmt: skip
    examples, set_aside = read(path)
    assert [(example.id, example.caption) for example in examples] == [
        ("00000:a", "a cat"), ("00000:b", "a dog"), ("00000:below/a", "a sun"),
    ]  # fmt: skip
    assert set_aside == {}
    loaded = open_training_set(path).load(["00000:below/a", "00000:a"])
    for number, pixels in zip((3, 1), loaded, strict=True):
        np.testing.assert_array_equal(pixels, picture(number))


def test_a_text_goes_before_a_json_and_an_empty_one_gives_way(write):
    both = json.dumps({"caption": "of the json"})
    path = write(
        [
            ("a.png", 1),
            ("a.json", both),
            ("a.txt", "of the text"),
            ("b.png", 2),
            ("b.txt", " "),
            ("b.json", both),
        ]
    )
    assert [example.caption for example in read(path)[0]] == ["of the text", "of the json"]


def test_what_cannot_be_used_is_counted_and_loses_nothing_else(write):
    path = write(
        [
            ("good.png", 1), ("good.txt", "a cat"), ("alone.txt", "a caption"), ("bare.png", 2),
            ("bad.png", b"no picture"), ("bad.txt", "a dog"), ("odd.png", 3), ("odd.json", "{"),
            ("list.png", 4), ("list.json", "[1]"), ("bytes.png", 5), ("bytes.txt", b"\xff\xfe\xff"),
            ("good.jpg", 6), ("link.png", ("link", "good.png")), ("../out.png", 7), ("/etc/out.png", 8),
        ]
    )  # fmt: skip
    examples, set_aside = read(path)
    captions = {example.id: example.caption for example in examples}
    assert captions == {"00000:good": "a cat", "00000:bare": "", "00000:list": ""}
    assert set_aside == {
        "00000:alone": "caption without a picture",
        "00000:bare": "picture without a caption",
        "00000:list": "picture without a caption",
        "00000:bad": "no known image format",
        "00000:odd": "its .json is no JSON",
        "00000:bytes": "its .txt is no UTF-8",
        "00000.tar: good.jpg": "a second picture of its key",
        "00000.tar: link.png": "no regular file",
        "00000.tar: ../out.png": "its path leads out of the archive",
        "00000.tar: /etc/out.png": "its path leads out of the archive",
    }


def test_a_tar_that_is_cut_short_gives_what_is_there(write):
    path = write(
        [(f"{i}.{kind}", i if kind == "png" else "a cat") for i in range(4) for kind in ("txt", "png")]
    )
    data = path.read_bytes()
    at = data.index(b"3.txt") + 600
    path.write_bytes(data[:at])
    examples, set_aside = read(path)
    assert [example.id for example in examples] == ["00000:0", "00000:1", "00000:2"]
    assert any(reason.startswith("unreadable tar, after ") for reason in set_aside.values())


def test_what_is_no_tar_is_named_and_the_others_are_read(write, tmp_path):
    write([("a.png", 1), ("a.txt", "a cat")])
    (tmp_path / "set" / "00001.tar").write_bytes(b"<html>" * 200)
    examples, set_aside = read(tmp_path / "set")
    assert [example.id for example in examples] == ["00000:a"]
    assert set_aside["00001.tar"].startswith("unreadable tar, from its beginning: ")


def test_captions_are_needed_unless_prompts_come_from_elsewhere(write):
    path = write([("a.png", 1)])
    with pytest.raises(
        TrainingSetError, match=r"00000\.tar must hold a caption for each picture, .*got none"
    ):
        read(path)
    assert len(read(path, needs_captions=False)[0]) == 1


def test_an_id_of_another_set_and_a_picture_that_is_gone_are_named(write):
    path = write([("a.png", 1), ("a.txt", "a cat")])
    training_set = open_training_set(path)
    with pytest.raises(TrainingSetError, match=r"must be one of .*, got '00000:b'"):
        training_set.load(["00000:b"])
    list(training_set.examples())
    path.write_bytes(path.read_bytes()[:520])
    with pytest.raises(TrainingSetError, match=r"example '00000:a' must be a picture, got: cut short"):
        training_set.load(["00000:a"])


def test_tables_that_img2dataset_writes_beside_its_tars_are_no_training_set(write, tmp_path):
    write([("a.png", 1), ("a.txt", "a cat")])
    (tmp_path / "set" / "00000.parquet").write_bytes(b"a table without pictures")
    (tmp_path / "set" / "00000_stats.json").write_text("{}")
    assert [example.id for example in read(tmp_path / "set")[0]] == ["00000:a"]


def test_two_kinds_in_one_folder_are_refused(write, folder):
    root = folder({"a.png": 1})
    write([("a.png", 1)])
    with pytest.raises(
        TrainingSetError, match="must hold one kind of training set, got 1 tars and 1 pictures"
    ):
        open_training_set(root)
