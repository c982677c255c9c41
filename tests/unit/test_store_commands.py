"""`memex store`: what is there, whether it is whole, fewer files, and less of it."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from memex_audit.claims import Claims
from memex_audit.cli import main
from memex_audit.extraction.block_sums import block_sums
from memex_audit.generation.identity import Identity
from memex_audit.generation.pack_files import MANIFEST, PACK
from memex_audit.generation.store import CLAIMS, UnitStore, key_of
from memex_audit.records import Generation

MODEL, OTHER = "a" * 64, "b" * 64


def summarize(pixels):
    return block_sums(pixels[None]).sums[0]


def open_store(fingerprint=MODEL, name="./my-model", digest="d" * 16):
    return UnitStore(
        Path(".memex"), fingerprint=fingerprint, digest=digest, root_seed=0, summarize=summarize,
        identity=Identity(fingerprint=fingerprint, model=name),
    )  # fmt: skip


def draw(store, prompt, numbers):
    requests = [store.request(prompt, number) for number in numbers]
    random = np.random.default_rng(requests[0].seed)
    return [
        Generation(request=request, pixels=random.integers(0, 256, (64, 64, 3), dtype=np.uint8))
        for request in requests
    ]


def write(store, prompt, numbers, *, reduced=False):
    drawn = draw(store, prompt, numbers)
    store.write(prompt, numbers, [store.reduce(picture) for picture in drawn] if reduced else drawn)


def folder_of(fingerprint=MODEL, digest="d" * 16):
    return Path(".memex", "units", fingerprint[:32], digest)


def rest(folder):
    """Let it be long ago that anything was written to these packs."""
    for path in folder.glob(f"*{MANIFEST}"):
        os.utime(path, (time.time() - 1000, time.time() - 1000))
        os.utime(path.with_suffix(PACK), (time.time() - 1000, time.time() - 1000))


def memex(*words, code=0):
    run = CliRunner().invoke(main, ["store", *words])
    assert run.exit_code == code, run.output
    return run.output


def listed():
    return json.loads(memex("ls", "--json"))["pictures"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def two_models():
    """Three prompts of one model, of whose 10 pictures 6 have pixels; and one of another."""
    store = open_store()
    write(store, "a lighthouse", range(4))
    write(store, "a fox", range(2))
    write(store, "a red cat", range(4), reduced=True)
    write(open_store(OTHER, "./other", "e" * 16), "a fox", range(2))
    rest(folder_of())
    rest(folder_of(OTHER, "e" * 16))


@pytest.mark.usefixtures("two_models")
def test_a_store_is_found_from_below_and_listed_from_its_manifests(monkeypatch):
    Path(".memex", "embeddings").mkdir()
    Path(".memex", "embeddings", "some.npy").write_bytes(bytes(2048))
    for path in Path(".memex").rglob(f"*{PACK}"):
        path.chmod(0)
    Path("below").mkdir()
    monkeypatch.chdir("below")
    lines = memex("ls").splitlines()
    assert lines[0].endswith("/.memex")
    assert lines[1].split()[:3] == ["model", "settings", "prompts"]
    assert lines[2].split()[:6] == ["a" * 12, "d" * 8, "3", "10", "6", "1"]
    assert lines[2].endswith("./my-model")
    assert lines[3].split()[:6] == ["b" * 12, "e" * 8, "1", "2", "2", "1"]
    assert lines[4:] == ["embeddings: 2.0 KB in 1 file"]
    first, second = listed()
    assert (first["n_prompts"], first["n_pictures"], first["with_pixels"], first["n_packs"]) == (3, 10, 6, 1)
    assert first["bytes"] > second["bytes"] > 0


@pytest.mark.usefixtures("two_models")
def test_a_manifest_that_does_not_count_pixels_is_counted_when_it_is_compacted():
    (manifest,) = folder_of().glob(f"*{MANIFEST}")
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    manifest.write_text("".join(json.dumps({**line, "pixels": None}) + "\n" for line in lines))
    rest(folder_of())
    assert listed()[0]["with_pixels"] is None
    memex("compact")
    assert listed()[0]["with_pixels"] == 6


@pytest.mark.parametrize("words", [("ls",), ("verify",), ("compact",), ("prune", "--model", "a")])
def test_without_a_store_each_command_says_so(words):
    assert "the store must be a folder, got " in memex(*words, code=1)


@pytest.mark.usefixtures("two_models")
def test_a_whole_store_is_said_to_be_whole():
    assert memex("verify") == "12 pictures, all as they were written\n"


@pytest.mark.usefixtures("two_models")
@pytest.mark.parametrize("how", ["flipped", "cut", "gone"])
def test_damage_is_named_with_pack_byte_prompt_and_numbers_and_nothing_is_changed(how):
    pack = next(folder_of().glob(f"*{PACK}"))
    data = bytearray(pack.read_bytes())
    if how == "gone":
        pack.unlink()
    else:
        data[10] ^= 1
        pack.write_bytes(data if how == "flipped" else data[:10])
    before = sorted(path.stat().st_mtime_ns for path in Path(".memex").rglob("*"))
    lines = memex("verify", code=1).splitlines()
    n, reason = {
        "flipped": (1, "its checksum is another"),
        "cut": (3, "10 of "),
        "gone": (3, "the file is gone"),
    }[how]
    assert lines[0].startswith(
        f"damaged: {pack.absolute()} at byte 0, pictures 0 to 3, of prompt {key_of('a lighthouse')}: {reason}"
    )
    assert lines[n:] == [f"{n} damaged: the next audit draws only these anew"]
    assert sorted(path.stat().st_mtime_ns for path in Path(".memex").rglob("*")) == before
    assert json.loads(memex("verify", "--json", code=1))["damaged"][0]["first"] == 0


@pytest.mark.usefixtures("two_models")
def test_a_line_of_a_manifest_that_was_altered_by_hand_is_damage():
    manifest = next(folder_of().glob(f"*{MANIFEST}"))
    manifest.write_text("{}\n" + manifest.read_text())
    assert f"damaged: {manifest.absolute()}: 1 of its lines are none" in memex("verify", code=1)


@pytest.mark.usefixtures("two_models")
def test_compact_says_what_it_saved_and_leaves_what_a_live_process_writes():
    for number in range(4, 8):
        write(open_store(), "a lighthouse", [number])
    before = memex("compact")
    assert before.count("files") == 2
    assert listed()[0]["n_packs"] == 5
    rest(folder_of())
    assert memex("compact").startswith("before: 14 files, ")
    assert listed()[0]["n_packs"] == 1
    assert open_store().missing("a lighthouse", 8) == []


@pytest.mark.usefixtures("two_models")
def test_when_the_last_picture_came_stays_known_when_it_is_compacted():
    write(open_store(), "a fox", [2])
    rest(folder_of())
    before = listed()[0]["written"]
    memex("compact")
    assert listed()[0]["n_packs"] == 1
    assert listed()[0]["written"] == pytest.approx(before, abs=0.01)


@pytest.mark.usefixtures("two_models")
def test_a_folder_that_another_process_compacts_is_left_alone():
    with Claims(folder_of() / CLAIMS).attempt("compact"):
        assert f"{'a' * 32}/{'d' * 16}: left alone, another process compacts it" in memex("compact")


@pytest.mark.usefixtures("two_models")
def test_prune_must_be_told_what_to_remove():
    assert "memex store prune must be told what to remove, got neither" in memex("prune", "--yes", code=1)
    assert "memex store prune must be told" in memex("prune", "--model", "", "--yes", code=1)
    assert len(listed()) == 2


@pytest.mark.usefixtures("two_models")
def test_prune_says_what_it_would_do_and_does_it_when_told():
    said = memex("prune", "--model", "aa")
    assert said.splitlines()[0].startswith(f"{'a' * 12}/{'d' * 8}: 10 pictures of 3 prompts, ")
    assert said.splitlines()[1] == "nothing was removed yet: add --yes"
    assert len(listed()) == 2
    memex("prune", "--model", "aa", "--yes")
    assert [pictures["model"] for pictures in listed()] == ["./other"]
    assert not folder_of().parent.exists()


@pytest.mark.usefixtures("two_models")
@pytest.mark.parametrize(
    ("words", "left"),
    [
        (("--settings", "ee"), ["./my-model"]),
        (("--settings", "ee", "--model", "a"), ["./my-model", "./other"]),
        (("--older-than", "1"), ["./my-model", "./other"]),
        (("--older-than", "0.01"), []),
    ],
)
def test_prune_removes_what_all_options_are_true_of(words, left):
    memex("prune", *words, "--yes")
    assert [pictures["model"] for pictures in listed()] == left


@pytest.mark.usefixtures("two_models")
def test_prune_leaves_what_somebody_draws_for_or_may_still_write():
    store = open_store()
    with store.lock(["a fox"]):
        assert "; not all: a process draws for them" in memex("prune", "--model", "a", "--yes")
    write(store, "a fox", [2])
    assert "1 packs may still be written to" in memex("prune", "--model", "a", "--yes")
    write(store, "a fox", [3])
    assert open_store().missing("a fox", 4) == [0, 1]


@pytest.mark.usefixtures("two_models")
def test_pixels_are_dropped_and_block_sums_stay():
    before = {picture.request: picture.sums for picture in open_store().read("a lighthouse", 4)}
    assert "the pixels of 6 pictures" in memex("prune", "--pixels", "--model", "a")
    memex("prune", "--pixels", "--model", "a", "--yes")
    after = open_store().read("a lighthouse", 4)
    assert all(picture.reduced for picture in after)
    assert all(np.array_equal(before[picture.request], picture.sums) for picture in after)
    assert [pictures["with_pixels"] for pictures in listed()] == [0, 2]
    assert memex("prune", "--pixels", "--model", "a") == "nothing in the store is meant by this\n"


def test_pixels_that_nothing_draws_again_are_kept():
    write(open_store(name="openai+https://host/v1?model=m"), "a fox", range(2))
    rest(folder_of())
    assert "kept whole, nothing draws the pictures of openai+https" in memex("prune", "--pixels", "--yes")
    assert listed()[0]["with_pixels"] == 2


@pytest.mark.usefixtures("two_models")
def test_a_store_that_cannot_be_written_is_one_clear_line(monkeypatch):
    def full(claims, name):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Claims, "attempt", full)
    assert "must be writable, got No space left on device; free space" in memex("compact", code=1)
