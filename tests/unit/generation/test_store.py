"""What was drawn is kept whole, or not at all."""

import json
import re
import resource
import stat
import threading
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from memex_audit.errors import StoreError, StoreUnwritable, UnitDamaged
from memex_audit.extraction.block_sums import block_sums
from memex_audit.generation import packs
from memex_audit.generation.identity import MODEL_FILE
from memex_audit.generation.seeds import image_seed
from memex_audit.generation.store import UnitStore, open_store_folder
from memex_audit.generation.unit import SCHEMA
from memex_audit.records import Generation

PROMPT = "a lighthouse"
FINGERPRINT = "f" * 64


def summarize(pixels):
    return block_sums(pixels[None]).sums[0]


def open_store(root, root_seed=0, **options):
    return UnitStore(
        root, fingerprint=FINGERPRINT, digest="d" * 16, root_seed=root_seed, summarize=summarize, **options
    )


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path / "store")


def draw(store, numbers, prompt=PROMPT):
    return [
        Generation(
            request=store.request(prompt, number),
            pixels=np.random.default_rng(number).integers(0, 256, (20, 24, 3), dtype=np.uint8),
        )
        for number in numbers
    ]


def write(store, numbers, prompt=PROMPT):
    generations = draw(store, numbers, prompt)
    store.write(prompt, numbers, generations)
    return generations


def files(tmp_path):
    found = (tmp_path / "store" / "units").rglob("*")
    return sorted(path for path in found if path.is_file() and path.name != MODEL_FILE)


def pack_of(tmp_path):
    """Return the one pack of the store, and its manifest."""
    manifest, pack = files(tmp_path)
    assert (manifest.suffix, pack.suffix) == (".jsonl", ".pack")
    assert manifest.stem == pack.stem
    return pack, manifest


def reopened(store):
    return open_store(store._root)


def test_pictures_come_back_with_every_pixel_and_their_seeds(store):
    written = write(store, [0, 1, 2])
    read = store.read(PROMPT, 3)
    assert [generation.request for generation in read] == [generation.request for generation in written]
    assert [generation.request.seed for generation in read] == [image_seed(0, PROMPT, i) for i in range(3)]
    for one, other in zip(read, written, strict=True):
        assert one.pixels.dtype == np.uint8
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_a_picture_set_aside_keeps_its_reason(store):
    request = store.request(PROMPT, 0)
    store.write(PROMPT, [0], [Generation(request=request, pixels=None, reason="not finite")])
    assert store.missing(PROMPT, 1) == []
    assert store.read(PROMPT, 1) == [Generation(request=request, pixels=None, reason="not finite")]


def test_the_block_sums_beside_a_picture_are_its_own(store):
    (generation,) = write(store, [0])
    (read,) = reopened(store).read(PROMPT, 1)
    assert read.size == (20, 24)
    np.testing.assert_array_equal(read.sums, block_sums(generation.pixels[None]).sums[0])


def test_a_longer_look_adds_a_unit_and_replaces_none(store, tmp_path):
    write(store, range(4))
    pack, manifest = pack_of(tmp_path)
    before = pack.read_bytes(), manifest.read_bytes()
    assert store.missing(PROMPT, 16) == list(range(4, 16))
    write(store, range(4, 16))
    assert pack.read_bytes().startswith(before[0])
    assert manifest.read_bytes().startswith(before[1])
    assert len(manifest.read_bytes().splitlines()) == 2
    assert [g.request.seed for g in store.read(PROMPT, 16)] == [image_seed(0, PROMPT, i) for i in range(16)]


def test_a_shorter_look_reads_only_its_own_numbers(store):
    write(store, range(16))
    assert store.missing(PROMPT, 4) == []
    assert [g.request.seed for g in store.read(PROMPT, 4)] == [image_seed(0, PROMPT, i) for i in range(4)]


def test_holes_are_missing_and_what_stands_beyond_is_read_by_number(store):
    write(store, [0, 1])
    write(store, [4, 5])
    assert store.missing(PROMPT, 7) == [2, 3, 6]
    assert [g.request.seed for g in store.read(PROMPT, 7)] == [image_seed(0, PROMPT, i) for i in (0, 1, 4, 5)]


def test_prompts_models_and_settings_do_not_share_pictures(store, tmp_path):
    write(store, [0])
    assert store.missing("another", 1) == [0]
    for fingerprint, digest in [("0" * 64, "d" * 16), (FINGERPRINT, "0" * 16)]:
        other = UnitStore(
            tmp_path / "store", fingerprint=fingerprint, digest=digest, root_seed=0, summarize=summarize
        )
        assert other.missing(PROMPT, 1) == [0]


@pytest.mark.parametrize("fingerprint", ["", "../../escaped", "my/model", "x" * 300, "a\0b"])
def test_a_fingerprint_of_any_text_names_a_folder_of_its_own(tmp_path, fingerprint):
    def opened(text):
        return UnitStore(tmp_path / "s", fingerprint=text, digest="d" * 16, root_seed=0, summarize=summarize)

    write(opened(fingerprint), [0])
    assert opened(fingerprint).missing(PROMPT, 1) == []
    assert opened(fingerprint + "b").missing(PROMPT, 1) == [0]
    (folder,) = (tmp_path / "s" / "units").iterdir()
    assert re.fullmatch("[0-9a-f]{32}", folder.name)


def test_composed_and_decomposed_accents_share_their_pictures(store):
    write(store, [0], "caf\u00e9")
    assert store.missing("cafe\u0301", 1) == []


def test_a_pack_stands_where_the_design_says_and_its_manifest_names_each_unit(store, tmp_path):
    write(store, [0, 1])
    pack, manifest = pack_of(tmp_path)
    assert pack.relative_to(tmp_path / "store").parent.as_posix() == f"units/{'f' * 32}/{'d' * 16}"
    assert json.loads(manifest.read_text()) == {
        # sha256sum of "a lighthouse"
        "prompt": "f2e40ed4875e649d794563627aba52f316f5dc191ad30dfda48f643c242d1e48",
        "first": 0, "last": 1, "offset": 0, "size": pack.stat().st_size, "crc": zlib.crc32(pack.read_bytes()),
        "pixels": 2,
    }  # fmt: skip


def test_each_store_that_writes_has_a_pack_of_its_own_and_all_are_read(store, tmp_path):
    other = open_store(tmp_path / "store")
    write(store, [0])
    write(other, [0], "another")
    assert len(files(tmp_path)) == 4
    read = reopened(store)
    assert read.missing(PROMPT, 1) == read.missing("another", 1) == []


def test_a_pack_that_is_full_gets_no_further_unit(store, tmp_path, monkeypatch):
    monkeypatch.setattr(store._packs, "_pack_bytes", 5000)
    for number in range(4):
        write(store, [number])
    sizes = [path.stat().st_size for path in files(tmp_path) if path.suffix == ".pack"]
    assert len(sizes) > 1
    assert len(reopened(store).read(PROMPT, 4)) == 4


def test_what_another_process_wrote_is_known_under_the_lock(store, tmp_path):
    other = open_store(tmp_path / "store")
    assert other.missing(PROMPT, 1) == [0]
    write(store, [0])
    assert other.missing(PROMPT, 1) == [0]
    with other.lock([PROMPT]):
        assert other.missing(PROMPT, 1) == []
    write(store, [1])
    with other.lock([PROMPT]):
        assert len(other.read(PROMPT, 2)) == 2


def test_what_a_killed_process_left_half_written_is_no_unit(store, tmp_path):
    write(store, [0])
    pack, manifest = pack_of(tmp_path)
    line = manifest.read_text()
    with pack.open("ab") as file:
        file.write(b"half a unit")
    with manifest.open("a") as file:
        file.write(line[:40])
    read = reopened(store)
    assert read.missing(PROMPT, 4) == [1, 2, 3]
    assert len(read.read(PROMPT, 4)) == 1


@pytest.mark.parametrize("line", ["no json", "[]", "{}", '{"prompt": 1, "first": null}', '"text"'])
def test_a_line_of_a_manifest_that_is_none_loses_nothing_else(store, tmp_path, line):
    write(store, [0])
    _, manifest = pack_of(tmp_path)
    manifest.write_text(f"{line}\n{manifest.read_text()}")
    assert len(reopened(store).read(PROMPT, 1)) == 1


def test_a_full_disk_leaves_nothing_behind_and_keeps_earlier_units(store, tmp_path, monkeypatch):
    write(store, [0])
    before = [(path, path.read_bytes()) for path in files(tmp_path)]

    def fail(path, data, *, make):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(packs, "append_to", fail)
        with pytest.raises(
            StoreError, match=r"cannot be written \(No space left on device\); free space or name"
        ):
            write(store, [1, 2])
    assert [(path, path.read_bytes()) for path in files(tmp_path)] == before
    assert len(store.read(PROMPT, 3)) == 1
    write(store, [1, 2])
    assert store.missing(PROMPT, 3) == reopened(store).missing(PROMPT, 3) == []


def test_a_unit_that_did_not_fit_is_cut_off_again(store, tmp_path):
    write(store, [0])
    before = pack_of(tmp_path)[0].read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # What is written beyond it fails part of the way, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, limits[1]))
    try:
        with pytest.raises(StoreUnwritable, match=r"cannot be written .File too large"):
            write(store, [1, 2])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert pack_of(tmp_path)[0].read_bytes() == before
    write(store, [1, 2])
    assert len(reopened(store).read(PROMPT, 3)) == 3


def test_an_error_without_a_number_is_still_explained(store, monkeypatch):
    def fail(path, data, *, make):
        raise OSError("quota of the file system")

    monkeypatch.setattr(packs, "append_to", fail)
    with pytest.raises(StoreError, match=r"cannot be written \(quota of the file system\)"):
        write(store, [0])


@pytest.mark.parametrize("keep", [0, 3, 200, -1], ids=["empty", "three bytes", "200 bytes", "all but one"])
def test_a_truncated_unit_is_named_with_what_to_do(store, tmp_path, keep):
    write(store, [0, 1])
    pack, _ = pack_of(tmp_path)
    pack.write_bytes(pack.read_bytes()[:keep])
    with pytest.raises(
        UnitDamaged,
        match=rf"pictures 0 to 1 in {re.escape(str(pack))} at byte 0 must be as they were .*; run again",
    ):
        store.read(PROMPT, 2)


def test_a_byte_that_changed_anywhere_in_a_unit_is_seen(store, tmp_path):
    write(store, [0, 1])
    pack, _ = pack_of(tmp_path)
    whole = pack.read_bytes()
    for position in range(0, len(whole), 7):
        pack.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        with pytest.raises(UnitDamaged, match="its checksum is another"):
            store.read(PROMPT, 2)


def spoil(tmp_path, change, metadata=None):
    """Rewrite the only unit with a changed table; pack and manifest are faultless."""
    pack, manifest = pack_of(tmp_path)
    with pa.ipc.open_stream(pack.read_bytes()) as stream:
        table = change(stream.read_all())
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    unit = bytes(sink.getvalue())
    pack.write_bytes(unit)
    line = json.loads(manifest.read_text()) | {"size": len(unit), "crc": zlib.crc32(unit)}
    manifest.write_text(json.dumps(line) + "\n")


def rows(change):
    def changed(table):
        listed = table.to_pylist()
        change(listed)
        return pa.Table.from_pylist(listed, schema=SCHEMA)

    return changed


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda rows: rows[1].update(pixels=rows[1]["pixels"][:200]), "a picture: "),
        (lambda rows: rows[1].update(pixels=b"<html>"), "a picture: cannot identify"),
        (lambda rows: rows[0].update(height=3), "a picture is of another size"),
        (lambda rows: rows[0].update(block_sums=[1, 2]), "a picture has 2 block sums"),
        (lambda rows: rows[0].update(seed=7), "its pictures are not those that its manifest says"),
        (lambda rows: rows.pop(), "its pictures are not those that its manifest says"),
        (lambda rows: rows.reverse(), "its pictures are not those that its manifest says"),
    ],
    ids=["half a picture", "no picture", "another size", "two sums", "another seed", "a row less", "order"],
)
def test_a_unit_that_holds_other_things_than_its_manifest_says_is_damaged(store, tmp_path, change, found):
    write(store, [0, 1])
    spoil(tmp_path, rows(change))
    with pytest.raises(UnitDamaged, match=found):
        reopened(store).read(PROMPT, 2)


def test_a_unit_without_a_column_is_damaged(store, tmp_path):
    write(store, [0])
    spoil(tmp_path, lambda table: table.drop_columns(["seed"]))
    with pytest.raises(UnitDamaged, match="no column seed"):
        reopened(store).read(PROMPT, 1)


def test_a_unit_that_is_no_stream_of_arrow_is_damaged(store, tmp_path):
    write(store, [0])
    pack, manifest = pack_of(tmp_path)
    pack.write_bytes(b"something else")
    line = json.loads(manifest.read_text()) | {"size": 14, "crc": zlib.crc32(b"something else")}
    manifest.write_text(json.dumps(line) + "\n")
    with pytest.raises(UnitDamaged, match="must be as they were"):
        reopened(store).read(PROMPT, 1)


def test_a_manifest_that_says_more_than_its_unit_holds_makes_it_damaged(store, tmp_path):
    write(store, [0, 1])
    _, manifest = pack_of(tmp_path)
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"last": 3}) + "\n")
    with pytest.raises(UnitDamaged, match="its pictures are not those that its manifest says"):
        reopened(store).read(PROMPT, 4)


def test_damaged_units_are_discarded_with_a_note_and_others_kept(tmp_path):
    notes = []
    store = open_store(tmp_path / "store", note=notes.append)
    write(store, [0, 1])
    write(store, [2, 3])
    pack, _ = pack_of(tmp_path)
    pack.write_bytes(b"\0" + pack.read_bytes()[1:])
    store.discard_damaged(PROMPT)
    assert store.missing(PROMPT, 4) == reopened(store).missing(PROMPT, 4) == [0, 1]
    assert notes == [
        "pictures 0 to 1 of a prompt were damaged and drawn anew: in "
        f"{pack.relative_to(tmp_path / 'store').as_posix()}, at byte 0"
    ]
    write(store, [0, 1])
    assert len(reopened(store).read(PROMPT, 4)) == 4


def test_a_pack_that_is_gone_is_damage_of_its_units(store, tmp_path):
    write(store, [0])
    pack, _ = pack_of(tmp_path)
    pack.unlink()
    with pytest.raises(UnitDamaged, match="the file is gone"):
        store.read(PROMPT, 1)
    store.discard_damaged(PROMPT)
    assert store.missing(PROMPT, 1) == [0]


def test_packs_that_were_written_again_elsewhere_are_looked_for_there(store, tmp_path):
    write(store, [0])
    other = open_store(tmp_path / "store")
    (place,) = other._packs.all_places()
    other._packs.append(place.prompt, 0, 0, other._packs.read(place))
    other._packs.remove([place.pack])
    assert len(store.read(PROMPT, 1)) == 1
    store.discard_damaged(PROMPT)
    assert len(store.read(PROMPT, 1)) == 1


def test_a_pack_that_was_sealed_or_removed_gets_no_further_unit_and_no_unit_is_lost(store, tmp_path):
    write(store, [0])
    pack, _ = pack_of(tmp_path)
    other = open_store(tmp_path / "store")
    other._packs.seal([pack.stem])
    write(store, [1])
    write(store, [2])
    others = {place.pack for place in reopened(store)._packs.all_places()} - {pack.stem}
    assert len(others) == 1
    other._packs.remove(others)
    write(store, [3])
    assert not (pack.parent / f"{others.pop()}.pack").exists()
    assert [len(reopened(store).read(PROMPT, 4)), len(store.read(PROMPT, 4))] == [2, 2]


def test_a_unit_that_comes_while_its_pack_is_sealed_is_written_into_a_new_one_too(store, tmp_path):
    write(store, [0])
    append, other = packs.append_to, open_store(tmp_path / "store")
    pack, _ = pack_of(tmp_path)

    def append_late(path, data, *, make):
        if path.suffix == ".jsonl":
            monkeypatch.undo()
            other._packs.seal([pack.stem])
        return append(path, data, make=make)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(packs, "append_to", append_late)
        write(store, [1])
    other._packs.remove([pack.stem])
    assert reopened(store).missing(PROMPT, 2) == [0]


def test_the_state_of_a_prompt_changes_with_its_units_and_not_with_those_of_others(store):
    empty = store.state_of(PROMPT)
    write(store, [0])
    one = store.state_of(PROMPT)
    write(store, [0], "another")
    assert store.state_of(PROMPT) == reopened(store).state_of(PROMPT) == one
    write(store, [1])
    assert empty != one != store.state_of(PROMPT)


def test_a_pack_that_may_not_be_read_is_not_taken_for_a_damaged_one(store, monkeypatch):
    write(store, [0])

    def refuse(path, mode):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(
        StoreError, match=r"must be readable, got Permission denied; check its perm"
    ) as raised:
        store.read(PROMPT, 1)
    assert not isinstance(raised.value, UnitDamaged)


@pytest.mark.parametrize("metadata", [{"memex_unit": "0"}, None], ids=["older", "none"])
def test_a_unit_of_another_version_is_refused(store, tmp_path, metadata):
    write(store, [0])
    spoil(tmp_path, lambda table: table.replace_schema_metadata(metadata))
    version = re.escape(repr("0" if metadata else ""))
    with pytest.raises(StoreError, match=rf"must be of version 2, got {version}: another"):
        reopened(store).read(PROMPT, 1)


def test_a_store_with_a_file_for_each_prompt_is_refused_and_left_as_it_is(store, tmp_path):
    older = tmp_path / "store" / "units" / ("f" * 32) / ("d" * 16) / "f2" / ("f2" + "0" * 62)
    older.mkdir(parents=True)
    (older / "000000-000003.parquet").write_bytes(b"PAR1")
    with pytest.raises(StoreError, match=r"an older memex-audit.*`memex store compact` packs"):
        store.missing(PROMPT, 1)
    assert (older / "000000-000003.parquet").exists()


def test_the_folder_is_private_and_invisible_to_git(tmp_path):
    root = open_store_folder(tmp_path / "store")
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert (root / ".gitignore").read_text() == "*\n"
    (root / ".gitignore").write_text("mine\n")
    open_store_folder(root)
    assert (root / ".gitignore").read_text() == "mine\n"


def test_a_file_where_the_store_should_be_is_refused(tmp_path):
    (tmp_path / "store").write_text("")
    with pytest.raises(
        StoreError, match=r"must be a folder that can be written, got .*store \(File exists\)"
    ):
        open_store(tmp_path / "store")


@pytest.mark.parametrize("blocked", ["units", "units/" + "f" * 32])
def test_a_store_that_cannot_be_written_is_named(store, tmp_path, blocked):
    path = tmp_path / "store" / blocked
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    with pytest.raises(StoreError, match=r"the store .*units.* cannot be written \(Not a directory\)"):
        write(store, [0])


def test_a_lock_that_cannot_be_made_is_named(store, tmp_path):
    (tmp_path / "store" / "units").write_text("")
    with (
        pytest.raises(StoreUnwritable, match=r"the store .*units.* cannot be written \(Not a directory\)"),
        store.lock([PROMPT]),
    ):
        pass


def test_locks_of_overlapping_prompts_exclude_each_other_and_others_do_not(store, tmp_path):
    other = open_store(tmp_path / "store")
    with store.lock(["a", "b"]):
        entered = []

        def enter(prompts):
            with other.lock(prompts):
                entered.append(prompts)

        apart, overlapping = (threading.Thread(target=enter, args=(p,)) for p in (["c", "d"], ["b", "c"]))
        apart.start()
        apart.join(timeout=20)
        overlapping.start()
        overlapping.join(timeout=0.3)
        assert entered == [["c", "d"]]
    overlapping.join(timeout=20)
    assert entered == [["c", "d"], ["b", "c"]]


def test_an_error_under_the_lock_stays_what_it_is_and_frees_it(store):
    with pytest.raises(OSError, match="no store error"), store.lock([PROMPT]):
        raise OSError("no store error")
    with store.lock([PROMPT]):
        pass


def test_a_prompt_has_other_seeds_under_another_root(tmp_path):
    assert open_store(tmp_path, 1).request(PROMPT, 0).seed == image_seed(1, PROMPT, 0)
