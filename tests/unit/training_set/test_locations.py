import functools
import http.server
import importlib
import os
import re
import tarfile
import threading
import uuid
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from memex_audit.errors import TrainingSetError
from memex_audit.training_set import open_training_set
from memex_audit.training_set.locations import expand_braces


@pytest.fixture
def shards(folder, tmp_path):
    """Three tars of two captioned pictures each, 00000.tar to 00002.tar."""
    root = folder(
        {f"{i}.{kind}": i if kind == "png" else f"caption {i}" for i in range(6) for kind in ("png", "txt")}
    )
    out = tmp_path / "shards"
    out.mkdir()
    for number in range(3):
        with tarfile.open(out / f"{number:05}.tar", "w") as archive:
            for i in (2 * number, 2 * number + 1):
                for kind in ("png", "txt"):
                    archive.add(root / f"{i}.{kind}", f"{i}.{kind}")
    return out


@pytest.fixture
def parquet(tmp_path, png, picture):
    path = tmp_path / "set.parquet"
    images = [png(picture(i)) for i in range(4)]
    pq.write_table(pa.table({"image": images, "text": list("abcd")}), path, row_group_size=2)
    return path


@pytest.fixture
def memory():
    """A folder of fsspec's memory, as a URL."""
    url = f"memory://{uuid.uuid4().hex}"
    yield url
    fsspec.filesystem("memory").rm(url, recursive=True)


def upload(path, url):
    with fsspec.open(url, "wb") as file:
        file.write(path.read_bytes())


def ids(location, **options):
    return [example.id for example in open_training_set(location, **options).examples()]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a.tar", ["a.tar"]),
        ("{00000..00002}.tar", ["00000.tar", "00001.tar", "00002.tar"]),
        ("{9..11}", ["9", "10", "11"]),
        ("{2..0}", ["2", "1", "0"]),
        ("{a,b}/{1..2}.tar", ["a/1.tar", "a/2.tar", "b/1.tar", "b/2.tar"]),
        ("{x{1..2},y}", ["x1", "x2", "y"]),
        ("{one}.tar", ["{one}.tar"]),
    ],
)
def test_braces_are_ranges_and_choices_as_webdataset_writes_them(pattern, expected):
    assert list(expand_braces(pattern)) == expected


def test_a_range_of_very_many_files_is_refused():
    with pytest.raises(TrainingSetError, match=r"up to 1,000,000 files, got \{0\.\.99999999\}; divide it"):
        list(expand_braces("{0..99999999}.tar"))


@pytest.mark.parametrize(
    ("location", "tars"),
    [
        ("*.tar", "012"),
        ("0000[01].tar", "01"),
        ("{00001..00002}.tar", "12"),
        ("00000.tar::{dir}/00002.tar", "02"),
        ("*.tar::{dir}/00002.tar", "012"),
    ],
)
def test_tars_are_named_by_globs_ranges_and_lists(shards, location, tars):
    location = f"{shards}/{location}".replace("{dir}", str(shards))
    expected = [f"0000{tar}:{i}" for tar in tars for i in (2 * int(tar), 2 * int(tar) + 1)]
    assert ids(location) == expected
    training_set = open_training_set(location)
    assert training_set.location == location
    assert len(training_set.load(expected)) == len(expected)


def test_globs_may_name_folders_and_cross_them(shards, tmp_path):
    for name in ("one", "two"):
        (tmp_path / "all" / name).mkdir(parents=True)
    (shards / "00000.tar").rename(tmp_path / "all" / "one" / "00000.tar")
    (shards / "00001.tar").rename(tmp_path / "all" / "two" / "00000.tar")
    (shards / "00002.tar").unlink()
    expected = ["one/00000:0", "one/00000:1", "two/00000:2", "two/00000:3"]
    assert ids(f"{tmp_path}/all/*") == ids(f"{tmp_path}/**/*.tar") == expected


def test_paths_from_here_and_from_home_are_found(shards, monkeypatch):
    monkeypatch.chdir(shards.parent)
    assert len(ids("shards/{00000..00002}.tar")) == 6
    monkeypatch.setenv("HOME", str(shards.parent))
    assert len(ids("~/shards/*.tar")) == 6


def test_a_folder_whose_name_looks_like_a_pattern_is_itself(folder):
    root = folder({"a.png": 1, "a.txt": "a cat"})
    named = root.with_name("set[1]{0..3}*")
    root.rename(named)
    assert ids(str(named)) == ["a.png"]


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("nothing-*.tar", r"must be a file or folder, got .*nothing-\*\.tar, which no file matches; check"),
        ("{00001..00004}.tar", r"must exist, got 2 of 4 in .* that do not, the first .*00003\.tar; fetch"),
        ("nowhere", "nowhere, which does not exist; check the path"),
        ("00000.tar::memory://x/a.tar", "must lie on disks or behind URLs, got both"),
    ],
)
def test_what_is_not_there_is_one_line(shards, location, message):
    with pytest.raises(TrainingSetError, match=message):
        open_training_set(f"{shards}/{location}")


def test_tars_behind_a_url_are_read_like_those_on_a_disk(shards, memory):
    for path in shards.iterdir():
        upload(path, f"{memory}/{path.name}")
    local = list(open_training_set(shards).examples())
    for location in (memory, f"{memory}/*.tar", memory + "/{00000..00002}.tar"):
        training_set = open_training_set(location)
        remote = list(training_set.examples())
        assert [(e.id, e.caption) for e in remote] == [(e.id, e.caption) for e in local]
        np.testing.assert_array_equal(training_set.load(["00002:5"])[0], local[5].pixels)
        assert len(training_set.content_fingerprint()) == 64


def test_parquet_behind_a_url_is_read_like_that_on_a_disk(parquet, memory):
    upload(parquet, f"{memory}/set.parquet")
    training_set = open_training_set(f"{memory}/set.parquet")
    local = list(open_training_set(parquet).examples())
    for one, other in zip(training_set.examples(), local, strict=True):
        assert (one.id, one.caption) == (other.id, other.caption)
        np.testing.assert_array_equal(one.pixels, other.pixels)
    np.testing.assert_array_equal(training_set.load(["set:3"])[0], local[3].pixels)


class Served(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, by ranges, as object stores serve them."""

    def log_message(self, *args):
        """Say nothing."""

    def do_GET(self):
        first, last = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"]).groups()
        data = Path(self.translate_path(self.path)).read_bytes()
        part = data[int(first) : int(last) + 1 if last else None]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)


@pytest.fixture
def served(shards):
    """Where the tars are served over HTTP."""
    handler = functools.partial(Served, directory=str(shards))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_tars_are_read_from_a_web_server_by_ranges(shards, served):
    training_set = open_training_set(served + "/{00000..00002}.tar")
    local = list(open_training_set(shards).examples())
    assert [(e.id, e.caption) for e in training_set.examples()] == [(e.id, e.caption) for e in local]
    assert training_set.changed() is None
    with pytest.raises(TrainingSetError, match=r"must be there and readable, got FileNotFoundError: .*00003"):
        open_training_set(served + "/{00000..00003}.tar")


def test_a_file_behind_a_url_that_becomes_another_is_seen(shards, memory):
    upload(shards / "00000.tar", f"{memory}/0.tar")
    training_set = open_training_set(f"{memory}/0.tar")
    stat, contents = training_set.stat_fingerprint(), training_set.content_fingerprint()
    assert training_set.changed() is None
    upload(shards / "00001.tar", f"{memory}/0.tar")
    assert training_set.changed().startswith("0.tar of memory://")
    assert (training_set.stat_fingerprint(), training_set.content_fingerprint()) != (stat, contents)


def test_a_file_that_is_gone_from_its_server_is_set_aside_and_loses_nothing_else(shards, memory):
    for path in shards.iterdir():
        upload(path, f"{memory}/{path.name}")
    training_set = open_training_set(memory)
    fsspec.filesystem("memory").rm(f"{memory}/00001.tar")
    assert [example.id for example in training_set.examples()] == ["00000:0", "00000:1", "00002:4", "00002:5"]
    (aside,) = training_set.set_aside
    assert aside.what == "00001.tar"
    assert aside.reason.startswith("unreadable tar, from its beginning")


def test_whatever_a_client_raises_is_one_line_or_set_aside(shards, memory, monkeypatch):
    upload(shards / "00000.tar", f"{memory}/0.tar")
    system = fsspec.filesystem("memory")

    def refuse(*args, **kwargs):
        raise RuntimeError("403, says the server\nand more")

    monkeypatch.setattr(system, "open", refuse)
    training_set = open_training_set(f"{memory}/0.tar")
    assert list(training_set.examples()) == []
    assert "RuntimeError: 403, says the server" in training_set.set_aside[0].reason
    monkeypatch.setattr(system, "info", refuse)
    with pytest.raises(
        TrainingSetError, match="must be there and readable, got RuntimeError: 403, says the server; check"
    ):
        open_training_set(f"{memory}/0.tar")


@pytest.mark.parametrize(
    ("location", "message"),
    [
        (
            "memory://nowhere/a.tar",
            "must be there and readable, got FileNotFoundError: .*; check the address",
        ),
        ("nosuch://host/a.tar", r"a URL that fsspec reads, got nosuch://host/a\.tar \(Protocol not known"),
        ("memory://a.tar::s3://a.tar", "must lie in one place, got memory and s3"),
        ("memory://nowhere/*.tar", "must be files, got .* where there are none"),
    ],
)
def test_a_url_that_leads_nowhere_is_one_line(location, message):
    with pytest.raises(TrainingSetError, match=message):
        open_training_set(location)


def test_a_file_system_that_is_not_installed_says_what_to_install(monkeypatch):
    registry = importlib.import_module("fsspec.registry")
    bit = {"class": "no_such_module.FileSystem", "err": "Install s3fs to access S3"}
    monkeypatch.setitem(registry.known_implementations, "s3", bit)
    monkeypatch.delitem(registry._registry, "s3", raising=False)
    with pytest.raises(
        TrainingSetError, match=r"at s3:// must have its file system installed, got none: pip install s3fs\."
    ):
        open_training_set("s3://bucket/{00000..00009}.tar")


def test_loose_pictures_behind_a_url_are_refused(folder, memory):
    root = folder({"a.png": 1, "a.txt": "a cat"})
    for path in root.iterdir():
        upload(path, f"{memory}/{path.name}")
    with pytest.raises(TrainingSetError, match="must be Parquet files or tars, got 2 loose files at memory:"):
        open_training_set(memory)


def test_a_password_and_a_signature_are_in_no_message(monkeypatch):
    from memex_audit.training_set.locations import _shown

    assert _shown("https://me:secret@host/a.tar?sig=secret::https://host/b.tar") == (
        "https://host/a.tar::https://host/b.tar"
    )
    assert _shown("hf://datasets/a/b@main/c.parquet") == "hf://datasets/a/b@main/c.parquet"
    with pytest.raises(TrainingSetError) as caught:
        open_training_set("nosuch://me:secret@host/a.tar")
    assert "secret" not in str(caught.value)


def test_a_file_url_is_a_path(shards):
    assert ids(f"file://{shards}") == ids(os.fspath(shards))
