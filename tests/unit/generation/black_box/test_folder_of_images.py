"""Recorded generations: which picture answers which request, and what is left out."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from images_api_server import image_bomb, noise, png
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from memex_audit.errors import ModelError
from memex_audit.generation.black_box.folder_of_images import FolderOfImages
from memex_audit.generation.black_box.recorded_pictures import read_recorded
from memex_audit.generation.seeds import image_seed
from memex_audit.picture_bytes import decode_picture
from memex_audit.records import ABSENT, GenerationRequest

JOB = "0a1b2c3d-0000-4000-8000-0123456789ab"


@pytest.fixture
def record(tmp_path):
    """Write numbered pictures, and a manifest of (prompt, seed, number)."""

    def write(rows, name="manifest.csv"):
        for _, _, number in rows:
            (tmp_path / f"{number}.png").write_bytes(png(noise(number)))
        columns = ("prompt", "seed", "file")
        table = [dict(zip(columns, (p, seed, f"{n}.png"), strict=True)) for p, seed, n in rows]
        if name.endswith(".csv"):
            text = "\n".join([",".join(columns), *(",".join(map(str, row.values())) for row in table)])
            (tmp_path / name).write_text(text)
        elif name.endswith(".jsonl"):
            (tmp_path / name).write_text("\n".join(map(json.dumps, table)))
        else:
            pq.write_table(pa.Table.from_pylist(table), tmp_path / name)
        return tmp_path

    return write


def requests(prompt, n, root_seed=0):
    return [GenerationRequest(prompt=prompt, seed=image_seed(root_seed, prompt, i)) for i in range(n)]


def answers(folder, prompt, n, root_seed=0):
    generator = FolderOfImages(read_recorded(folder), root_seed=root_seed)
    return list(generator.generate(requests(prompt, n, root_seed)))


@pytest.mark.parametrize("name", ["manifest.csv", "metadata.jsonl", "manifest.parquet"])
def test_requests_of_a_prompt_are_answered_by_its_pictures_in_the_order_of_their_seeds(record, name):
    folder = record([("a cat", 9, 1), ("a dog", 1, 2), ("a cat", 3, 3)], name)
    for place in (folder, folder / name):
        given = answers(place, "a cat", 3)
        np.testing.assert_array_equal(given[0].pixels, noise(3))
        np.testing.assert_array_equal(given[1].pixels, noise(1))
        assert (given[2].pixels, given[2].reason) == (None, ABSENT)


def test_a_picture_is_the_same_in_any_order_and_batch_and_for_another_root_seed(record):
    folder = record([("a cat", "", n) for n in range(4)])
    generator = FolderOfImages(read_recorded(folder), root_seed=7)
    asked = requests("a cat", 4, 7)
    alone = [next(iter(generator.generate([request]))).pixels for request in asked[::-1]][::-1]
    for number, pixels in enumerate(alone):
        np.testing.assert_array_equal(pixels, noise(number))


def test_a_prompt_is_known_by_its_text_whatever_its_spaces_and_accents_are_made_of(record):
    folder = record([("a  caf\u00e9", "", 1)])
    assert answers(folder, "a cafe\u0301 ", 1)[0].pixels is not None
    assert answers(folder, "A caf\u00e9", 1)[0].reason == ABSENT


def test_no_picture_is_given_twice(record):
    folder = record([("a cat", "", 1), ("a cat", "", 2), ("a cat", "", 1)])
    (folder / "3.png").write_bytes((folder / "2.png").read_bytes())
    (folder / "manifest.csv").write_text((folder / "manifest.csv").read_text() + "\na cat,,3.png")
    generator = FolderOfImages(read_recorded(folder), root_seed=0)
    assert generator.recorded.n_pictures == 2
    assert [entry.reason for entry in generator.recorded.set_aside] == [
        "a file or seed listed twice for a prompt",
        "the same file as another of its prompt",
    ]


def test_two_seeds_that_gave_the_same_bytes_are_two_pictures_and_one_seed_is_one(record):
    folder = record([("a cat", 1, 1), ("a cat", 2, 2), ("a cat", 2, 3)])
    (folder / "2.png").write_bytes((folder / "1.png").read_bytes())
    generator = FolderOfImages(read_recorded(folder), root_seed=0)
    assert [picture.path.name for picture in generator.recorded.of("a cat")] == ["1.png", "2.png"]


def test_what_is_no_picture_is_set_aside_when_it_is_looked_at(record):
    folder = record([("a cat", n, n) for n in range(4)])
    (folder / "0.png").write_bytes(b"<html>")
    (folder / "1.png").write_bytes(image_bomb())
    (folder / "2.png").write_bytes(png(noise(2))[:200])
    given = [answer.reason for answer in answers(folder, "a cat", 4)]
    assert given[0] == "no known image format"
    assert given[1].startswith("too large: 400,000,000 pixels")
    assert given[2].startswith("cannot be decoded: ")
    assert given[3] is None


def test_the_fingerprint_is_of_prompts_seeds_and_contents_not_of_names(record, tmp_path):
    def fingerprint():
        return FolderOfImages(read_recorded(tmp_path), root_seed=0).fingerprint

    record([("a cat", 1, 1), ("a cat", 2, 2)])
    before = fingerprint()
    (tmp_path / "1.png").rename(tmp_path / "z.png")
    (tmp_path / "manifest.csv").write_text("prompt,seed,file\na cat,2,2.png\na cat,1,z.png")
    assert fingerprint() == before
    (tmp_path / "z.png").write_bytes(png(noise(5)))
    assert fingerprint() != before


BAD_LINES = {
    ",1,1.png": "no prompt",
    "a cat,1,": "no file",
    "a cat,1,9.png": "no such file",
    "a cat,x,1.png": "a seed that is no whole number",
    "a cat,1,../../1.png": "its file lies outside the folder",
    "a cat,1": "fewer fields than columns",
}


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_line_that_names_no_picture_is_set_aside_with_its_number(record, line):
    folder = record([("a dog", 1, 1)])
    (folder / "manifest.csv").write_text(f"prompt,seed,file\na dog,1,1.png\n{line}\n")
    recorded = read_recorded(folder)
    assert recorded.prompts == ("a dog",)
    assert [(entry.what, entry.reason) for entry in recorded.set_aside] == [
        ("manifest.csv line 3", BAD_LINES[line])
    ]


def test_a_manifest_without_the_columns_is_one_line(tmp_path):
    (tmp_path / "manifest.csv").write_text("text,image\na,b\n")
    with pytest.raises(ModelError, match="must have a column prompt, got columns text, image"):
        read_recorded(tmp_path)
    (tmp_path / "manifest.csv").unlink()
    pq.write_table(pa.table({"prompt": ["a"]}), tmp_path / "manifest.parquet")
    with pytest.raises(ModelError, match="must have the columns prompt and file, got prompt"):
        read_recorded(tmp_path)
    (tmp_path / "manifest.parquet").write_bytes(b"PAR1")
    with pytest.raises(ModelError, match="must be a Parquet file, got: "):
        read_recorded(tmp_path)


# -- without a manifest


def write_png(path, number, **texts):
    info = PngInfo()
    for key, value in texts.items():
        info.add_text(key, value)
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(noise(number)).save(path, pnginfo=info)


def test_names_of_midjourney_give_the_words_of_the_prompt(tmp_path):
    for number in range(4):
        write_png(tmp_path / f"someone_a_lighthouse_in_fog_{JOB}_{number}.png", number)
    write_png(tmp_path / "upscaled" / f"someone_a_red_bicycle_--ar_21_--stylize_80_--v_6_{JOB}.png", 5)
    recorded = read_recorded(tmp_path)
    assert {prompt: len(recorded.of(prompt)) for prompt in recorded.prompts} == {
        "a lighthouse in fog": 4,
        "a red bicycle": 1,
    }


def test_metadata_goes_before_the_name(tmp_path):
    name = f"someone_a_lighthouse_{JOB}_0.png"
    write_png(tmp_path / name, 0, Description=f"a lighthouse, in fog! --ar 3:2 --seed 7 Job ID: {JOB}")
    write_png(
        tmp_path / "1.png",
        1,
        parameters="a cat\non a mat\nNegative prompt: dog\nSteps: 20, Seed: 42, Size: 8x8",
    )
    write_png(tmp_path / "2.png", 2, prompt="a dog")
    recorded = read_recorded(tmp_path)
    found = {prompt: recorded.of(prompt)[0].seed for prompt in recorded.prompts}
    assert found == {"a lighthouse, in fog!": None, "a cat\non a mat": 42, "a dog": None}


def test_pictures_without_a_prompt_are_counted_and_cost_nothing_else(tmp_path):
    write_png(tmp_path / "1.png", 1, prompt="a dog")
    write_png(tmp_path / "IMG_0001.png", 2)
    write_png(tmp_path / "3.png", 3, prompt='{"3": {"class_type": "KSampler"}}')
    (tmp_path / "4.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("no picture at all")
    recorded = read_recorded(tmp_path)
    assert recorded.prompts == ("a dog",)
    assert {entry.what: entry.reason for entry in recorded.set_aside} == {
        "3.png": "its prompt is a graph of ComfyUI: name its prompt in a manifest",
        "4.png": "no picture: its header cannot be read",
        "IMG_0001.png": "no prompt in its name or metadata",
    }


def test_a_folder_without_a_single_prompt_is_one_line(tmp_path):
    write_png(tmp_path / "IMG_0001.png", 2)
    with pytest.raises(
        ModelError, match=r"got none in .*; the first of 1 files: no prompt in its name or met"
    ):
        read_recorded(tmp_path)
    with pytest.raises(ModelError, match="which does not exist; check the path"):
        read_recorded(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="which is neither; check the path"):
        read_recorded(tmp_path / "IMG_0001.png")


def test_pictures_are_decoded_as_those_of_a_training_set(tmp_path):
    write_png(tmp_path / "1.png", 1, prompt="a dog")
    (given,) = answers(tmp_path, "a dog", 1)
    np.testing.assert_array_equal(given.pixels, decode_picture((tmp_path / "1.png").read_bytes()))
