"""A model is what its files hold."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from memex_audit.errors import ModelError
from memex_audit.generation import fingerprints
from memex_audit.generation.fingerprints import fine_tune_fingerprint, model_fingerprint, settings_digest


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    (folder / "unet").mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    (folder / "unet" / "weights.safetensors").write_bytes(b"weights one")
    return folder


def test_a_fingerprint_is_the_digest_of_names_and_digests(model):
    lines = "".join(
        f"{name}\0{hashlib.sha256(content).hexdigest()}\n"
        for name, content in [("model_index.json", b"{}"), ("unet/weights.safetensors", b"weights one")]
    )
    assert model_fingerprint(model) == hashlib.sha256(lines.encode()).hexdigest()


def test_a_copy_elsewhere_is_the_same_model(model, tmp_path):
    copy = shutil.copytree(model, tmp_path / "elsewhere" / "copy", copy_function=shutil.copyfile)
    assert model_fingerprint(copy) == model_fingerprint(model)


def test_a_changed_weight_makes_another_model(model):
    before = model_fingerprint(model)
    (model / "unet" / "weights.safetensors").write_bytes(b"weights two")
    assert model_fingerprint(model) != before


def test_a_renamed_part_makes_another_model(model):
    before = model_fingerprint(model)
    (model / "unet").rename(model / "transformer")
    assert model_fingerprint(model) != before


@pytest.mark.parametrize("name", ["memex.toml", "memex-calibration.json", "README.md", "preview.png"])
def test_files_that_hold_no_model_do_not_count(model, name):
    before = model_fingerprint(model)
    (model / name).write_text("# anything")
    assert model_fingerprint(model) == before


@pytest.fixture
def settled(monkeypatch):
    """Take files that were just written for ones that were not touched for seconds."""
    monkeypatch.setattr(fingerprints, "LONGEST_TICK_S", -1.0)


@pytest.fixture
def files_read(monkeypatch):
    """Return the names of the files that are read from here on."""
    read, digest = [], hashlib.file_digest

    def file_digest(file, kind):
        read.append(Path(file.name).name)
        return digest(file, kind)

    monkeypatch.setattr(hashlib, "file_digest", file_digest)
    return read


@pytest.mark.usefixtures("settled")
def test_a_file_that_was_not_touched_is_read_once(model, tmp_path, files_read):
    cache = tmp_path / "store" / "fingerprints.json"
    before = model_fingerprint(model, cache)
    assert model_fingerprint(model, cache) == before
    assert files_read == ["model_index.json", "weights.safetensors"]


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("how", ["written over", "put in its place"])
def test_a_retrained_checkpoint_of_the_same_size_and_time_is_another_model(model, tmp_path, how):
    cache = tmp_path / "store" / "fingerprints.json"
    weights = model / "unet" / "weights.safetensors"
    before, status = model_fingerprint(model, cache), weights.stat()
    new = weights if how == "written over" else tmp_path / "new.safetensors"
    new.write_bytes(b"weights two")
    new.replace(weights)
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert weights.stat().st_size == status.st_size
    assert model_fingerprint(model, cache) == model_fingerprint(model) != before


def test_what_was_written_just_now_is_not_remembered_as_it_may_change_within_the_same_tick(
    model, tmp_path, files_read
):
    cache = tmp_path / "store" / "fingerprints.json"
    for _ in range(2):
        model_fingerprint(model, cache)
    assert files_read == ["model_index.json", "weights.safetensors"] * 2
    assert not cache.exists()


@pytest.mark.usefixtures("settled")
def test_a_cache_has_one_entry_a_file_and_keeps_what_others_wrote_meanwhile(model, tmp_path):
    cache, other = tmp_path / "fingerprints.json", tmp_path / "other.safetensors"
    other.write_bytes(b"another model")
    weights = model / "unet" / "weights.safetensors"

    def paths():
        yield weights
        fingerprints.file_digests([other], cache)  # another process, while this one reads

    fingerprints.file_digests(paths(), cache)
    weights.write_bytes(b"weights trained on")
    fingerprints.file_digests([weights], cache)
    assert set(json.loads(cache.read_text())) == {str(weights), str(other)}


@pytest.mark.usefixtures("settled")
def test_a_changed_size_is_seen_through_the_cache(model, tmp_path):
    cache = tmp_path / "fingerprints.json"
    weights = model / "unet" / "weights.safetensors"
    before, status = model_fingerprint(model, cache), weights.stat()
    weights.write_bytes(b"weights and more")
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert model_fingerprint(model, cache) != before


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(
    "content", ["", '{"a": ', "3", "[1]", '{"a:1:2": "0f"}'], ids=["empty", "half", "number", "list", "older"]
)
def test_a_broken_cache_is_made_again(model, tmp_path, content):
    cache = tmp_path / "fingerprints.json"
    cache.write_text(content)
    assert model_fingerprint(model, cache) == model_fingerprint(model)
    assert len(json.loads(cache.read_text())) == 2
    assert list(tmp_path.glob("*.partial")) == []


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("blocked", [".", "fingerprints.json"], ids=["no folder can be made", "no file"])
def test_a_cache_that_cannot_be_written_costs_only_time(model, tmp_path, blocked):
    (tmp_path / "store").mkdir()
    cache = tmp_path / "store" / "below" / "fingerprints.json"
    if blocked == ".":
        cache.parent.write_text("")
    else:
        cache.mkdir(parents=True)
    assert model_fingerprint(model, cache) == model_fingerprint(model)
    assert list((tmp_path / "store").rglob("*.partial")) == []


def test_a_folder_without_model_files_has_no_fingerprint(tmp_path):
    with pytest.raises(ModelError, match=r"must hold safetensors and JSON files, .* has none"):
        model_fingerprint(tmp_path)


def test_the_order_of_settings_does_not_matter_and_every_value_does():
    digest = settings_digest({"steps": 20, "guidance": 7.5})
    assert digest == settings_digest({"guidance": 7.5, "steps": 20})
    assert digest == hashlib.sha256(b'{"guidance":7.5,"steps":20}').hexdigest()[:16]
    assert digest != settings_digest({"steps": 21, "guidance": 7.5})


def test_a_fine_tune_is_its_base_its_weights_and_how_strongly_they_act(tmp_path):
    one, other = tmp_path / "one.safetensors", tmp_path / "other.safetensors"
    one.write_bytes(b"weights one")
    other.write_bytes(b"weights two")
    tuned = fine_tune_fingerprint("base", one, 1.0)
    assert tuned == fine_tune_fingerprint("base", one, 1)
    content = hashlib.sha256(b"weights one").hexdigest()
    assert tuned == hashlib.sha256(f"base\0{content}\x001.0".encode()).hexdigest()
    different = [
        fine_tune_fingerprint("another base", one, 1.0),
        fine_tune_fingerprint("base", other, 1.0),
        fine_tune_fingerprint("base", one, 0.9),
    ]
    assert len({"base", tuned, *different}) == 5
    one.rename(tmp_path / "renamed.safetensors")
    assert fine_tune_fingerprint("base", tmp_path / "renamed.safetensors", 1.0) == tuned
