"""What every training set must offer, whatever it is kept in."""

import io
import json
import os
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from memex_audit.testing import TrainingSetContract
from memex_audit.training_set import open_training_set

N = 5


def pixels(i):
    # Each of another size.
    return np.random.default_rng(i).integers(0, 256, (4 + i, 9 - i, 3), dtype=np.uint8)


def encoded(i):
    buffer = io.BytesIO()
    Image.fromarray(pixels(i)).save(buffer, "PNG")
    return buffer.getvalue()


def write_pictures(root):
    root.mkdir()
    for i in range(N):
        (root / f"{i}.png").write_bytes(encoded(i))


def write_sidecars(root):
    write_pictures(root)
    for i in range(N):
        (root / f"{i}.txt").write_text(f"caption {i}")
    return root


def write_csv(root):
    write_pictures(root)
    lines = ["file_name,text", *(f"{i}.png,caption {i}" for i in range(N))]
    (root / "metadata.csv").write_text("\n".join(lines))
    return root


def write_jsonl(root):
    write_pictures(root)
    rows = [{"file_name": f"{i}.png", "caption": f"caption {i}"} for i in range(N)]
    (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return root


def write_parquet(root):
    root.mkdir()
    images = [{"bytes": encoded(i), "path": f"{i}.png"} for i in range(N)]
    table = pa.table({"image": images, "text": [f"caption {i}" for i in range(N)]})
    pq.write_table(table, root / "set.parquet", row_group_size=2)
    return root / "set.parquet"


def write_shards(root):
    root.mkdir()
    for name, rows in (("a", range(2)), ("b", range(2, N))):
        columns = {"id": [f"id-{i}" for i in rows], "caption": [f"caption {i}" for i in rows]}
        table = pa.table({"image": [encoded(i) for i in rows], **columns})
        pq.write_table(table, root / f"{name}.parquet")
    return root


def write_tars(root):
    root.mkdir()
    for name, rows in (("00000", range(2)), ("00001", range(2, N))):
        with tarfile.open(root / f"{name}.tar", "w") as archive:
            for i in rows:
                # Either way of keeping a caption.
                fields = json.dumps({"text": f"caption {i}"})
                caption = ("txt", f"caption {i}") if i % 2 else ("json", fields)
                for suffix, data in (("png", encoded(i)), (caption[0], caption[1].encode())):
                    member = tarfile.TarInfo(f"{i:09}.{suffix}")
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))
    return root


@pytest.fixture(params=[write_sidecars, write_csv, write_jsonl, write_parquet, write_shards, write_tars])
def location(request, tmp_path):
    (tmp_path / "here").mkdir()
    return request.param(tmp_path / "here" / "set")


def a_file(location):
    return max(location.rglob("*")) if location.is_dir() else location


class TestShippedTrainingSets(TrainingSetContract):
    @pytest.fixture
    def training_set(self, location):
        return open_training_set(location)


def test_every_pass_yields_every_example_once_in_the_same_order(location):
    training_set = open_training_set(location)
    for _ in range(2):
        examples = list(training_set.examples())
        assert [example.caption for example in examples] == [f"caption {i}" for i in range(N)]
        assert len({example.id for example in examples}) == N
        for i, example in enumerate(examples):
            assert example.pixels.dtype == np.uint8
            np.testing.assert_array_equal(example.pixels, pixels(i))
    assert training_set.set_aside == ()


def test_examples_are_loaded_by_id_in_the_order_asked_for(location):
    ids = [example.id for example in open_training_set(location).examples()]
    order = [4, 0, 3, 4, 2]
    loaded = open_training_set(location).load([ids[i] for i in order])
    assert len(loaded) == len(order)
    for i, image in zip(order, loaded, strict=True):
        np.testing.assert_array_equal(image, pixels(i))
    assert open_training_set(location).load([]) == []


def test_the_stat_fingerprint_changes_with_the_time_of_a_file_and_the_content_fingerprint_does_not(location):
    before = open_training_set(location)
    stat, content = before.stat_fingerprint(), before.content_fingerprint()
    assert (before.stat_fingerprint(), before.content_fingerprint()) == (stat, content)
    os.utime(a_file(location), ns=(1, 1))
    after = open_training_set(location)
    assert after.stat_fingerprint() != stat
    assert after.content_fingerprint() == content


def test_the_content_fingerprint_changes_with_a_byte(location):
    before = open_training_set(location).content_fingerprint()
    path = a_file(location)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    # A Parquet footer may no longer be readable; the contents are still those of the file.
    assert open_training_set(location).content_fingerprint() != before


def test_the_fingerprints_do_not_depend_on_where_the_set_lies(location):
    before = open_training_set(location)
    expected = before.stat_fingerprint(), before.content_fingerprint()
    root = location.parent
    root.rename(root.with_name("moved"))
    after = open_training_set(root.with_name("moved") / location.name)
    assert (after.stat_fingerprint(), after.content_fingerprint()) == expected


def test_any_part_of_it_is_read_alone(location):
    whole = [example.id for example in open_training_set(location).examples()]
    training_set = open_training_set(location)
    assert training_set.n_entries == len(whole) == N
    for first, last in ((0, N), (1, 3), (2, 99), (3, 4), (0, 0), (N, N + 4)):
        entries = list(training_set.entries(first, last))
        assert [entry.example.id for entry in entries] == whole[first:last]
        assert all(entry.set_aside is None for entry in entries)
        for i, entry in zip(range(first, last), entries, strict=False):
            np.testing.assert_array_equal(entry.example.pixels, pixels(i))


def test_a_change_is_named_for_the_entries_that_are_read_from_the_file(location):
    training_set = open_training_set(location)
    assert training_set.changed() is training_set.changed(0, N) is None
    path = max(location.rglob("*")) if location.is_dir() else location
    os.utime(path, ns=(1, 1))
    assert training_set.changed() == training_set.changed(N - 1, N) == str(path)
    if location.is_dir() and not any(location.glob("metadata.*")):
        assert training_set.changed(0, 1) is None
