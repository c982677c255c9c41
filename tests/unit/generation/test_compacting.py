"""Whatever is written, discarded, drawn again and compacted, by whom, a store reads the same."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memex_audit.claims import Claims
from memex_audit.errors import StoreError, UnitDamaged
from memex_audit.extraction.block_sums import block_sums
from memex_audit.generation import pack_writer
from memex_audit.generation.compacting import COMPACT, compact
from memex_audit.generation.pack_files import MANIFEST, PACK
from memex_audit.generation.packs import Packs
from memex_audit.generation.store import CLAIMS, UnitStore, key_of
from memex_audit.generation.unit import encode_unit
from memex_audit.records import Generation

PROMPTS = ("a lighthouse", "a fox", "a red cat")
DIGEST = "d" * 16


def summarize(pixels):
    return block_sums(pixels[None]).sums[0]


def open_store(root, **options):
    return UnitStore(
        root, fingerprint="f" * 64, digest=DIGEST, root_seed=0, summarize=summarize, **options
    )  # fmt: skip


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path / "store")


def folder_of(root):
    return root / "units" / ("f" * 32) / DIGEST


@pytest.fixture
def folder(tmp_path):
    return folder_of(tmp_path / "store")


def picture(store, prompt, number):
    request = store.request(prompt, number)
    pixels = np.random.default_rng(request.seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Generation(request=request, pixels=pixels)


def write(store, prompt, numbers, *, reduced=False):
    drawn = [picture(store, prompt, number) for number in numbers]
    store.write(prompt, numbers, [store.reduce(one) if reduced else one for one in drawn])


def names(folder, suffix=PACK):
    return sorted(path.stem for path in folder.glob(f"*{suffix}"))


NUMBERS = st.tuples(st.integers(0, 7), st.integers(1, 4)).map(lambda pair: range(pair[0], sum(pair)))
WHO, WHAT = st.integers(0, 2), st.sampled_from(PROMPTS)
STEPS = st.one_of(
    st.tuples(st.just("write"), WHO, WHAT, NUMBERS, st.booleans()),
    st.tuples(st.just("discard"), WHO, WHAT),
    st.tuples(st.just("compact"), st.sampled_from([1, 3000, 1 << 20])),
)


def do(root, stores, expected, step):
    """Do to the stores, and to a dictionary, what the step says."""
    match step:
        case "write", who, prompt, numbers, reduced:
            write(stores[who], prompt, numbers, reduced=reduced)
            for drawn in (picture(stores[who], prompt, number) for number in numbers):
                key = prompt, drawn.request.seed
                expected[key] = expected.get(key) if reduced else drawn.pixels.tobytes()
        case "discard", who, prompt:
            with stores[who].lock([prompt]):
                for place in stores[who]._places(prompt):
                    stores[who]._packs.discard(place)
            for key in [key for key in expected if key[0] == prompt]:
                del expected[key]
        case "compact", pack_bytes:
            assert compact(folder_of(root), pack_bytes=pack_bytes, quiet=0) is not None


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(STEPS, max_size=14))
def test_any_writes_discards_and_compactions_read_as_a_dictionary(steps, tmp_path_factory):
    root = tmp_path_factory.mktemp("store")
    stores, expected = [open_store(root) for _ in range(3)], {}
    folder_of(root).mkdir(parents=True)
    for step in [*steps, ("compact", 1 << 20)]:
        do(root, stores, expected, step)
        assert held(root) == expected
    for store in stores:  # these were open all the time
        with store.lock(PROMPTS[:1]):
            assert pictures_in(store) == expected
    assert len(names(folder_of(root), MANIFEST)) <= 1


def test_small_packs_are_written_together_and_each_unit_stays_as_it_was(store, folder):
    for number in range(6):
        write(open_store(folder.parents[2]), PROMPTS[0], [number])
    states, before = open_store(folder.parents[2]).state_of(PROMPTS[0]), held(folder.parents[2])
    done = compact(folder, quiet=0)
    assert (done.before.files, done.after.files, done.n_dropped, done.left) == (13, 3, 0, ())
    assert len(names(folder)) == 1
    assert held(folder.parents[2]) == before
    assert [state[:4] for state in open_store(folder.parents[2]).state_of(PROMPTS[0])] == [
        state[:4] for state in states
    ]


def test_packs_that_are_large_are_left_alone_and_a_second_time_nothing_is_done(store, folder):
    write(store, PROMPTS[0], range(4))
    for number in range(4, 7):
        write(open_store(folder.parents[2]), PROMPTS[0], [number])
    size = {name: (folder / f"{name}{PACK}").stat().st_size for name in names(folder)}
    large = max(names(folder), key=size.get)
    assert compact(folder, quiet=0, pack_bytes=size[large]) is not None
    stands = names(folder)
    assert large in stands
    assert len(stands) < 4
    compact(folder, quiet=0, pack_bytes=size[large])
    assert names(folder) == stands


def test_what_is_superseded_discarded_or_torn_is_left_out(store, folder):
    write(store, PROMPTS[0], range(4), reduced=True)
    write(store, PROMPTS[0], range(4))
    write(store, PROMPTS[1], range(4))
    (place,) = store._packs.places(key_of(PROMPTS[1]))
    store._packs.discard(place)
    (pack,) = names(folder)
    with (folder / f"{pack}{PACK}").open("ab") as file:
        file.write(b"half a unit")
    before = held(folder.parents[2])
    done = compact(folder, quiet=0)
    assert held(folder.parents[2]) == before
    assert done.n_dropped == 1
    (kept,) = packs_at(folder).all_places()
    assert (kept.first, kept.last, kept.pixels) == (0, 3, 4)
    assert (folder / f"{kept.pack}{PACK}").stat().st_size == kept.size


def test_a_pack_whose_writer_may_live_is_left_alone_until_it_was_quiet_for_long(store, folder):
    write(store, PROMPTS[0], [0])
    write(open_store(folder.parents[2]), PROMPTS[0], [1])
    before = names(folder)
    compact(folder)
    assert names(folder) == before
    for path in folder.glob(f"*{MANIFEST}"):
        os.utime(path, (time.time() - 121, time.time() - 121))
    compact(folder)
    assert len(names(folder)) == 1


def test_a_damaged_pack_stays_and_is_named(store, folder):
    write(store, PROMPTS[0], [0])
    (bad,) = names(folder)
    data = bytearray((folder / f"{bad}{PACK}").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / f"{bad}{PACK}").write_bytes(data)
    for number in (1, 2):
        write(open_store(folder.parents[2]), PROMPTS[0], [number])
    done = compact(folder, quiet=0)
    (left,) = done.left
    assert left.startswith(str(folder / f"{bad}{PACK}"))
    assert "its checksum is another" in left
    assert len(names(folder)) == 2
    again = open_store(folder.parents[2])
    with pytest.raises(UnitDamaged):
        again.read(PROMPTS[0], 3)
    again.discard_damaged(PROMPTS[0])
    assert again.missing(PROMPTS[0], 3) == [0]


def test_a_unit_discarded_while_it_is_written_elsewhere_stays_discarded(store, folder, monkeypatch):
    for number in (0, 1):
        write(open_store(folder.parents[2]), PROMPTS[0], [number])
    finish = pack_writer.PackWriter.finish

    def discard_then_finish(writer, discards, **options):
        other = open_store(folder.parents[2])
        other._packs.discard(other._places(PROMPTS[0])[0])
        finish(writer, discards, **options)

    monkeypatch.setattr(pack_writer.PackWriter, "finish", discard_then_finish)
    compact(folder, quiet=0)
    assert open_store(folder.parents[2]).missing(PROMPTS[0], 2) == [0]


def test_who_comes_second_leaves_the_folder_to_the_first(store, folder):
    write(store, PROMPTS[0], [0])
    with Claims(folder / CLAIMS).attempt(COMPACT):
        assert compact(folder, quiet=0) is None


def test_writers_go_on_while_their_packs_are_compacted_by_two_at_once(folder):
    root, stop = folder.parents[2], threading.Event()
    folder.mkdir(parents=True)

    def go_on():
        n = 0
        while not stop.is_set():
            n += compact(folder, quiet=0) is not None
        return n

    def fill(prompt):
        own = open_store(root)
        for number in range(40):
            write(own, prompt, [number])
            assert len(own.read(prompt, 100)) == number + 1
        return own.missing(prompt, 40)

    with ThreadPoolExecutor(5) as threads:
        compactions = [threads.submit(go_on) for _ in range(2)]
        try:
            assert list(threads.map(fill, PROMPTS)) == [[], [], []]
        finally:
            stop.set()
        assert sum(one.result() for one in compactions) > 1
    store = open_store(root)
    assert [store.missing(prompt, 40) for prompt in PROMPTS] == [[], [], []]
    assert len(held(root)) == 120


def test_a_compaction_that_is_killed_at_any_moment_leaves_a_store_that_reads_the_same(store, folder):
    for number in range(3):
        write(open_store(folder.parents[2]), PROMPTS[0], [number])
    write(store, PROMPTS[1], range(2), reduced=True)
    write(store, PROMPTS[1], range(2))
    write_older(folder, PROMPTS[2], range(2))
    script = Path(__file__).with_name("killed_while_compacting.py")
    run = subprocess.run(
        [sys.executable, str(script), str(folder), str(folder.with_name("copy"))],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) > 4


def test_a_store_of_an_older_version_is_packed_and_read_as_before(store, folder):
    for prompt in PROMPTS:
        write_older(folder, prompt, range(4))
    expected = {
        (prompt, (drawn := picture(store, prompt, number)).request.seed): drawn.pixels.tobytes()
        for prompt in PROMPTS
        for number in range(4)
    }
    with pytest.raises(StoreError, match="`memex store compact` packs what it holds"):
        held(folder.parents[2])
    done = compact(folder)
    assert (done.n_older, done.left) == (3, ())
    assert held(folder.parents[2]) == expected
    assert sorted(path.suffix or path.name for path in folder.iterdir()) == [MANIFEST, PACK, CLAIMS]


def test_a_damaged_file_of_an_older_version_is_set_aside_and_named(folder):
    write_older(folder, PROMPTS[0], range(4))
    write_older(folder, PROMPTS[1], range(4))
    bad = next((folder / key_of(PROMPTS[1])[:2]).rglob("*.parquet"))
    bad.write_bytes(bad.read_bytes()[:-20])
    done = compact(folder)
    (left,) = done.left
    moved = folder / "damaged" / f"{key_of(PROMPTS[1])}-000000-000003.parquet"
    assert left.startswith(f"{moved}: ")
    assert moved.exists()
    store = open_store(folder.parents[2])
    assert (store.missing(PROMPTS[0], 4), store.missing(PROMPTS[1], 4)) == ([], [0, 1, 2, 3])


def write_older(folder, prompt, numbers):
    """Write a unit as memex-audit did before there were packs."""
    store = open_store(folder.parents[2])
    unit = encode_unit(numbers, [picture(store, prompt, number) for number in numbers], summarize)
    table = pa.ipc.open_stream(unit).read_all().replace_schema_metadata({"memex_unit": "1"})
    path = folder / key_of(prompt)[:2] / key_of(prompt) / f"{numbers[0]:06}-{numbers[-1]:06}.parquet"
    path.parent.mkdir(parents=True)
    (path.parent / ".lock").touch()
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)


def pictures_in(store):
    return {
        (prompt, one.request.seed): None if one.pixels is None else one.pixels.tobytes()
        for prompt in PROMPTS
        for one in store.read(prompt, 100)
    }


def held(root):
    """Return what a fresh store reads: of each prompt and seed the pixels, None where they were not kept."""
    return pictures_in(open_store(root))


def packs_at(folder):
    packs = Packs(folder)
    packs.refresh()
    return packs
