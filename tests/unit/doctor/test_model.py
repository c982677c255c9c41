"""The model, as its files are."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from memex_audit import specimen
from memex_audit.doctor import model as doctor_model
from memex_audit.doctor.checks import State
from memex_audit.doctor.model import check_captions, count_parameters, find_drawing, find_model
from memex_audit.errors import ConfigurationError, ModelError
from memex_audit.generation.model_folder import SamplerSettings

TOKENIZER = specimen.DATA / "deduplicated" / "tokenizer"


def test_a_model_here_is_named_as_its_user_names_it(bench, model):
    folder, check = find_model(bench(model=str(model)), hub=False)
    assert folder == model
    assert check.said == f"{model}: StableDiffusionPipeline, safetensors"


def test_a_lora_is_named_with_its_weight(bench, model, tmp_path):
    lora = tmp_path / "lora.safetensors"
    lora.write_bytes(b"\2\0\0\0\0\0\0\0{}")
    _, check = find_model(bench(model=str(model), lora=f"{lora}:0.8"), hub=False)
    assert check.said.endswith(f"; with the LoRA {lora}, weight 0.8")


def test_a_model_that_is_not_there_is_the_error_that_an_audit_gives(bench):
    with pytest.raises(ModelError, match="does not exist"):
        find_model(bench(model="./nowhere"), hub=True)
    with pytest.raises(ConfigurationError, match="must name its revision"):
        find_model(bench(model="someone/model"), hub=True)


def test_a_model_of_the_hub_is_in_the_cache_or_fetched_or_missing(bench, model, monkeypatch):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *a, **k: None)
    folder, check = find_model(bench(model="someone/model@abc"), hub=True)
    assert (folder, check.state) == (None, State.WARNING)
    folder, check = find_model(bench(model="someone/model@abc"), hub=False)
    assert (folder, check.state) == (None, State.MISSING)
    cached = str(model / "model_index.json")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *a, **k: cached)
    folder, check = find_model(bench(model="someone/model@abc"), hub=False)
    assert (folder, check.state) == (model, State.OK)


def test_a_download_that_broke_off_is_not_in_the_cache(bench, model, monkeypatch):
    shutil.rmtree(model / "vae")
    cached = str(model / "model_index.json")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *a, **k: cached)
    folder, check = find_model(bench(model="someone/model@abc"), hub=False)
    assert (folder, check.state) == (None, State.MISSING)


def test_parameters_are_counted_by_the_headers(model):
    assert count_parameters(model) == 2 * 3 + 4


def test_a_variant_beside_the_weights_is_not_counted(model):
    save_file({"a": np.zeros(100, np.float16)}, model / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    assert count_parameters(model) == 10
    (model / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    assert count_parameters(model) == 104


def test_the_count_is_that_of_the_loaded_specimen():
    folder = specimen.DATA / "deduplicated"
    expected = sum(int(np.prod(shape)) for path in folder.rglob("*.safetensors") for shape in _shapes(path))
    assert count_parameters(folder) == expected


def _shapes(path: Path):
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118 - no mapping


@pytest.mark.parametrize("n_bytes", [0, 5, 40, -1])
def test_weights_that_are_cut_short_are_named(model, n_bytes):
    path = model / "unet" / "diffusion_pytorch_model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:n_bytes])
    with pytest.raises(ModelError, match=r"weights must be whole safetensors, got .*unet.*copy or download"):
        count_parameters(model)


def test_settings_go_before_the_defaults_of_the_pipeline(model):
    drawing = find_drawing(model, SamplerSettings(steps=10, guidance=3.0, size=(32, 48)))
    assert (drawing.size, drawing.evaluations) == ((32, 48), 20)
    drawing = find_drawing(model, SamplerSettings(steps=10, guidance=1.0))
    assert drawing.evaluations == 10


def test_defaults_are_those_of_the_pipelines_class_and_configuration(model):
    drawing = find_drawing(model, SamplerSettings())
    # StableDiffusionPipeline.__call__ of diffusers: 50 steps at 7.5; 8 latent pixels times 2 ** 3.
    assert (drawing.steps, drawing.guidance, drawing.size) == (50, 7.5, (64, 64))
    assert drawing.evaluations == 100


def test_what_only_the_loaded_pipeline_knows_is_left_open(model):
    (model / "model_index.json").write_text(json.dumps({"_class_name": "PipelineOfAnotherVersion"}))
    (model / "unet" / "config.json").write_text("{}")
    drawing = find_drawing(model, SamplerSettings())
    assert (drawing.steps, drawing.size, drawing.evaluations) == (None, None, None)


def test_captions_that_are_longer_than_the_model_reads_are_counted_and_not_shown(model):
    shutil.copytree(TOKENIZER, model / "tokenizer")
    check = check_captions(model, ["a cat", "zebra " * 90])
    assert check.state is State.WARNING
    assert check.said.startswith("1 of 2 looked at are longer than the 16 tokens")
    assert "zebra" not in check.said + check.advice
    assert check_captions(model, ["a cat"]).state is State.OK


def test_a_model_without_a_tokenizer_cuts_nothing_that_is_known(model):
    assert check_captions(model, ["a cat"]).state is State.OK


def test_a_broken_tokenizer_is_one_line(model):
    shutil.copytree(TOKENIZER, model / "tokenizer")
    (model / "tokenizer" / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match="must hold its tokenizers whole"):
        check_captions(model, ["a cat"])


def test_a_configuration_that_is_no_object_has_no_entries(tmp_path):
    for text in ("", "[1]", "{"):
        (tmp_path / "config.json").write_text(text)
        assert doctor_model.read_json(tmp_path / "config.json") == {}
    assert doctor_model.read_json(tmp_path / "nowhere.json") == {}
