"""`memex canary make` says what it made, and refuses what it cannot read in one line."""

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from memex_audit.canaries.manifest import read_manifest
from memex_audit.cli import main


def make(*arguments: str):
    return CliRunner().invoke(main, ["canary", "make", *arguments])


def test_it_prints_where_everything_is_and_the_seal(tmp_path):
    folder = tmp_path / "canaries"
    done = make(str(folder), "--repetitions", "2,5", "--each", "3", "--reference", "7", "--size", "16x24")
    assert done.exit_code == 0, done.output
    manifest = read_manifest(folder / "canaries.json")
    assert "6 canaries in 21 pictures to plant" in done.output
    assert "7 references, never to be planted" in done.output
    assert f"its seal: {manifest.seal}" in done.output
    assert manifest.size == (16, 24)


def test_one_side_makes_squares(tmp_path):
    assert make(str(tmp_path / "c"), "--size", "16", "--reference", "1").exit_code == 0
    assert read_manifest(tmp_path / "c" / "canaries.json").size == (16, 16)


def test_a_training_set_is_read_and_what_is_like_it_left_out(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(images / "black.png")
    (images / "black.txt").write_text("a black picture")
    done = make(str(tmp_path / "c"), "--size", "16", "--reference", "1", "--training-set", str(images))
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--repetitions", "1,x"), "Error: --repetitions must be whole numbers with ',' between, got '1,x'."),
        (("--repetitions", "0"), "Error: --repetitions must be whole numbers of at least 1"),
        (("--size", "wide"), "Error: --size must be whole numbers with 'x' between, got 'wide'."),
        (("--size", "1x2x3"), "Error: --size must be HxW or one side, got '1x2x3'."),
        (("--training-set", "nowhere"), "Error: Training set must be a file or folder, got nowhere"),
    ],
)
def test_what_it_cannot_use_is_one_line(tmp_path, arguments, said):
    done = make(str(tmp_path / "canaries"), *arguments)
    assert done.exit_code == 1
    assert done.output.startswith(said)
    assert len(done.output.splitlines()) == 1
    assert not (tmp_path / "canaries").exists()
