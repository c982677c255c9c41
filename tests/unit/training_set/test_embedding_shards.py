import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from memex_audit.errors import EmbedderError, StoreError, TrainingSetError
from memex_audit.training_set import embedding_shards, mine, open_training_set
from memex_audit.training_set.embedded_set import EmbeddedSet
from memex_audit.training_set.embedding_shards import EmbeddedShards
from memex_audit.training_set.mining import open_shards


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(embedding_shards, "SHARD", 4)
    monkeypatch.setattr(embedding_shards, "BATCH_EXAMPLES", 2)


@pytest.fixture
def root(folder):
    """Ten pictures, one of them broken: shards of four, four and two entries."""
    pictures = {f"{i}.png": i for i in range(10)}
    return folder({**pictures, **{f"{i}.txt": f"caption {i}" for i in range(10)}, "5.png": "no picture"})


@pytest.fixture
def run(root, tmp_path, embedder):
    def run(load=lambda: embedder):
        cache = tmp_path / "cache"
        return mine(
            open_training_set(root), load, embedder_name="pixels", cache=cache, max_prompts=99, seed=0
        )

    return run


@pytest.fixture
def counted(embedder):
    """The embedder, with the number of pictures it was given."""
    original, embedder.n_seen = embedder.embed, 0

    def embed(images):
        embedder.n_seen += len(images)
        return original(images)

    embedder.embed = embed
    return embedder


def shards_of(folder):
    return sorted(path.name for path in folder.rglob("*.npy"))


def test_shards_embedded_in_any_order_are_what_one_run_would_make(root, tmp_path, run, embedder):
    cache = tmp_path / "cache"
    shards = open_shards(open_training_set(root), embedder_name="pixels", cache=cache)
    assert list(shards.numbers()) == shards.missing() == [0, 1, 2]
    assert [shards.embed(number, embedder) for number in (2, 0, 1)] == [2, 4, 3]
    assert shards.missing() == []
    shards.finish()
    mined = run(lambda: pytest.fail("the embedder was loaded"))
    ids = [f"{i}.png" for i in range(10) if i != 5]
    assert list(mined.load_example_ids()) == ids
    expected = embedder.embed(open_training_set(root).load(ids))
    np.testing.assert_allclose(mined.load_embeddings(), expected, atol=2e-4)
    np.testing.assert_allclose(np.linalg.norm(mined.load_embeddings(), axis=1), 1, atol=1e-6)
    assert [(item.what, item.reason) for item in mined.prompts.set_aside] == [
        ("5.png", "no known image format")
    ]


def test_what_was_embedded_before_a_run_broke_off_is_not_embedded_again(run, counted, tmp_path):
    original = counted.embed

    def broken(images):
        if counted.n_seen >= 7:
            raise KeyboardInterrupt
        return original(images)

    counted.embed = broken
    with pytest.raises(KeyboardInterrupt):
        run(lambda: counted)
    assert shards_of(tmp_path) == ["000000.npy", "000001.npy"]
    counted.embed, counted.n_seen = original, 0
    assert run(lambda: counted).prompts.n_examples == 9
    assert counted.n_seen == 2


def test_vectors_that_are_none_name_their_shard_and_the_others_stay(run, embedder, tmp_path):
    original = embedder.embed
    third = original(open_training_set(tmp_path / "set").load(["6.png"]))

    def embed(images):
        vectors = original(images)
        vectors[(vectors == third).all(axis=1)] = np.nan
        return vectors

    embedder.embed = embed
    message = r"of unit norm, got norms off by up to nan in shard 1 from '4\.png' on; correct it and run"
    with pytest.raises(EmbedderError, match=message):
        run()
    assert shards_of(tmp_path) == ["000000.npy"]


def test_shards_of_two_embedders_are_refused(root, tmp_path, embedder):
    shards = open_shards(open_training_set(root), embedder_name="pixels", cache=tmp_path / "cache")
    for number in (0, 1):
        shards.embed(number, embedder)
    embedder.dimension, embedder.embed = 2, lambda images: np.tile(np.float32([0.6, 0.8]), (len(images), 1))
    shards.embed(2, embedder)
    with pytest.raises(
        EmbedderError, match=r"must be of one embedder, got .*dimension=192.* in shard 2; del"
    ):
        shards.finish()


def test_a_shard_that_is_missing_at_the_end_is_named(root, tmp_path, embedder):
    shards = open_shards(open_training_set(root), embedder_name="pixels", cache=tmp_path / "cache")
    shards.embed(1, embedder)
    with pytest.raises(TrainingSetError, match="must be embedded, got none for 2 of 3, the first 0; embed"):
        shards.finish()


@pytest.mark.parametrize("name", ["6.png", "6.txt"])
def test_a_file_that_changes_while_read_is_named_and_its_shard_not_kept(root, run, counted, tmp_path, name):
    original = counted.embed

    def embed(images):
        if counted.n_seen == 4:
            (root / name).write_bytes(b"something else")
        return original(images)

    counted.embed = embed
    message = rf"must not change while it is read, got a change of .*{name}; let what writes there end"
    with pytest.raises(TrainingSetError, match=message):
        run(lambda: counted)
    assert shards_of(tmp_path) == ["000000.npy"]
    counted.embed, counted.n_seen = original, 0
    mined = run(lambda: counted)
    # Nothing of the earlier state is used.
    assert counted.n_seen == mined.prompts.n_examples == (8 if name == "6.png" else 9)


def test_a_file_of_another_shard_that_changes_meanwhile_is_found_at_the_end(root, run, counted):
    original = counted.embed

    def embed(images):
        if counted.n_seen == 4:
            os.utime(root / "0.png", ns=(7, 7))
        return original(images)

    counted.embed = embed
    with pytest.raises(TrainingSetError, match=r"got a change of .*0\.png"):
        run(lambda: counted)


def test_a_file_that_is_another_for_a_while_gets_into_no_shard(root, tmp_path, embedder, png, picture):
    training_set = open_training_set(root)
    shards = open_shards(training_set, embedder_name="pixels", cache=tmp_path / "cache")
    times = (root / "0.png").stat()
    (root / "0.png").write_bytes(png(picture(77)))
    with pytest.raises(TrainingSetError, match=r"got a change of .*0\.png"):
        shards.embed(0, embedder)
    (root / "0.png").write_bytes(png(picture(0)))
    os.utime(root / "0.png", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert shards.embed(0, embedder) == 4


def test_a_set_without_numbered_entries_is_streamed_and_resumed(tmp_path, root, counted):
    class Own:
        """Only what the port asks for."""

        location, set_aside = "own", ()

        def __init__(self):
            self.inner = open_training_set(root)
            self.state = "a"

        def examples(self):
            return self.inner.examples()

        def load(self, ids):
            return self.inner.load(ids)

        def stat_fingerprint(self):
            return self.state

        def content_fingerprint(self):
            return "0" * 63 + self.state

    own = Own()

    def run():
        return mine(
            own, lambda: counted, embedder_name="pixels", cache=tmp_path / "own", max_prompts=99, seed=0
        )

    original = counted.embed

    def changing(images):
        own.state = "b" if counted.n_seen == 6 else "a"
        return original(images)

    counted.embed = changing
    with pytest.raises(
        TrainingSetError, match="own must not change while it is read, got a change of one of"
    ):
        run()
    own.state, counted.embed, counted.n_seen = "a", original, 0
    assert run().prompts.n_examples == 9
    assert counted.n_seen == 5
    with pytest.raises(TrainingSetError, match=r"must offer n_entries, .*, got Own \(own\); mine it in one"):
        EmbeddedShards(tmp_path, own).numbers()


def test_several_at_once_embed_each_shard_once(root, tmp_path, counted):
    start = threading.Barrier(3)

    def work(_):
        training_set = open_training_set(root)
        start.wait()
        cache = tmp_path / "cache"
        return mine(training_set, lambda: counted, embedder_name="pixels", cache=cache, max_prompts=9, seed=0)

    with ThreadPoolExecutor(3) as pool:
        first, *others = pool.map(work, range(3))
    assert others == [first, first]
    assert counted.n_seen == 9


def test_rows_are_read_from_whatever_shards_they_lie_in(run, monkeypatch):
    mined = run()
    everything, vectors = mined.load_embeddings(), mined.load_vectors()
    assert (len(vectors), vectors.dimension) == (9, 192)
    for start, stop in ((0, 9), (3, 5), (8, 20), (4, 4)):
        np.testing.assert_array_equal(vectors.block(start, stop), everything[start:stop])
    for rows in (np.array(rows, np.int64) for rows in ([8, 0, 3, 3, 7], [2, 1], [], [5])):
        taken = vectors.take(rows)
        assert (taken.dtype, taken.flags["C_CONTIGUOUS"]) == (np.float32, True)
        np.testing.assert_array_equal(taken, everything[rows])


def test_a_shard_of_another_length_than_when_the_set_was_finished_is_damage(run):
    folder = run().folder
    np.save(folder / "shards" / "000001.npy", np.zeros((2, 192), np.float16))
    message = (
        r"as it was written, got a damaged one \(shard 1 holds float16 \(2, 192\), not float16 \(3, 192\)"
    )
    with pytest.raises(StoreError, match=message):
        EmbeddedSet(folder).vectors.block(0, 9)


def test_texts_are_a_sequence_like_any_other(run):
    ids = run().load_example_ids()
    expected = tuple(f"{i}.png" for i in range(10) if i != 5)
    assert ids == expected
    assert (list(ids), len(ids)) == (list(expected), 9)
    assert (ids[-1], ids[np.int64(1)], ids[2:4]) == ("9.png", "1.png", expected[2:4])
    assert [ids == other for other in (expected[1:], (*expected[1:], "x"), "x")] == [False] * 3
    assert hash(ids) == hash(run().load_example_ids())
    with pytest.raises(IndexError):
        ids[9]
