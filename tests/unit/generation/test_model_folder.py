"""A model is found, or one line says why not."""

import re
import socket

import pytest

from memex_audit.errors import ConfigurationError, ModelError
from memex_audit.generation.model_folder import (
    SamplerSettings,
    check_model_folder,
    fetch_model,
    looks_like_hub_id,
    read_sampler_settings,
)


@pytest.fixture
def model(tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "model_index.json").write_text("{}")
    return tmp_path


def test_a_folder_with_safetensors_passes(model):
    (model / "unet" / "weights.safetensors").touch()
    (model / "unet" / "weights.bin").touch()
    assert check_model_folder(model) == model


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(
        ModelError, match=r"must be a folder, a hub id with a revision .*absent, which does not"
    ):
        check_model_folder(tmp_path / "absent")


def test_a_folder_without_a_pipeline_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"must hold a diffusers pipeline, .* has no model_index\.json"):
        check_model_folder(tmp_path)


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.bin", "model.ckpt", "model.pt", "model.pth"])
def test_weights_that_only_unpickling_could_read_are_refused(model, name):
    (model / "unet" / name).touch()
    with pytest.raises(ModelError, match=rf"must be safetensors, .*unet has only {re.escape(name)}"):
        check_model_folder(model)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "diffusion_pytorch_model.bin"])
def test_safetensors_of_another_name_do_not_cover_a_pickle_that_would_be_read(model, name):
    (model / "unet" / name).touch()
    (model / "unet" / "decoy.fp16.safetensors").touch()
    with pytest.raises(ModelError, match=rf"must be safetensors, .*unet has only {re.escape(name)}"):
        check_model_folder(model)
    weights = name.replace("pytorch_model", "model") if name.startswith("pytorch") else name
    (model / "unet" / weights.replace(".bin", ".safetensors")).touch()
    assert check_model_folder(model) == model


@pytest.mark.parametrize("hub_id", ["someone/model", "someone/model@"])
def test_a_hub_id_needs_a_revision(hub_id):
    with pytest.raises(ConfigurationError, match=r"must name its revision, .*write someone/model@COMMIT so"):
        fetch_model(hub_id)


def test_a_hub_that_cannot_be_reached_gives_one_clear_line(monkeypatch, tmp_path):
    with socket.socket() as closed:  # a port that was free and is closed again
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        ModelError, match=r"^the model someone/model@0123 must be in .*, got HF_HUB_OFFLINE and no copy"
    ) as caught:
        fetch_model("someone/model@0123")
    assert "\n" not in str(caught.value)
    assert "--memex-model FOLDER" in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "answer"),
    [("a/b", True), ("a/b@main", True), ("./b", False), ("/b", False), ("~/b", False), ("a/b/c", False)],
)
def test_a_hub_id_has_one_slash_and_is_no_path(spec, answer):
    assert looks_like_hub_id(spec) is answer


def test_a_folder_that_exists_is_no_hub_id(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert not looks_like_hub_id("a/b")


def test_no_settings_file_leaves_all_to_the_pipeline(tmp_path):
    assert read_sampler_settings(tmp_path) == SamplerSettings()


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("", SamplerSettings()),
        ("[generation]\nsteps = 20\nguidance = 3", SamplerSettings(steps=20, guidance=3.0)),
        ("[generation]\nsize = 64\nbatch_size = 4", SamplerSettings(size=(64, 64), batch_size=4)),
        ("[generation]\nsize = [64, 32]", SamplerSettings(size=(64, 32))),
    ],
    ids=["empty", "steps", "square", "oblong"],
)
def test_settings_are_read(tmp_path, text, settings):
    (tmp_path / "memex.toml").write_text(text)
    assert read_sampler_settings(tmp_path) == settings


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[generation]\nguidance = true", "guidance = True, which is no number"),
        (b"[generation]\nsteps = 'many'", "steps = 'many', which is no whole number"),
        (b"[generation]\nsteps = 0", "steps = 0, which is no whole number of 1 or more"),
        (b"[generation]\nguidance = 'big'", "guidance = 'big', which is no number"),
        (b"[generation]\nguidance = nan", "guidance = nan, which is no number"),
        (b"[generation]\nsize = '64'", "size = '64', which is no side"),
        (b"[generation]\nsize = [64]", "size = [64], which is no side"),
        (b"[generation]\nsize = [64, 'x']", "size = 'x', which is no whole number"),
    ],
)
def test_settings_that_cannot_be_used_are_named(tmp_path, text, reason):
    (tmp_path / "memex.toml").write_bytes(text)
    expected = r"memex\.toml \[generation\] must be usable, got " + re.escape(reason)
    with pytest.raises(ConfigurationError, match=expected):
        read_sampler_settings(tmp_path)
