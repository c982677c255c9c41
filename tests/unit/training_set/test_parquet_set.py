import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from memex_audit.errors import TrainingSetError
from memex_audit.training_set import open_training_set, parquet_set, parquet_shard


@pytest.fixture
def write(tmp_path, png, picture):
    """Write a file of n pictures numbered from `first`, other columns as given."""

    def make(name="set.parquet", n=4, first=0, row_group_size=2, images=None, **columns):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if images is None:
            images = [{"bytes": png(picture(first + i)), "path": None} for i in range(n)]
        columns.setdefault("text", [f"caption {first + i}" for i in range(n)])
        pq.write_table(pa.table({"image": images, **columns}), path, row_group_size=row_group_size)
        return path

    return make


def read(path):
    training_set = open_training_set(path)
    examples = list(training_set.examples())
    return examples, {item.what: item.reason for item in training_set.set_aside}


def test_rows_without_an_id_column_are_named_by_file_and_row(write, picture):
    examples, set_aside = read(write())
    assert [(example.id, example.caption) for example in examples] == [
        (f"set:{i}", f"caption {i}") for i in range(4)
    ]
    np.testing.assert_array_equal(examples[3].pixels, picture(3))
    assert set_aside == {}


def test_an_id_column_of_any_type_is_used_and_gaps_are_named_by_row(write):
    assert [example.id for example in read(write(id=[7, 8, None, 9]))[0]] == ["7", "8", "set:2", "9"]


def test_an_id_that_stands_on_several_rows_is_numbered(write, picture, tmp_path):
    write("shards/a.parquet", n=2, id=["x", "x"])
    write("shards/b.parquet", n=3, first=2, id=["x#2", "x", "y"])
    training_set = open_training_set(tmp_path / "shards")
    ids = [example.id for example in training_set.examples()]
    assert ids == ["x", "x#2", "x#2#2", "x#3", "y"]
    for i, pixels in enumerate(training_set.load(ids)):
        np.testing.assert_array_equal(pixels, picture(i))


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.struct([("bytes", pa.binary()), ("path", pa.string())])]
)
def test_pictures_may_be_plain_bytes_or_a_struct(write, png, picture, kind):
    data = [png(picture(i)) for i in range(2)]
    images = [{"bytes": item, "path": "x.png"} for item in data] if pa.types.is_struct(kind) else data
    path = write(n=2, images=pa.array(images, type=kind))
    np.testing.assert_array_equal(read(path)[0][1].pixels, picture(1))
    np.testing.assert_array_equal(open_training_set(path).load(["set:1"])[0], picture(1))


def test_an_image_struct_of_another_name_is_found(tmp_path, png, picture):
    table = pa.table({"jpg": [{"bytes": png(picture(0))}], "caption": ["a cat"]})
    pq.write_table(table, tmp_path / "set.parquet")
    assert [example.caption for example in read(tmp_path / "set.parquet")[0]] == ["a cat"]


def test_categories_will_do_as_captions(write):
    path = write(n=2, text=pa.array(["a cat", "a cat"]).dictionary_encode())
    assert [example.caption for example in read(path)[0]] == ["a cat", "a cat"]


def test_every_unusable_row_is_counted_and_loses_nothing_else(write, png, picture):
    good = {"bytes": png(picture(0)), "path": None}
    images = [
        good,
        None,
        {"bytes": None, "path": "a.png"},
        {"bytes": b"", "path": None},
        {"bytes": b"<html>", "path": None},
        good,
        good,
        good,
        good,
    ]
    texts = [b"a", b"b", b"c", b"d", b"e", None, b" ", b"caf\xe9", b"z"]
    # Arrow does not check text that it is handed as bytes, nor do writers of other languages.
    text = pa.Array.from_buffers(pa.string(), len(texts), pa.array(texts, pa.binary()).buffers())
    examples, set_aside = read(write(images=images, text=text, row_group_size=4))
    # Without a caption it is still a training image: no prompt is made of it, but it can be given back.
    assert [example.id for example in examples] == ["set:0", "set:5", "set:6", "set:8"]
    assert set_aside == {
        "set:1": "caption without a picture: the image cell has no bytes",
        "set:2": "caption without a picture: the image cell has no bytes",
        "set:3": "empty file",
        "set:4": "no known image format",
        "set:5": "picture without a caption",
        "set:6": "empty caption",
        "set:7": "caption is not UTF-8",
    }


def test_a_shard_that_is_cut_short_or_lacks_a_column_is_counted(write, tmp_path):
    write("shards/a.parquet")
    cut = write("shards/b.parquet")
    cut.write_bytes(cut.read_bytes()[:-20])
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "shards" / "c.parquet")
    examples, set_aside = read(tmp_path / "shards")
    assert len(examples) == 4
    assert list(set_aside) == ["b.parquet", "c.parquet"]
    assert "b.parquet must be a Parquet file, got: " in set_aside["b.parquet"]
    assert "c.parquet must have a column image, got columns text" in set_aside["c.parquet"]


def test_a_row_group_that_cannot_be_read_is_counted_with_its_rows(write):
    path = write(n=6, row_group_size=2)
    with pq.ParquetFile(path) as file:
        chunk = file.metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    start = chunk.data_page_offset
    data[start : start + 60] = b"\xff" * 60
    path.write_bytes(data)
    examples, set_aside = read(path)
    assert [example.id for example in examples] == ["set:0", "set:1", "set:4", "set:5"]
    assert list(set_aside) == ["set.parquet row group 1"]
    assert set_aside["set.parquet row group 1"].startswith("unreadable row group: 2 of its 2 rows are lost, ")
    with pytest.raises(TrainingSetError, match=r"row group 1 cannot be read: .*; mine the set again"):
        open_training_set(path).load(["set:2"])


def test_looking_up_reads_only_the_row_groups_it_needs_and_each_once(write, picture, monkeypatch):
    read_groups = []
    original = parquet_set.read_image_column

    def spy(shard, group):
        read_groups.append(group)
        return original(shard, group)

    monkeypatch.setattr(parquet_set, "read_image_column", spy)
    training_set = open_training_set(write(n=8, row_group_size=2))
    loaded = training_set.load(["set:7", "set:2", "set:7", "set:3"])
    for pixels, i in zip(loaded, (7, 2, 7, 3), strict=True):
        np.testing.assert_array_equal(pixels, picture(i))
    training_set.load(["set:6"])
    assert sorted(read_groups) == [1, 3]


def test_a_row_group_too_large_to_hold_is_scanned(write, picture, monkeypatch):
    monkeypatch.setattr(parquet_set, "CACHE_BYTES", 0)
    monkeypatch.setattr(parquet_shard, "BATCH_ROWS", 3)
    monkeypatch.setattr(parquet_set, "read_image_column", None)
    loaded = open_training_set(write(n=8, row_group_size=8)).load(["set:7", "set:2", "set:3"])
    for pixels, i in zip(loaded, (7, 2, 3), strict=True):
        np.testing.assert_array_equal(pixels, picture(i))


def test_held_row_groups_are_let_go_when_they_are_too_many(write, monkeypatch):
    path = write(n=6, row_group_size=2)
    training_set = open_training_set(path)
    training_set.load(["set:0", "set:2", "set:4"])
    assert list(training_set._cache) == [0, 1, 2]
    held = sum(column.nbytes for column in training_set._cache.values())
    monkeypatch.setattr(parquet_set, "CACHE_BYTES", held - 1)
    monkeypatch.setattr(parquet_set, "image_column_bytes", lambda shard, group: 0)
    training_set.load(["set:0"])
    assert list(training_set._cache) == [2, 0]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"image": [b"x"]},
            "must have a column text or caption, got columns image; image is the file's bytes",
        ),
        ({"text": ["x"]}, "must have a column image, got columns text"),
        ({"image": ["x"], "text": ["x"]}, "must have a column image, got columns image, text"),
        ({"image": [b"x"], "text": [["x"]]}, "column text must be of type string, got list<"),
    ],
)
def test_a_file_without_the_columns_is_an_error_that_names_them(tmp_path, columns, message):
    pq.write_table(pa.table(columns), tmp_path / "set.parquet")
    with pytest.raises(TrainingSetError, match=r"set\.parquet " + message):
        open_training_set(tmp_path / "set.parquet")


def test_a_file_that_is_no_parquet_is_an_error(tmp_path):
    (tmp_path / "set.parquet").write_bytes(b"x" * 100)
    with pytest.raises(
        TrainingSetError, match=r"set\.parquet must be a Parquet file, got: .*; fetch it again"
    ):
        open_training_set(tmp_path / "set.parquet")


def test_an_unknown_id_and_a_picture_gone_bad_are_named(write):
    training_set = open_training_set(write(n=2, images=[b"<html>", b""]))
    with pytest.raises(
        TrainingSetError, match=r"must be one of .*set\.parquet, got 'set:9'; mine the set again"
    ):
        training_set.load(["set:9"])
    with pytest.raises(
        TrainingSetError, match="example 'set:0' must be a picture, got: no known image format"
    ):
        training_set.load(["set:0"])


def test_a_row_whose_picture_has_too_many_pixels_is_set_aside(write, png):
    large = png(np.zeros((9, 8, 3), dtype=np.uint8))
    small = png(np.zeros((8, 8, 3), dtype=np.uint8))
    training_set = open_training_set(write(n=2, images=[large, small]), max_pixels=64)
    assert [example.id for example in training_set.examples()] == ["set:1"]
    assert [(aside.what, aside.reason[:20]) for aside in training_set.set_aside] == [
        ("set:0", "too large: 8 x 9 pix")
    ]
