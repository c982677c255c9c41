import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from memex_audit.errors import (
    ConfigurationError,
    EmbedderError,
    StoreError,
    StoreUnwritable,
    TrainingSetError,
)
from memex_audit.records import TrainingExample
from memex_audit.training_set import embedded_set, embedding_shards, mine, open_training_set
from memex_audit.training_set.made_once import make_once


def never():
    pytest.fail("the embedder was loaded")


@pytest.fixture
def root(folder):
    """Six pictures: 1 stands three times under two captions, the others once; one file is broken."""
    pictures = {"a": 1, "b": 1, "c": 1, "d": 2, "e": 3, "f": 4}
    captions = {"a": "a cat", "b": "a cat", "c": "an animal", "d": "a dog", "e": "a bird", "f": "a bird"}
    files = {f"{name}.png": number for name, number in pictures.items()}
    return folder(
        {**files, **{f"{name}.txt": text for name, text in captions.items()}, "g.png": "", "g.txt": "x"}
    )


@pytest.fixture
def run(root, tmp_path, embedder):
    def run(load=lambda: embedder, **options):
        settings = {"embedder_name": "pixels", "cache": tmp_path / "cache", "max_prompts": 9, "seed": 0}
        return mine(open_training_set(root), load, **{**settings, **options})

    return run


def made(cache):
    """Return the files a run left of what it mined: claims and digests of files are no part of that."""
    files = [path for path in cache.rglob("*") if path.is_file() and "claims" not in path.parts]
    return [path.name for path in files if path.suffix not in (".lock", ".contents")]


def test_near_copies_are_counted_and_their_captions_grouped(run):
    mined = run()
    found = {prompt.text: prompt for prompt in mined.prompts.prompts}
    assert {text: prompt.duplication_count for text, prompt in found.items()} == {
        "a cat": 3,
        "an animal": 3,
        "a dog": 1,
        "a bird": 1,
    }
    assert found["a cat"].group_id == found["an animal"].group_id
    assert found["a cat"].example_ids == ("a.png", "b.png")
    assert mined.prompts.n_examples == 6
    assert mined.prompts.duplicated_share == 0.5
    assert [(item.what, item.reason) for item in mined.prompts.set_aside] == [("g.png", "empty file")]
    assert mined.prompts.frame.size == 3


def test_a_second_run_mines_nothing_and_finds_the_same(run):
    assert run() == run(load=never)


def test_other_prompts_and_another_similarity_need_no_embedder(run):
    assert run().similarity == 0.9
    assert len(run(load=never, max_prompts=1).prompts.prompts) == 1
    everything_near = run(load=never, similarity=1e-9)
    assert everything_near.similarity == 1e-9
    assert everything_near.prompts != run(load=never).prompts


def test_a_join_by_lists_notes_its_recall_and_is_kept_apart_from_the_exact_one(run):
    exact, lists = run(), run(load=never, join="ivf")
    assert not exact.load_note()
    assert re.search(r"in \d+ of \d+ lists of images: recall 1\.0000, at least 0\.\d+", lists.load_note())
    assert lists.prompts == exact.prompts
    assert not run(load=never, join="exact").load_note()


def test_another_embedder_is_not_read_from_the_cache(run):
    run()
    with pytest.raises(pytest.fail.Exception, match="the embedder was loaded"):
        run(load=never, embedder_name="other")


def test_a_changed_file_is_mined_again(run, root, png, picture):
    before = run()
    (root / "d.png").write_bytes(png(picture(1)))
    after = run()
    assert max(prompt.duplication_count for prompt in after.prompts.prompts) == 4
    assert after.content_fingerprint != before.content_fingerprint


def test_the_content_fingerprint_is_that_of_the_set_and_computed_once(run, root, monkeypatch):
    expected = open_training_set(root).content_fingerprint()
    assert run().content_fingerprint == expected
    monkeypatch.setattr(type(open_training_set(root)), "content_fingerprint", None)
    assert run(load=never).content_fingerprint == expected


def test_a_fresh_copy_of_the_same_files_is_not_embedded_again(run, root):
    expected = run()
    for path in root.iterdir():
        os.utime(path, (1, 1))
    again = run(load=never)
    assert again.prompts == expected.prompts
    assert again.folder == expected.folder


def test_other_contents_of_the_same_size_are_mined_anew(run, root, embedder):
    first = run()
    (root / "d.txt").write_text("a cow")
    os.utime(root / "d.txt", (1, 1))
    second = run()
    assert second.content_fingerprint != first.content_fingerprint
    assert "a cow" in {prompt.text for prompt in second.prompts.prompts}


def test_the_index_holds_every_example(run, root, embedder):
    mined = run()
    index = mined.load_index()
    assert (
        index.example_ids
        == mined.load_example_ids()
        == ("a.png", "b.png", "c.png", "d.png", "e.png", "f.png")
    )
    queries = embedder.embed(open_training_set(root).load(["d.png", "f.png"]))
    cosines, rows = index.search(queries, 1)
    assert rows.tolist() == [[3], [5]]
    np.testing.assert_allclose(cosines, 1, atol=1e-6)
    assert mined.load_embeddings().shape == (6, 192)


def test_batches_end_at_a_number_of_examples_or_of_bytes(run, embedder, monkeypatch, tmp_path):
    sizes = []
    original = embedder.embed
    embedder.embed = lambda images: (sizes.append(len(images)), original(images))[1]
    run(cache=tmp_path / "all")
    monkeypatch.setattr(embedding_shards, "BATCH_EXAMPLES", 4)
    run(cache=tmp_path / "few")
    monkeypatch.setattr(embedding_shards, "BATCH_BYTES", 2 * 192)
    run(cache=tmp_path / "small")
    assert sizes == [6, 4, 2, 2, 2, 2]


def test_progress_is_told_with_the_total_where_it_is_known(run, monkeypatch):
    monkeypatch.setattr(embedding_shards, "BATCH_EXAMPLES", 4)
    calls = []
    run(progress=lambda *call: calls.append(call))
    # Seven pictures are listed; one of them is broken.
    assert calls == [(4, 7), (6, 7)]


def test_a_run_that_fails_leaves_nothing_behind(run, embedder, tmp_path):
    embedder.embed = lambda images: 1 / 0
    with pytest.raises(ZeroDivisionError):
        run()
    assert made(tmp_path / "cache") == []


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError("2560 requested and 9")])
def test_a_full_disk_is_named_and_leaves_nothing_half_made(run, tmp_path, monkeypatch, error):
    def fill_up(file, array):
        file.write(b"half")
        raise error

    monkeypatch.setattr(np, "save", fill_up)
    with pytest.raises(StoreUnwritable, match=r"the cache .*cache must be writable, got (No space|2560 req)"):
        run()
    assert made(tmp_path / "cache") == []
    monkeypatch.undo()
    assert len(run().prompts.prompts) == 4


def test_a_cache_that_cannot_be_a_folder_is_named(run, tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(StoreUnwritable, match=r"cache must be writable, got File exists; free space or name"):
        run()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("facts.json", {}),
        ("audit-set", {}),
        ("set-aside.jsonl", {}),
        ("shards/000000.parquet", {"max_prompts": 3}),
        ("duplicates", {"max_prompts": 3}),
        ("shards/000000.npy", {"similarity": 0.5}),
    ],
)
@pytest.mark.parametrize("drop", [1, 10, None], ids=["a byte short", "ten bytes short", "empty"])
def test_a_damaged_cache_is_named_with_what_to_do_and_never_trusted(run, name, options, drop):
    folder = run().folder
    (path,) = folder.glob(f"{name}*")
    data = path.read_bytes().rstrip()
    path.write_bytes(data[:-drop] if drop else b"")
    if (name, drop) == ("set-aside.jsonl", None):  # as that of a set where everything could be used
        assert run().prompts.set_aside == ()
        return
    with pytest.raises(StoreError, match=rf"{folder} must be as it was written, .*\(.*\); delete it and run"):
        run(**options)


def test_a_damaged_note_of_the_contents_is_named(run, tmp_path):
    run()
    (note,) = (tmp_path / "cache").glob("*.contents")
    note.write_text(note.read_text()[:40])
    with pytest.raises(StoreError, match=rf"{note} must be as it was written, .*\(no SHA-256\); delete it"):
        run()


def test_what_a_killed_run_left_is_cleared(tmp_path):
    partial = tmp_path / ".partial-made"
    partial.mkdir()
    (partial / "half").write_text("x")
    make_once(tmp_path / "made", lambda path: path.mkdir())
    assert list((tmp_path / "made").iterdir()) == []
    assert not partial.exists()


def test_of_several_at_once_one_makes_it_and_the_others_wait(tmp_path):
    made = []
    started = threading.Barrier(4)

    def make(path):
        made.append(threading.get_ident())
        time.sleep(0.05)  # so that the others have seen that it is missing
        path.write_text("done")

    def work():
        started.wait()
        make_once(tmp_path / "thing", make)
        assert (tmp_path / "thing").read_text() == "done"

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_a_warm_cache_loads_neither_torch_nor_faiss_nor_a_picture(run, root, tmp_path):
    run()
    code = """
import json, pathlib, sys
from memex_audit.training_set import mine, open_training_set
root, cache = map(pathlib.Path, sys.argv[1:])
mined = mine(open_training_set(root), None, embedder_name="pixels", cache=cache, max_prompts=9, seed=0)
heavy = ("torch", "open_clip", "faiss", "scipy", "huggingface_hub", "memex_audit.training_set.embedded_set")
print(json.dumps([len(mined.prompts.prompts), [name for name in heavy if name in sys.modules]]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(root), str(tmp_path / "cache")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert json.loads(done.stdout) == [4, []]


def test_a_set_without_a_usable_example_is_an_error_that_says_why(folder, embedder, tmp_path):
    root = folder({"a.png": "", "a.txt": "a cat", "b.txt": "a dog"})
    message = (
        r"must hold a picture with a caption, got none \(2 set aside, the first: a\.png: empty file\); check"
    )
    with pytest.raises(TrainingSetError, match=message):
        mine(
            open_training_set(root),
            lambda: embedder,
            embedder_name="pixels",
            cache=tmp_path / "c",
            max_prompts=9,
            seed=0,
        )


class Scripted:
    """A user's own training set: no files, no numbered entries."""

    location = "scripted"
    set_aside = ()

    def __init__(self, ids, picture, state="first"):
        self.ids, self.picture, self.state = list(ids), picture, state

    def examples(self):
        for name in self.ids:
            yield TrainingExample(id=name, caption=f"picture {name}", pixels=self.picture(hash(name) % 999))

    def load(self, ids):
        return [self.picture(hash(name) % 999) for name in ids]

    def stat_fingerprint(self):
        return self.state

    def content_fingerprint(self):
        return hashlib.sha256(self.state.encode()).hexdigest()


@pytest.fixture
def mine_scripted(tmp_path, embedder, picture, monkeypatch):
    monkeypatch.setattr(embedding_shards, "SHARD", 4)

    def run(ids, load=lambda: embedder, state="first"):
        return mine(
            Scripted(ids, picture, state),
            load,
            embedder_name="pixels",
            cache=tmp_path / "cache",
            max_prompts=9,
            seed=0,
        )

    return run


def test_ids_that_are_not_distinct_are_an_error_in_whatever_shards_they_stand(mine_scripted):
    with pytest.raises(TrainingSetError, match=r"Example ids of scripted must differ, got 'b' twice; number"):
        mine_scripted("abcdefbg")


def test_ids_are_compared_in_parts_where_they_are_many(mine_scripted, monkeypatch):
    monkeypatch.setattr(embedded_set, "IDS_AT_A_TIME", 2)
    assert list(mine_scripted("abcdefg").load_example_ids()) == list("abcdefg")
    with pytest.raises(TrainingSetError, match="got 'c' twice"):
        mine_scripted("abcdefc", state="other")


@pytest.mark.parametrize(
    ("spoil", "got"),
    [
        (
            lambda vectors: vectors * np.float32(2),
            "norms off by up to 1 in shard 0 from 'a.png' on; correct it",
        ),
        (lambda vectors: vectors.astype(np.float64), r"float64 \(6, 192\) in shard 0"),
        (lambda vectors: vectors[1:], r"float32 \(5, 192\) in"),
        (lambda vectors: vectors[0], r"float32 \(192,\) in"),
        (lambda vectors: vectors * np.float32("nan"), "norms off by up to nan in shard 0 "),
    ],
)
def test_an_embedder_that_breaks_its_contract_is_named(run, embedder, spoil, got):
    original = embedder.embed
    embedder.embed = lambda images: spoil(original(images))
    with pytest.raises(EmbedderError, match=rf"pixels must give float32 \(6, 192\) of unit norm, got {got}"):
        run()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_prompts": 0}, "`max_prompts` must be at least 1, got 0; an audit needs prompts"),
        (
            {"similarity": 0.0},
            r"`similarity` must be in \(0, 1\], got similarity=0.0. It is a cosine; larger is closer",
        ),
        ({"similarity": 95}, r"`similarity` must be in \(0, 1\], got similarity=95"),
    ],
)
def test_options_that_cannot_be_used_are_refused_before_anything_is_read(run, options, message):
    with pytest.raises(ConfigurationError, match=message):
        run(load=never, **options)


def test_a_smaller_limit_of_pixels_does_not_read_what_was_mined_with_a_larger_one(
    root, run, tmp_path, embedder
):
    run()
    smaller = open_training_set(root, max_pixels=63)
    with pytest.raises(TrainingSetError, match="too large: 8 x 8 pixels are 64, over the limit of 63"):
        mine(
            smaller, lambda: embedder, embedder_name="pixels", cache=tmp_path / "cache", max_prompts=9, seed=0
        )
