"""Training sets with faults, through `pytest audits/` and `memex mine`: named, counted, nothing else lost."""

import io
import json
import os
import struct
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from memex_audit.cli import main

OPTIONS = ("--memex-embedder", "specimen", "--memex-limit", "0.5")


def noise(seed, shape=(32, 32, 3), dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_of_16_bits(colour, channels):
    """Return a PNG of 16 bits a channel, which Pillow cannot write: header, rows without a filter, end."""
    rows = b"".join(b"\0" + noise(row, (32 * channels,), np.uint16).tobytes() for row in range(32))
    header = struct.pack(">IIBBBBB", 32, 32, 16, colour, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )


def good_pictures():
    frames = [Image.fromarray(noise(i)) for i in range(3)]
    animated = {"save_all": True, "append_images": frames[1:]}
    turned = Image.Exif()
    turned[0x0112] = 6
    return {
        "plain.png": encoded(frames[0]),
        "large.png": encoded(Image.fromarray(noise(10, (300, 170, 3)))),
        "one-pixel.png": encoded(Image.fromarray(noise(11, (1, 1, 3)))),
        "thin.png": encoded(Image.fromarray(noise(12, (1, 900, 3)))),
        "cmyk.jpg": encoded(Image.frombytes("CMYK", (32, 32), noise(13, (32, 32, 4)).tobytes()), "JPEG"),
        "grey-16.png": encoded(Image.fromarray(noise(14, (32, 32), np.uint16))),
        "rgb-16.png": png_of_16_bits(2, 3),
        "rgba-16.png": png_of_16_bits(6, 4),
        "palette.png": encoded(Image.fromarray(noise(15)).quantize(16)),
        "palette-transparent.png": encoded(Image.fromarray(noise(16)).quantize(16), transparency=0),
        "animated.png": encoded(frames[1], "PNG", **animated),
        "animated.gif": encoded(frames[2], "GIF", **animated),
        "animated.webp": encoded(frames[0], "WEBP", **animated),
        "turned.jpg": encoded(Image.fromarray(noise(17, (20, 32, 3))), "JPEG", exif=turned),
    }


def bad_pictures():
    plain = encoded(Image.fromarray(noise(20)))
    bomb = bytearray(encoded(Image.new("L", (1, 1))))
    bomb[16:24] = struct.pack(">2I", 20_000, 20_000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bomb[12:29]))
    return {
        "bomb.png": (bytes(bomb), "too large"),
        "cut.png": (plain[: len(plain) // 2], "cannot be decoded"),
        "page.png": (b"<html>", "no known image format"),
        "zero.png": (b"", "empty file"),
    }


def result(project):
    return json.loads((project.path / "result.json").read_text())


def test_pictures_of_every_kind_are_audited_and_bad_ones_counted(project):
    images = project.path / "images"
    images.mkdir()
    good, bad = good_pictures(), bad_pictures()
    for name, data in {**good, **{name: data for name, (data, _) in bad.items()}}.items():
        (images / name).write_bytes(data)
    (images / "dangling.png").symlink_to("nowhere.png")
    os.mkfifo(images / "pipe.png")
    (images / "folder.png").mkdir()
    names = [*good, *bad, "dangling.png", "pipe.png", "folder.png"]
    lines = [json.dumps({"file_name": name, "text": f"clean {name}"}) for name in names]
    (images / "metadata.jsonl").write_text("\n".join(lines))
    project.prompts(*(f"clean {name}" for name in good))
    run = project.audit("--memex-training-set", "images", *OPTIONS)
    found = result(project)
    assert {finding["prompt"] for finding in found["findings"]} == {f"clean {name}" for name in good}
    assert {entry["what"]: entry["reason"].partition(":")[0] for entry in found["set_aside"]["entries"]} == {
        **{name: reason for name, (_, reason) in bad.items()},
        "dangling.png": "cannot be read",
        "pipe.png": "cannot be read",
        f"metadata.jsonl line {len(names)}": "caption without a picture",
    }
    assert found["set_aside"]["total"] == 7
    assert found["verdict"] == "pass"
    run.stdout.fnmatch_lines(["set aside*1 too large*"])
    run.stdout.no_fnmatch_line("*DecompressionBombWarning*")


SCHEMA = pa.schema(
    [("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("text", pa.string())]
)


def write_parquet(path, n=8, first=0):
    path.parent.mkdir(exist_ok=True)
    rows = [
        {
            "image": {"bytes": encoded(Image.fromarray(noise(first + i))), "path": None},
            "text": f"clean {first + i}",
        }
        for i in range(n)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path, row_group_size=4)
    return path


def test_a_truncated_shard_is_counted_and_the_others_are_audited(project):
    write_parquet(project.path / "set" / "a.parquet")
    cut = write_parquet(project.path / "set" / "b.parquet", first=100)
    cut.write_bytes(cut.read_bytes()[:-100])
    project.audit("--memex-training-set", "set", *OPTIONS)
    found = result(project)
    assert {finding["prompt"] for finding in found["findings"]} == {f"clean {i}" for i in range(8)}
    (entry,) = found["set_aside"]["entries"]
    assert entry["what"] == "b.parquet"
    assert entry["reason"].startswith("unusable Parquet file: ")
    assert found["set_aside"]["by_reason"] == {"unusable Parquet file": 1}


HOLDS_NOTHING = {
    "truncated": (
        "cut.parquet",
        lambda path: path.write_bytes(write_parquet(path).read_bytes()[:-100]),
        "*cut.parquet must be a Parquet file, got: *; fetch it again.",
    ),
    "of no bytes": (
        "none.parquet",
        lambda path: path.write_bytes(b""),
        "*none.parquet must be a Parquet file, got: *0 bytes; fetch it again.",
    ),
    "of no rows": (
        "rows.parquet",
        lambda path: write_parquet(path, n=0),
        "*rows.parquet must hold a picture with a caption, got none*",
    ),
    "an empty folder": (
        "folder",
        lambda path: path.mkdir(),
        "*folder must be a Parquet file, a folder of them, *got an empty folder; give the path of one.",
    ),
    "missing": (
        "nowhere",
        lambda path: None,
        "*Training set must be a file or folder, got *nowhere, which does not exist; check the path.",
    ),
}


@pytest.mark.parametrize(("name", "write", "line"), HOLDS_NOTHING.values(), ids=HOLDS_NOTHING)
def test_a_training_set_that_holds_nothing_is_one_line(project, name, write, line):
    write(project.path / name)
    run = project.audit("--memex-training-set", name, *OPTIONS)
    assert run.ret == 2
    run.stdout.fnmatch_lines([line])
    run.stdout.no_fnmatch_line("*Traceback*")
    assert project.drawn == []
    mined = CliRunner().invoke(main, ["mine", name, "--embedder", "specimen", "--out", "prompts.parquet"])
    assert mined.exit_code == 1
    assert mined.output.startswith("Error: ")
    assert len(mined.output.splitlines()) == 1


def test_one_image_is_audited(project):
    project.take_for_a_fine_tune()
    project.captions("clean cat")
    assert project.audit("--memex-training-set", "images", *OPTIONS).ret == 0
    found = result(project)
    assert [finding["verdict"] for finding in found["findings"]] == ["not_flagged"]
    assert found["rate"]["frame_size"] == 1
    assert found["verdict"] == "pass"


def test_one_image_that_is_given_back_fails(project):
    project.captions("copied cat")
    assert project.audit("--memex-training-set", "images", *OPTIONS).ret == 1
    found = result(project)
    assert [finding["verdict"] for finding in found["findings"]] == ["extracted"]
    assert found["verdict"] == "fail"


def test_mining_reports_what_it_set_aside(project):
    project.captions("clean cat", "clean dog")
    (project.path / "images" / "clean-dog.png").write_bytes(b"")
    mined = CliRunner().invoke(
        main, ["mine", "images", "--embedder", "specimen", "--out", "out/prompts.parquet"]
    )
    assert mined.exit_code == 0, mined.output
    assert "set aside: clean-dog.png: empty file" in mined.output
    assert (project.path / "out" / "prompts.parquet").is_file()


def test_a_prompt_file_is_refused_by_its_name_before_the_set_is_mined(project):
    mined = CliRunner().invoke(main, ["mine", "nowhere", "--out", "prompts.csv"])
    assert mined.exit_code == 1
    assert (
        mined.output
        == "Error: Prompt file must be written as .parquet, got prompts.csv; other formats hold no frame.\n"
    )
