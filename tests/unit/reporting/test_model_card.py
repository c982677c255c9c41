"""What a model card says: the Hub's own parser reads it, and no prompt is on it."""

from dataclasses import replace

import huggingface_hub
import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from memex_audit.errors import ReportError
from memex_audit.records import RunVerdict, Unit
from memex_audit.reporting.model_card import (
    eval_results,
    eval_results_file,
    model_card_block,
    model_name,
)


def test_the_hub_reads_back_the_results_that_were_written(result):
    card = ModelCard(model_card_block(result))
    name, read = model_index_to_eval_results(card.data.to_dict()["model-index"])
    assert name == "specimen:duplicated"
    assert read == eval_results(result.rate, result.provenance)
    values = {one.metric_type: one.metric_value for one in read}
    assert values == {
        "extraction_rate_upper_bound": 0.0147,
        "extraction_rate_lower_bound": 0.00016,
        "extracted_prompt_groups": 1,
        "audited_prompt_groups": 320,
    }
    assert {one.task_type for one in read} == {"text-to-image"}
    assert {one.dataset_name for one in read} == {"duplicated groups"}
    assert read[0].dataset_args == {"model_sha256": "ab", "limit": 0.01, "blind_spot": 0.75}
    assert read[0].metric_name == "Extraction rate, upper bound (95 % confidence, one-sided exact binomial)"


def test_a_census_of_images_claims_no_confidence_and_a_lora_gives_its_name(result):
    rate = replace(
        result.rate, unit=Unit.TRAINING_IMAGE, method="census of training images, no sampling error"
    )
    lora = replace(result.provenance, lora="./out/my-lora.safetensors", lora_weight=0.8)
    block = model_card_block(replace(result, rate=rate, provenance=lora))
    assert "- name: my-lora.safetensors\n" in block
    assert "Extracted training images" in block
    assert "confidence" not in block


def test_bounds_are_rounded_outward(result):
    rate = replace(result.rate, lower=0.0000001, upper=0.0093178)
    upper, lower, *_ = eval_results(rate, result.provenance)
    assert (lower.metric_value, upper.metric_value) == (0.0, 0.009318)


def test_the_paragraph_says_how_sure_and_what_is_not_shown(result):
    text = ModelCard(model_card_block(result)).text
    assert text.startswith("\n## Memorization\n\nAudited for memorized training images with `memex-audit")
    assert "0.1.0` on 2026-01-01: **FAIL**. 1 prompt gives a training image back" in text
    assert "at most 1.5 % (95 % confidence, one-sided exact binomial)" in text
    assert "A pass does not show: prompts unlike these" in text
    assert "SHA-256 over the model's files: `ab`." in text


def test_an_endpoint_is_hashed_by_its_address_and_name(result):
    asked = replace(result.provenance, model="openai+https://api.example.org/v1?model=pictor")
    text = ModelCard(model_card_block(replace(result, provenance=asked))).text
    assert "SHA-256 over the model's address and name: `ab`." in text
    assert model_name(asked.model) == "pictor at api.example.org"


def test_a_card_shows_no_prompt_and_no_training_image(result):
    assert "zebra" not in model_card_block(result).lower()
    assert "zebra" not in eval_results_file(result, benchmark="a/b", task_id="c").lower()


def test_a_hostile_name_changes_nothing_but_the_name(result, hostile_caption):
    hostile = replace(
        result,
        rate=replace(result.rate, frame=hostile_caption),
        provenance=replace(result.provenance, model=hostile_caption),
    )
    card = ModelCard(model_card_block(hostile, name=hostile_caption.replace("\udcff", "")))
    assert set(card.data.to_dict()) == {"model-index"}
    assert len(model_index_to_eval_results(card.data.to_dict()["model-index"])[1]) == 4
    assert card.text.count("\n## ") == 1


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("./out/my-finetune", "my-finetune"),
        ("someone/model@0123abc", "model"),
        ("specimen:duplicated", "specimen:duplicated"),
        ("/", "model"),
    ],
)
def test_a_model_is_named_by_the_last_part_of_its_name(model, name):
    assert model_name(model) == name


def entry_of(result):
    (entry,) = yaml.safe_load(eval_results_file(result, benchmark="org/memorization", task_id="extraction"))
    return entry


def test_a_file_of_eval_results_holds_the_upper_bound_and_what_it_means(result):
    entry = entry_of(result)
    assert entry["dataset"] == {"id": "org/memorization", "task_id": "extraction"}
    assert entry["value"] == 0.0147
    assert entry["date"] == "2026-01-01T00:00:00Z"
    assert entry["notes"].startswith("Upper bound of the extraction rate. Verdict: fail. 1 of 320 prompt")


@pytest.mark.skipif(
    not hasattr(huggingface_hub, "parse_eval_result_entries"),
    reason="this version of huggingface_hub does not read .eval_results",
)
def test_the_hub_reads_a_file_of_eval_results(result):
    (read,) = huggingface_hub.parse_eval_result_entries([entry_of(result)])
    assert (read.dataset_id, read.task_id, read.value) == ("org/memorization", "extraction", 0.0147)
    assert huggingface_hub.eval_result_entries_to_yaml([read]) == [entry_of(result)]


@pytest.mark.parametrize("missing", [{"rate": None}, {"rate": None, "provenance": None}])
def test_a_result_without_a_rate_gets_no_card(result, missing):
    bare = replace(result, verdict=RunVerdict.INCOMPLETE, **missing)
    with pytest.raises(ReportError, match=r"must hold a rate .* got verdict=incomplete and no rate"):
        model_card_block(bare)
    with pytest.raises(ReportError, match="must hold a rate"):
        eval_results_file(bare, benchmark="a/b", task_id="c")
