"""`memex embed`: shards that several make, and `memex mine` then finds."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from memex_audit.claims import Claims
from memex_audit.cli import main
from memex_audit.training_set import embedding_shards, read_prompt_file
from memex_audit.workbench import Workbench

N, A_SHARD = 22, 8


@pytest.fixture
def images(tmp_path, monkeypatch):
    """A folder of pictures with captions, the first four alike, and one file that is none; small shards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(embedding_shards, "SHARD", A_SHARD)
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(N):
        pixels = np.random.default_rng(max(i, 3)).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((32, 32)).save(folder / f"{i:02}.png")
        (folder / f"{i:02}.txt").write_text(f"picture number {i}")
    (folder / "05.png").write_bytes(b"no picture")
    return folder


def embed(*words):
    return CliRunner().invoke(main, ["embed", "images", "--embedder", "specimen", "--store", "store", *words])


def mine():
    words = ["mine", "images", "--embedder", "specimen", "--store", "store", "--out", "prompts.parquet"]
    run = CliRunner().invoke(main, words)
    assert run.exit_code == 0, run.output
    return read_prompt_file(Path("prompts.parquet"))


def test_parts_are_embedded_in_any_order_and_mining_embeds_nothing(images, monkeypatch):
    second = embed("--shard", "2/2")
    assert second.exit_code == 0, second.output
    assert second.stdout.startswith("--shard 2/2: 1 shard, 8 images embedded, 0 found there; ")
    assert second.stdout.endswith("; of the set 2 shards still missing\n")
    first = embed("--shard", "1/2")
    assert first.stdout.startswith("--shard 1/2: 2 shards, 13 images embedded, 0 found there; 1 set aside; ")
    assert "missing" not in first.stdout

    def not_again(bench):
        raise AssertionError("embedded again")

    monkeypatch.setattr(Workbench, "open_embedder", not_again)
    prompts = mine()
    assert prompts.n_examples == N - 1
    assert prompts.prompts[0].duplication_count == 4


def test_what_is_there_is_found_and_not_embedded_again(images):
    embed()
    again = embed()
    assert again.stdout.startswith("--shard 1/1: 3 shards, 0 images embedded, 21 found there; 1 set aside; ")


def test_a_shard_that_another_embeds_is_left_to_it_until_the_others_are_done(images, monkeypatch):
    embed("--shard", "3/3")
    order = []
    make = embedding_shards.EmbeddedShards.embed

    def noted(self, number, embedder, progress=None):
        order.append(number)
        return make(self, number, embedder, progress)

    monkeypatch.setattr(embedding_shards.EmbeddedShards, "embed", noted)
    attempt, tried = Claims.attempt, []

    def held_at_first(self, name):
        tried.append(name)
        return nullcontext(False) if len(tried) == 1 else attempt(self, name)

    monkeypatch.setattr(Claims, "attempt", held_at_first)
    assert embed().exit_code == 0
    assert order == [1, 0]


def test_an_embedder_that_cannot_be_had_is_one_line(images):
    run = CliRunner().invoke(main, ["embed", "images", "--embedder", "nonsense", "--store", "store"])
    assert run.exit_code == 1
    assert run.stderr.splitlines()[-1].startswith(
        "Error: `--memex-embedder` must be ARCH/TAG, local-dir:FOLDER or specimen, got 'nonsense'"
    )
