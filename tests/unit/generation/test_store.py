"""What was drawn is kept whole, or not at all."""

import re
import stat
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from memex_audit.errors import StoreError, StoreUnwritable, UnitDamaged
from memex_audit.extraction.block_sums import block_sums
from memex_audit.generation.seeds import image_seed
from memex_audit.generation.store import UnitStore, open_store_folder
from memex_audit.generation.unit_file import SCHEMA
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
    return sorted(path for path in (tmp_path / "store" / "units").rglob("*") if path.is_file())


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


def test_the_block_sums_beside_a_picture_are_its_own(store, tmp_path):
    (generation,) = write(store, [0])
    (row,) = pq.read_table(files(tmp_path)[0]).to_pylist()
    assert (row["height"], row["width"]) == (20, 24)
    assert row["block_sums"] == block_sums(generation.pixels[None]).sums[0].ravel().tolist()


def test_a_longer_look_adds_a_unit_and_replaces_none(store, tmp_path):
    write(store, range(4))
    (first,) = files(tmp_path)
    before = (first.read_bytes(), first.stat().st_mtime_ns)
    assert store.missing(PROMPT, 16) == list(range(4, 16))
    write(store, range(4, 16))
    assert [path.name for path in files(tmp_path)] == ["000000-000003.parquet", "000004-000015.parquet"]
    assert (first.read_bytes(), first.stat().st_mtime_ns) == before
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


def test_a_unit_stands_where_the_design_says(store, tmp_path):
    write(store, [0, 1])
    folder = files(tmp_path)[0].relative_to(tmp_path / "store").parent.as_posix()
    # sha256sum of "a lighthouse"
    digest = "f2e40ed4875e649d794563627aba52f316f5dc191ad30dfda48f643c242d1e48"
    assert folder == f"units/{'f' * 32}/{'d' * 16}/{digest[:2]}/{digest}"


def test_a_partial_file_is_no_unit(store, tmp_path):
    write(store, [0])
    whole = files(tmp_path)[0]
    (whole.parent / ".000001-000003.parquet.99.partial").write_bytes(whole.read_bytes()[:50])
    assert store.missing(PROMPT, 4) == [1, 2, 3]
    assert len(store.read(PROMPT, 4)) == 1


def test_a_stray_copy_of_a_unit_is_no_unit(store, tmp_path):
    write(store, [0])
    whole = files(tmp_path)[0]
    (whole.parent / "000001-000003 (1).parquet").write_bytes(b"")
    assert store.missing(PROMPT, 4) == [1, 2, 3]
    assert len(store.read(PROMPT, 4)) == 1


def test_a_full_disk_leaves_nothing_behind_and_keeps_earlier_units(store, tmp_path, monkeypatch):
    write(store, [0])
    before = files(tmp_path)

    def fail(table, path, **options):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", fail)
        with pytest.raises(
            StoreError, match=r"cannot be written \(No space left on device\); free space or name"
        ):
            write(store, [1, 2])
    assert files(tmp_path) == before
    assert len(store.read(PROMPT, 3)) == 1
    write(store, [1, 2])
    assert store.missing(PROMPT, 3) == []


def test_an_error_without_a_number_is_still_explained(store, monkeypatch):
    def fail(table, path, **options):
        raise OSError("quota of the file system")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(StoreError, match=r"cannot be written \(quota of the file system\)"):
        write(store, [0])


def test_an_interrupted_write_leaves_nothing_behind(store, tmp_path, monkeypatch):
    def interrupt(table, path, **options):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(pq, "write_table", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(store, [0])
    assert files(tmp_path) == []


@pytest.mark.parametrize("keep", [0, 3, 200, -1], ids=["empty", "three bytes", "200 bytes", "all but one"])
def test_a_truncated_unit_is_named_with_what_to_do(store, tmp_path, keep):
    write(store, [0, 1])
    (unit,) = files(tmp_path)
    unit.write_bytes(unit.read_bytes()[:keep])
    with pytest.raises(
        UnitDamaged,
        match=rf"the unit file {re.escape(str(unit))} must be as it was written, .*; delete it and run again",
    ):
        store.read(PROMPT, 2)


def test_a_byte_that_changed_anywhere_in_a_unit_is_seen_and_never_gives_another_picture(store, tmp_path):
    written = write(store, [0, 1])
    (unit,) = files(tmp_path)
    whole = unit.read_bytes()
    damaged = 0
    for position in range(4, len(whole), 7):
        unit.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        try:
            read = store.read(PROMPT, 2)
        except StoreError:
            damaged += 1
            continue
        for one, other in zip(read, written, strict=True):
            np.testing.assert_array_equal(one.pixels, other.pixels)
    # What else changed are bytes of the footer that say nothing of a picture: Arrow's copy of the schema.
    assert damaged > 1000


def spoil(unit, change):
    """Rewrite a unit with changed rows; the file itself is faultless."""
    rows = pq.read_table(unit).to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), unit)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda rows: rows[1].update(pixels=rows[1]["pixels"][:200]), "picture 1: "),
        (lambda rows: rows[1].update(pixels=b"<html>"), "picture 1: cannot identify"),
        (lambda rows: rows[0].update(height=3), "picture 0 is of another size"),
        (lambda rows: rows[0].update(seed=7), "its pictures are not those that its name says"),
        (lambda rows: rows.pop(), "its pictures are not those that its name says"),
        (lambda rows: rows.reverse(), "its pictures are not those that its name says"),
    ],
    ids=["half a picture", "no picture", "another size", "another seed", "a row less", "another order"],
)
def test_a_unit_that_holds_other_things_than_its_name_says_is_damaged(store, tmp_path, change, found):
    write(store, [0, 1])
    spoil(files(tmp_path)[0], change)
    with pytest.raises(UnitDamaged, match=found):
        store.read(PROMPT, 2)


def test_a_unit_without_a_column_is_damaged(store, tmp_path):
    write(store, [0])
    (unit,) = files(tmp_path)
    pq.write_table(pq.read_table(unit).drop_columns(["seed"]), unit)
    with pytest.raises(UnitDamaged, match="no column seed"):
        store.read(PROMPT, 1)


def test_a_unit_under_another_name_is_damaged(store, tmp_path):
    write(store, [0, 1])
    (unit,) = files(tmp_path)
    unit.rename(unit.with_name("000000-000003.parquet"))
    with pytest.raises(UnitDamaged, match="its pictures are not those that its name says"):
        store.read(PROMPT, 4)


def test_damaged_units_are_discarded_with_a_note_and_others_kept(tmp_path):
    notes = []
    store = open_store(tmp_path / "store", note=notes.append)
    write(store, [0, 1])
    write(store, [2, 3])
    first, second = files(tmp_path)
    first.write_bytes(first.read_bytes()[:100])
    store.discard_damaged(PROMPT)
    assert store.missing(PROMPT, 4) == [0, 1]
    assert second.exists()
    assert notes == [
        "a unit file was damaged and its pictures drawn anew: "
        + first.relative_to(tmp_path / "store").as_posix()
    ]


def test_a_unit_that_another_process_discarded_is_damaged(store, tmp_path, monkeypatch):
    write(store, [0])
    (unit,) = files(tmp_path)
    listed = store._unit_files(PROMPT)
    unit.unlink()
    monkeypatch.setattr(store, "_unit_files", lambda prompt: listed)
    with pytest.raises(UnitDamaged, match="another process discarded it"):
        store.read(PROMPT, 1)


def test_a_unit_that_may_not_be_read_is_not_taken_for_a_damaged_one(store, tmp_path, monkeypatch):
    write(store, [0])

    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(
        StoreError, match=r"must be readable, got Permission denied; check its perm"
    ) as raised:
        store.read(PROMPT, 1)
    assert not isinstance(raised.value, UnitDamaged)


@pytest.mark.parametrize("metadata", [{"memex_unit": "0"}, None], ids=["older", "none"])
def test_a_unit_of_another_version_is_refused(store, tmp_path, metadata):
    write(store, [0])
    (unit,) = files(tmp_path)
    pq.write_table(pq.read_table(unit).replace_schema_metadata(metadata), unit)
    version = re.escape(repr("0" if metadata else ""))
    with pytest.raises(
        StoreError, match=rf"{re.escape(str(unit))} must be of version 1, got {version}: another"
    ):
        store.read(PROMPT, 1)


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


def test_the_lock_removes_what_a_killed_process_left_half_written(store, tmp_path):
    write(store, [0])
    (unit,) = files(tmp_path)
    partial = unit.with_name(".000001-000003.parquet.99.partial")
    partial.write_bytes(b"half")
    with store.lock([PROMPT]):
        assert not partial.exists()
        assert unit.exists()


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


def test_pyarrow_raises_what_is_caught():
    assert issubclass(pa.ArrowInvalid, pa.ArrowException)
