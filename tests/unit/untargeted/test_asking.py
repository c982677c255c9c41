"""Which models take no prompts is known without loading them."""

import inspect
import json

import diffusers
import pytest

from memex_audit.untargeted.asking import (
    MAY_TAKE_LABELS,
    WITHOUT_PROMPTS,
    class_without_prompts,
    generations_to_draw,
)


def write_index(folder, name, **unet):
    folder.mkdir(exist_ok=True)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": name}))
    (folder / "unet").mkdir(exist_ok=True)
    (folder / "unet" / "config.json").write_text(json.dumps(unet))
    return folder


def test_the_pipelines_named_take_no_prompt_in_the_diffusers_that_is_installed():
    for name in WITHOUT_PROMPTS:
        takes = inspect.signature(getattr(diffusers, name).__call__).parameters
        assert "prompt" not in takes, name
        assert ("class_labels" in takes) == (name == MAY_TAKE_LABELS), name


@pytest.mark.parametrize(
    ("name", "unet", "expected"),
    [
        ("DDPMPipeline", {}, "DDPMPipeline"),
        ("StableDiffusionPipeline", {}, None),
        ("ConsistencyModelPipeline", {"num_class_embeds": None}, "ConsistencyModelPipeline"),
        ("ConsistencyModelPipeline", {"num_class_embeds": 10}, None),
        (["DDPMPipeline"], {}, None),
    ],
)
def test_a_folder_says_it_by_the_class_of_its_pipeline(tmp_path, name, unet, expected):
    folder = write_index(tmp_path / "model", name, **unet)
    assert class_without_prompts(str(folder), folder) == expected


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_a_broken_index_is_left_to_where_the_model_is_loaded(tmp_path, text):
    (tmp_path / "model_index.json").write_text(text)
    assert class_without_prompts(str(tmp_path), tmp_path) is None


@pytest.mark.parametrize("model", ["specimen:duplicated", "folder:pictures", "a/b", "openai+https://host/v1"])
def test_what_is_no_folder_and_was_not_fetched_takes_prompts_as_far_as_is_known(tmp_path, model):
    assert class_without_prompts(model, tmp_path / "nowhere") is None


def test_a_hub_id_is_known_once_it_was_fetched(tmp_path, monkeypatch):
    folder = write_index(tmp_path / "fetched", "DDIMPipeline")
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache",
        lambda name, file, revision: str(folder / file) if (name, revision) == ("me/cats", "abc") else None,
    )
    assert class_without_prompts("me/cats@abc", tmp_path / "nowhere") == "DDIMPipeline"
    assert class_without_prompts("me/dogs@abc", tmp_path / "nowhere") is None


def test_a_thousand_pictures_are_drawn_where_there_are_no_prompts_and_none_where_there_are():
    assert generations_to_draw(None, takes_prompts=False) == 1000
    assert generations_to_draw(None, takes_prompts=True) == 0
    assert generations_to_draw(0, takes_prompts=False) == 0
    assert generations_to_draw(64, takes_prompts=True) == 64
