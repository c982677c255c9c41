"""Which models can only be asked, and what does not go with them."""

import pytest

from memex_audit.black_boxes import (
    Surroundings,
    check_options,
    is_black_box,
    open_black_box,
    recorded_prompts,
)
from memex_audit.config import Budget, Settings, read_settings
from memex_audit.errors import ConfigurationError
from memex_audit.generation.black_box.recorded_pictures import RecordedPicture, RecordedPictures
from memex_audit.model_bench import ModelBench
from memex_audit.records import SetAside

ENDPOINT = "openai+https://api.example.org/v1?model=pictor"
MODELS = ("folder:exports", ENDPOINT, "python:mine:make")


@pytest.mark.parametrize(
    "model", ["./folder", "specimen:duplicated", "name/model@0123abc", "openai", "folder"]
)
def test_what_has_weights_is_no_black_box(model):
    assert not is_black_box(model)
    assert all(map(is_black_box, MODELS))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ["steps", "guidance", "negative_prompt", "scheduler", "lora"])
def test_an_option_of_a_sampler_that_is_not_here_is_refused(model, name):
    with pytest.raises(
        ConfigurationError, match=f"--memex-{name.replace('_', '-')} must be of a model that is drawn"
    ):
        check_options(Settings(model=model, **{name: 1}))


def test_a_size_is_asked_of_an_endpoint_and_of_no_folder():
    check_options(Settings(model=ENDPOINT, size=(64, 64)))
    with pytest.raises(ConfigurationError, match="--memex-size must be of a model that is drawn with here"):
        check_options(Settings(model="folder:exports", size=(64, 64)))


def test_a_budget_in_evaluations_is_for_who_knows_them():
    check_options(Settings(model=ENDPOINT, budget=Budget(minutes=5)))
    check_options(Settings(model="python:mine:make", budget=Budget(evaluations=100)))
    for model, instead in (
        ("folder:exports", "give minutes"),
        (ENDPOINT, "give --memex-max-images N or minutes"),
    ):
        with pytest.raises(ConfigurationError, match=instead):
            check_options(Settings(model=model, budget=Budget(evaluations=100)))


def test_only_an_endpoint_has_a_cap():
    check_options(Settings(model=ENDPOINT, max_images=5))
    with pytest.raises(
        ConfigurationError, match=r"asked over HTTP .*, got specimen:deduplicated; --memex-budget"
    ):
        check_options(Settings(max_images=5))


def test_a_variable_that_was_named_must_be_set(tmp_path):
    around = Surroundings(
        rootdir=tmp_path, store_folder=lambda: tmp_path, api_key=lambda: None, note=lambda _: None
    )
    open_black_box(Settings(model=ENDPOINT), around)
    with pytest.raises(
        ConfigurationError, match="must name a variable that is set, got MY_KEY, which is not"
    ):
        open_black_box(Settings(model=ENDPOINT, api_key_env="MY_KEY"), around)


@pytest.mark.parametrize("model", MODELS)
def test_what_needs_weights_says_that_there_are_none(model, tmp_path):
    with pytest.raises(
        ConfigurationError, match=r"must have a model with weights, got .*, which can only be asked"
    ):
        ModelBench(Settings(model=model), tmp_path).open_pipeline()


@pytest.mark.parametrize("key", ["sk-abc", "sk_" + "a" * 40, "two words", "späß"])
def test_what_is_no_name_of_a_variable_may_be_the_key_and_is_not_shown(key):
    with pytest.raises(ConfigurationError, match="never the key itself") as raised:
        read_settings({"api_key_env": key})
    assert key not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_key_in_the_models_address_is_not_shown():
    with pytest.raises(
        ConfigurationError, match="an endpoint without a user or key in its address"
    ) as raised:
        read_settings({"model": "openai+https://me:sk-secret@api.example.org/v1?model=pictor"})
    assert "sk-secret" not in str(raised.value)


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "often"])
def test_a_rate_of_requests_is_a_number_above_none(rate):
    with pytest.raises(ConfigurationError, match="--memex-requests-per-minute must be "):
        read_settings({"requests_per_minute": rate})
    assert read_settings({"requests_per_minute": "0.5"}).requests_per_minute == 0.5


def test_prompts_of_a_folder_are_audited_with_most_pictures_first(tmp_path):
    def pictures(prompt, n):
        return tuple(RecordedPicture(prompt=prompt, seed=None, path=tmp_path / f"{i}.png") for i in range(n))

    aside = (SetAside(what="x.png", reason="no prompt in its name or metadata"),)
    recorded = RecordedPictures(
        location=tmp_path, set_aside=aside, by_prompt={"a": pictures("a", 2), "b": pictures("b", 4)}
    )
    found = recorded_prompts(recorded)
    assert [prompt.text for prompt in found.prompts] == ["b", "a"]
    assert {prompt.duplication_count for prompt in found.prompts} == {1}
    assert (found.frame.description, found.frame.size) == (f"prompts like those of {tmp_path.name}", None)
    assert found.set_aside == aside
