"""From settings to the parts of an audit: what a LoRA changes of them."""

from types import MappingProxyType

import pytest
from PIL import Image
from safetensors.torch import save_file

from memex_audit import specimen
from memex_audit.config import read_settings
from memex_audit.errors import ConfigurationError, ModelError
from memex_audit.workbench import Workbench


class Own:
    """A generator of a user's own."""

    fingerprint, seeded, shareable, evaluations_per_image = "o" * 64, True, True, 1
    settings = MappingProxyType({})

    def generate(self, requests):
        raise NotImplementedError


def bench(tmp_path, **options):
    return Workbench(read_settings({"device": "cpu", **options}), tmp_path)


@pytest.fixture
def lora(tmp_path):
    """A LoRA of one layer of the twins' network."""
    import torch

    layer = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    path = tmp_path / "lora.safetensors"
    tensors = {f"{layer}.lora.down.weight": torch.ones(1, 128), f"{layer}.lora.up.weight": torch.ones(128, 1)}
    save_file(tensors, path)
    return path


def test_a_fine_tune_is_another_model_than_its_base_and_than_itself_at_another_weight(tmp_path, lora):
    benches = [bench(tmp_path), bench(tmp_path, lora=str(lora)), bench(tmp_path, lora=f"{lora}:0.5")]
    assert len({b.generator.fingerprint for b in benches}) == 3


def test_the_calibration_of_the_base_is_not_the_fine_tunes(tmp_path, lora):
    assert bench(tmp_path).calibration.calibrated  # it lies beside the twin
    tuned = bench(tmp_path, lora=str(lora))
    assert not tuned.calibration.calibrated
    assert tuned.calibration_places()[0] != bench(tmp_path).calibration_places()[0]


@pytest.mark.parametrize("name", ["negative_prompt", "scheduler", "attention_slicing", "offload", "compile"])
def test_what_is_set_on_a_pipeline_is_refused_where_there_is_none(tmp_path, name):
    value = {"attention_slicing": "max", "offload": "model", "compile": "default"}.get(name, "something")
    made = bench(tmp_path, **{name: value})
    made.load_generator = Own
    flag = f"--memex-{name.replace('_', '-')}"
    with pytest.raises(
        ConfigurationError, match=rf"^{flag} must have a pipeline of diffusers to be set on, got"
    ):
        made.generator  # noqa: B018 - made when first asked for


def test_settings_beside_the_weights_are_those_of_no_option(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model_index.json").write_text("{}")
    (folder / "memex.toml").write_text(
        '[generation]\nnegative_prompt = "blurry"\nscheduler = "DDPMScheduler"'
    )
    beside = bench(tmp_path, model=str(folder)).sampler
    assert (beside.negative_prompt, beside.scheduler) == ("blurry", "DDPMScheduler")
    given = bench(tmp_path, model=str(folder), negative_prompt="", scheduler="DDIMScheduler").sampler
    assert (given.negative_prompt, given.scheduler) == ("", "DDIMScheduler")


def test_a_negative_prompt_is_named_by_its_digest_where_captions_are_redacted(tmp_path):
    open_, redacted = (
        bench(tmp_path, negative_prompt="blurry", **more) for more in ({}, {"redact": "captions"})
    )
    assert open_.shown_settings == dict(open_.generator.settings)
    assert open_.settings_digest == redacted.settings_digest
    # echo -n blurry | sha256sum
    assert redacted.shown_settings["negative_prompt"] == "a51b6dba6701"


def test_what_saves_memory_is_checked_before_anything_is_loaded(tmp_path):
    with pytest.raises(
        ConfigurationError, match=r"--memex-offload must have a device with a memory of its own"
    ):
        bench(tmp_path, model="./nowhere", offload="model").open_pipeline()


def test_attention_is_sliced_in_the_pipeline_that_draws(tmp_path):
    pipeline = bench(tmp_path, attention_slicing="max").generator.pipeline
    kinds = {type(processor).__name__ for processor in pipeline.unet.attn_processors.values()}
    assert kinds == {"SlicedAttnProcessor"}


def test_the_reference_of_a_fine_tune_is_its_base_on_the_same_training_set(tmp_path, lora):
    tuned = bench(tmp_path, lora=str(lora), seed="3")
    reference = tuned.reference("specimen:deduplicated")
    assert reference.settings.lora is None
    assert reference.settings.seed == 3
    assert reference.training_set.location == tuned.training_set.location
    assert reference.generator.fingerprint == bench(tmp_path).generator.fingerprint


def test_where_a_result_comes_from_names_the_lora_and_its_weight(tmp_path, lora):
    provenance = bench(tmp_path, lora=f"{lora}:0.5").provenance()
    assert (provenance.lora, provenance.lora_weight) == (str(lora), 0.5)
    assert bench(tmp_path).provenance().lora is None


def test_a_generator_of_ones_own_and_a_lora_are_refused_together(tmp_path, lora):
    own = bench(tmp_path, lora=str(lora))
    own.load_generator = Own
    with pytest.raises(
        ConfigurationError, match=r"--memex-lora must have a pipeline .* `memex_generator` of your"
    ):
        _ = own.generator


def test_a_pipeline_of_ones_own_gets_the_lora_too(tmp_path, lora):
    own = bench(tmp_path, lora=str(lora))
    pipeline = bench(tmp_path).open_pipeline()
    generator = own.open_generator(lambda: pipeline)
    assert pipeline.get_active_adapters() == ["memex"]
    assert generator.fingerprint == bench(tmp_path, lora=str(lora)).generator.fingerprint


def test_a_listed_prompt_that_is_tied_to_its_training_images_stays_in_its_slice(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for number, caption in enumerate(("a cat", "a dog")):
        Image.effect_noise((32, 32), 40.0 + number).convert("RGB").save(images / f"{number}.png")
        (images / f"{number}.txt").write_text(caption)
    (tmp_path / "prompts.csv").write_text("prompt,slice\na cat,pets\na cow,farm\n")
    listed = bench(
        tmp_path, training_set=str(images), embedder="specimen", prompts=str(tmp_path / "prompts.csv")
    )
    slices = {prompt.text: (prompt.slice, prompt.example_ids) for prompt in listed.prompts.prompts}
    assert slices == {"a cat": ("pets", ("0.png",)), "a cow": ("farm", ())}


def test_a_folder_without_a_lora_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        ModelError, match=r"a LoRA must be a \.safetensors file or a folder with .*, .*empty holds none"
    ):
        _ = bench(tmp_path, lora=str(tmp_path / "empty")).generator


def test_the_lora_of_the_specimen_brings_its_training_set(tmp_path):
    own = bench(tmp_path, lora="specimen:lora")
    assert own.training_set.location == str(specimen.LORA_TRAINING_SET)
    assert own.embedder_spec == specimen.EMBEDDER
