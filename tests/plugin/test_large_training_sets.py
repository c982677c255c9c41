"""Training sets in shards, behind patterns and as embeddings, through `memex` and `pytest audits/`."""

import io
import json
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from memex_audit.cli import main

SIDE = 8


class PixelEmbedder:
    """Unit vectors of the pixels; `while_embedding` is called before each batch."""

    name, dimension, duplicate_similarity = "pixels", SIDE * SIDE * 3, 0.9

    def __init__(self):
        self.n_seen, self.while_embedding = 0, lambda: None

    def embed(self, images):
        self.while_embedding()
        self.n_seen += len(images)
        vectors = np.stack([image.reshape(-1).astype(np.float32) - 127.5 for image in images])
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def embedder(monkeypatch, tmp_path):
    """The embedder of every command, and its folder the current one."""
    monkeypatch.chdir(tmp_path)
    found = PixelEmbedder()
    monkeypatch.setattr("memex_audit.training_set.load_embedder", lambda spec, *, device: found)
    return found


def png(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_tar(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def write_clip(folder, vectors, paths):
    for kind in ("img_emb", "metadata"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    np.save(folder / "img_emb" / "img_emb_0.npy", np.asarray(vectors, np.float16))
    table = pa.table({"image_path": paths, "caption": [f"caption of {path}" for path in paths]})
    pq.write_table(table, folder / "metadata" / "metadata_0.parquet")


@pytest.fixture
def pictures(tmp_path):
    """Three captioned pictures, the first and the last the same."""
    (tmp_path / "set").mkdir()
    for i, seed in enumerate((0, 1, 0)):
        (tmp_path / "set" / f"{i}.png").write_bytes(png(seed))
        (tmp_path / "set" / f"{i}.txt").write_text(f"caption {i}")
    return tmp_path / "set"


def memex(*arguments):
    return CliRunner().invoke(main, [*map(str, arguments)])


def mine(location):
    return memex("mine", location, "--embedder", "specimen", "--out", "prompts.parquet")


def one_line(run, *parts):
    assert run.exit_code == 1
    assert len(run.output.splitlines()) == 1
    assert all(part in run.output for part in ("Error: ", *parts)), run.output


def test_a_range_of_tars_is_mined_and_a_path_that_climbs_out_of_one_is_counted(embedder, tmp_path):
    for number in range(3):
        files = [(f"{number}.png", png(number % 2)), (f"{number}.txt", f"caption {number}".encode())]
        climbing = [("../../out.png", png(9)), ("../../out.txt", b"climbs")]
        write_tar(tmp_path / "shards" / f"{number:05}.tar", files + climbing)
    run = mine("shards/{00000..00002}.tar")
    assert run.exit_code == 0, run.output
    assert "3 images, 66.7% with a near-copy; 3 prompts in 2 groups" in run.output
    assert run.output.count("../../out.png: its path leads out of the archive") == 3
    assert not list(tmp_path.parent.rglob("out.png"))
    one_line(mine("shards/{00000..00004}.tar"), "got 2 of 5", "00003.tar; fetch them")
    one_line(mine("shards/*.parquet"), "which no file matches; check the path")


def test_a_set_that_changes_while_it_is_read_is_one_line_and_nothing_mixed_is_used(embedder, pictures):
    embedder.while_embedding = lambda: (pictures / "1.txt").write_text("another caption")
    one_line(mine("set"), "must not change while it is read, got a change of", "1.txt; let what writes there")
    embedder.while_embedding = lambda: None
    run = mine("set")
    assert run.exit_code == 0, run.output
    mined = pq.read_table("prompts.parquet").to_pylist()
    assert {row["prompt"] for row in mined} == {"caption 0", "another caption", "caption 2"}


def test_imported_embeddings_are_mined_and_no_picture_is_embedded(embedder, pictures, tmp_path):
    images = [np.asarray(Image.open(pictures / f"{i}.png")) for i in range(3)]
    write_clip(tmp_path / "clip", embedder.embed(images), [f"/data/set/{i}.png" for i in range(3)])
    run = memex("embed", "set", "--import", "clip", "--embedder", "specimen")
    assert run.output == "3 images imported from clip\n"
    before = embedder.n_seen
    run = mine("set")
    assert "3 images, 66.7% with a near-copy" in run.output
    assert embedder.n_seen == before


@pytest.mark.parametrize(
    ("vectors", "parts"),
    [
        (np.full((3, 192), np.nan), ("must hold a vector in every row, got norm nan in row 0;",)),
        (np.eye(3, 64), ("must be of 192 dimensions", "got 64; name the model that made them with --memex-")),
        (np.eye(2, 192), ("must have a row for each of the 2 embeddings of img_emb_0.npy, got 3",)),
        (np.eye(3, 192), ("must be those of pixels, got a median cosine of",)),
    ],
    ids=["NaN", "another dimension", "fewer rows", "another model"],
)
def test_embeddings_that_cannot_be_imported_are_one_line(embedder, pictures, tmp_path, vectors, parts):
    write_clip(tmp_path / "clip", vectors, [f"{i}.png" for i in range(3)])
    one_line(memex("embed", "set", "--import", "clip", "--embedder", "specimen"), *parts)


def test_embeddings_alone_are_mined_but_not_audited(embedder, tmp_path, pytester):
    write_clip(tmp_path / "clip", np.eye(3, 192), ["a.png", "b.png", "c.png"])
    assert "3 images, 0.0% with a near-copy; 3 prompts" in mine(tmp_path / "clip").output
    one_line(memex("embed", tmp_path / "clip"), "must hold pictures", "got embeddings and captions alone")
    pytester.makepyfile("def test_prompt(memex, duplicated_prompt):\n    memex.audit(duplicated_prompt)")
    run = pytester.runpytest("--memex-training-set", str(tmp_path / "clip"), "--memex-embedder", "specimen")
    run.stdout.fnmatch_lines(
        ["*must hold pictures to compare generations with, got embeddings and captions alone; mine*"]
    )
    assert run.ret == 2


def test_a_crop_that_does_not_exist_is_one_line(pytester):
    run = pytester.runpytest("--memex-crop", "centre")
    run.stderr.fnmatch_lines(
        ["*--memex-crop must be one of center, random, squash (did you mean center?), got 'centre'."]
    )


def test_a_file_system_that_is_not_there_and_a_server_that_does_not_know_the_file_are_one_line(embedder):
    one_line(mine("nosuch://bucket/{00000..00009}.tar"), "a URL that fsspec reads", "Protocol not known")
    one_line(mine("memory://bucket/a.tar"), "must be there and readable, got FileNotFoundError")


def test_the_result_says_how_training_images_were_cropped(project):
    project.captions("copied cat")
    project.audit("--memex-training-set", "images", "--memex-embedder", "specimen", "--memex-crop", "random")
    found = json.loads((project.path / "result.json").read_text())
    assert found["provenance"]["crop"] == "random"
    assert [finding["verdict"] for finding in found["findings"]] == ["extracted"]
