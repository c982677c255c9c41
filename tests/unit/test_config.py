"""Options as texts -> settings, or one line that names the option."""

import re
from dataclasses import fields

import pytest

from memex_audit.config import (
    MARKER_ARGUMENTS,
    OPTIONS,
    PRESETS,
    Lora,
    Settings,
    check_marker,
    read_settings,
)
from memex_audit.errors import ConfigurationError


def test_without_options_every_default_stands():
    assert read_settings({}) == Settings()
    assert read_settings({option.name: None for option in OPTIONS}) == Settings()


def test_every_setting_has_one_option_with_a_flag_and_an_explanation():
    assert [option.name for option in OPTIONS] == [field.name for field in fields(Settings)]
    for option in OPTIONS:
        assert option.flag == "--memex-" + option.name.replace("_", "-")
        assert option.help


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max_prompts", "12", 12),
        ("generations", "500", 500),
        ("guidance", "0", 0.0),
        ("guidance", "7.5", 7.5),
        ("size", "64x32", (64, 32)),
        ("size", "64X32", (64, 32)),
        ("size", "64", (64, 64)),
        ("seed", "-3", -3),
        ("limit", "0.05", 0.05),
        ("edge_delta", "1", 1.0),
        ("match_delta", "0.15", 0.15),
        ("preset", "carlini-2023", "carlini-2023"),
        ("dtype", "bf16", "bf16"),
        ("redact", "captions", "captions"),
        ("evidence", "full:pictures", "full:pictures"),
        ("evidence", "mosaic", "mosaic"),
        ("on_extracted", "xfail", "xfail"),
        ("inconclusive", "warn", "warn"),
        ("model", "a/b@c", "a/b@c"),
    ],
)
def test_a_text_is_parsed(name, text, value):
    assert getattr(read_settings({name: text}), name) == value


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("max_prompts", "0", "at least 1"),
        ("max_prompts", "many", "a whole number"),
        ("steps", "-1", "at least 1"),
        ("size", "64x0", "at least 1"),
        ("size", "x64", "a whole number"),
        ("guidance", "-1", "0 or more"),
        ("guidance", "big", "a number"),
        ("limit", "0", "above 0 (no number of groups shows that nothing is extracted; none seen in 320"),
        ("limit", "1", "between 0 and 1"),
        ("limit", "nan", "a finite number"),
        ("limit", "1%", "a number"),
        ("confidence", "95", "in [0.5, 1)"),
        ("confidence", "1", "below 1 (no sample is certain; 0.99 or 0.999 take more groups)"),
        ("edge_delta", "0", "in (0, 1]: distances are scaled to [0, 1]"),
        ("match_delta", "1.7", "in (0, 1]: distances are scaled to [0, 1]"),
        ("preset", "carlini", "one of default, carlini-2023 (did you mean carlini-2023?)"),
        ("dtype", "int8", "one of auto, fp32, fp16, bf16"),
        ("evidence", "full", "mosaic or full:FOLDER"),
        ("redact", "caption", "one of captions (did you mean captions?)"),
        ("on_extracted", "pass", "one of fail, xfail"),
        ("seed", "1.5", "a whole number"),
    ],
)
def test_a_text_that_cannot_be_used_is_named_with_its_option(name, text, expected):
    flag = "--memex-" + name.replace("_", "-")
    with pytest.raises(
        ConfigurationError, match="^" + re.escape(f"{flag} must be {expected}") + rf".*, got '{text}'"
    ):
        read_settings({name: text})


def test_a_file_of_prompts_must_be_there(tmp_path):
    with pytest.raises(
        ConfigurationError, match=r"--memex-prompts must be a file, got .*absent\.csv; check the path"
    ):
        read_settings({"prompts": str(tmp_path / "absent.csv")})
    (tmp_path / "there.csv").touch()
    assert read_settings({"prompts": str(tmp_path / "there.csv")}).prompts == str(tmp_path / "there.csv")


def test_the_presets_are_those_of_the_design():
    assert (PRESETS["default"].looks, PRESETS["default"].clique_size) == ((4, 8, 16, 32), None)
    study = PRESETS["carlini-2023"]
    assert (study.looks, study.clique_size, study.match_delta) == ((500,), 10, 0.15)


def test_a_marker_takes_what_judges_a_case():
    check_marker({"limit": 0.05, "confidence": 0.9, "on_extracted": "xfail", "inconclusive": "warn"})
    check_marker({})


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("limits", "did you mean limit?"),
        ("on_extract", "did you mean on_extracted?"),
        ("zzz", "use one of limit, confidence, on_extracted, inconclusive."),
    ],
)
def test_a_marker_argument_that_does_not_exist_is_refused_with_the_nearest(name, hint):
    with pytest.raises(ConfigurationError, match=re.escape(f"takes no argument '{name}'; {hint}")):
        check_marker({name: 1})


def test_a_marker_may_not_change_what_is_drawn():
    assert not {"steps", "guidance", "seed", "model", "edge_delta"} & set(MARKER_ARGUMENTS)
    with pytest.raises(ConfigurationError, match="takes no argument 'steps'"):
        check_marker({"steps": 5})


def test_a_marker_value_that_cannot_be_used_is_refused():
    with pytest.raises(ConfigurationError, match=r"limit must be between 0 and 1, got '2'"):
        check_marker({"limit": 2})


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Files that a LoRA's path could name, relative to the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("lora.safetensors", "odd:0.5", "C:\\lora.safetensors"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()


@pytest.mark.parametrize(
    ("text", "path", "weight"),
    [
        ("lora.safetensors", "lora.safetensors", 1.0),
        ("lora.safetensors:0.8", "lora.safetensors", 0.8),
        ("lora.safetensors:-1", "lora.safetensors", -1.0),
        ("lora.safetensors:1e-1", "lora.safetensors", 0.1),
        ("folder:2", "folder", 2.0),
        ("C:\\lora.safetensors", "C:\\lora.safetensors", 1.0),
        ("C:\\lora.safetensors:0.3", "C:\\lora.safetensors", 0.3),
        ("odd:0.5", "odd:0.5", 1.0),  # it is there: a path
        ("odd:0.5:0.7", "odd:0.5", 0.7),
        ("specimen:lora", "specimen:lora", 1.0),
        ("specimen:lora:0.2", "specimen:lora", 0.2),
    ],
)
def test_only_a_trailing_number_is_the_weight_of_a_lora(places, text, path, weight):
    assert read_settings({"lora": text}).lora == Lora(path=path, weight=weight)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lora.safetensors:strong", "must be PATH or PATH:WEIGHT with a number as WEIGHT, got"),
        ("lora.safetensors:", "must be PATH or PATH:WEIGHT with a number as WEIGHT, got"),
        ("lora.safetensors:nan", "must be PATH:WEIGHT with a finite WEIGHT other than 0"),
        ("lora.safetensors:0", "must be PATH:WEIGHT with a finite WEIGHT other than 0"),
        ("none.safetensors", "must be a file or folder, got none.safetensors, which does not exist"),
        ("none.safetensors:0.8", "must be a file or folder, got none.safetensors, which does not exist"),
        ("D:\\none.safetensors", "must be a file or folder, got D:\\none.safetensors, which does not exist"),
        ("specimen:none", "must be a file or folder, got specimen:none, which does not exist"),
    ],
)
def test_a_lora_that_cannot_be_read_is_refused_before_anything_starts(places, text, expected):
    with pytest.raises(ConfigurationError, match=re.escape(f"--memex-lora {expected}")):
        read_settings({"lora": text})
