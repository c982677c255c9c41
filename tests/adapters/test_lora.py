"""What a LoRA on top of a pipeline promises, shown on the specimen's clean twin and adapters made here."""

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file

from memex_audit import specimen
from memex_audit.errors import ConfigurationError, ModelError
from memex_audit.generation import lora
from memex_audit.generation.diffusers_pipeline import DiffusersGenerator
from memex_audit.generation.lora import WithoutLora, apply_lora
from memex_audit.generation.model_folder import SamplerSettings, find_lora
from memex_audit.generation.pipeline_loading import load_pipeline
from memex_audit.protocols import Generator
from memex_audit.records import GenerationRequest

SAMPLER = SamplerSettings(steps=2, guidance=3.0, size=(32, 32))
REQUESTS = [GenerationRequest(prompt="crab", seed=7), GenerationRequest(prompt="owl", seed=8)]


def twin(dtype="fp32"):
    return load_pipeline(specimen.twin_folder("specimen:deduplicated"), device="cpu", dtype=dtype)


def pictures(pipeline):
    drawn = DiffusersGenerator(pipeline, fingerprint="", sampler=SAMPLER).generate(REQUESTS)
    return np.stack([generation.pixels for generation in drawn]).astype(int)


def layers(part, targets):
    """Adapt a part of a pipeline and return its adapter's tensors, at random: a new one does nothing."""
    torch.manual_seed(0)
    part.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=targets, init_lora_weights="gaussian"))
    for name, parameter in part.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return get_peft_model_state_dict(part)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A LoRA as diffusers saves one, of the network and of the text encoder."""
    folder, base = tmp_path_factory.mktemp("lora"), twin()
    StableDiffusionPipeline.save_lora_weights(
        folder,
        unet_lora_layers=convert_state_dict_to_diffusers(layers(base.unet, ["to_q", "to_v"])),
        text_encoder_lora_layers=convert_state_dict_to_diffusers(layers(base.text_encoder, ["q_proj"])),
    )
    path = folder / "pytorch_lora_weights.safetensors"
    assert {name.partition(".")[0] for name in load_file(path)} == {"unet", "text_encoder"}
    return path


@pytest.fixture(scope="module")
def plain():
    return pictures(twin())


@pytest.fixture
def spoiled(tmp_path, file):
    """Returns a function that writes the LoRA's tensors, changed."""

    def write(change):
        path = tmp_path / "spoiled.safetensors"
        save_file(dict(change(*item) for item in load_file(file).items()), path)
        return path

    return write


def test_a_lora_changes_what_is_drawn_and_its_weight_how_much(file, plain):
    changed = []
    for weight in (1.0, 0.5, 1e-6):
        tuned = twin()
        apply_lora(tuned, file, weight)
        changed.append(np.abs(pictures(tuned) - plain).mean())
    assert changed[0] > changed[1] > 1
    assert changed[2] < 0.01


def pairs(tensors):
    """Yield the layer and the two tensors of each pair."""
    for name in tensors:
        layer, found, _ = name.partition(".lora")
        if found and ".down." in name:
            yield layer, tensors[name], tensors[name.replace(".down.", ".up.")]


def test_a_lora_is_added_to_the_weights_as_it_says(file, plain):
    """Against the formula W + B A, computed here from the file."""
    tuned, by_hand = twin(), twin()
    apply_lora(tuned, file, 0.5)
    for layer, down, up in pairs(load_file(file)):
        part, _, name = layer.partition(".")
        module = getattr(by_hand, part).get_submodule(name.removeprefix("text_model."))
        module.weight.data += 0.5 * up @ down
    assert np.abs(pictures(tuned) - pictures(by_hand)).max() <= 1
    assert np.abs(pictures(by_hand) - plain).mean() > 1


def test_a_lora_that_is_there_already_is_not_added_again(file):
    once, twice = twin(), twin()
    apply_lora(once, file, 1.0)
    apply_lora(twice, file, 1.0)
    apply_lora(twice, file, 1.0)
    assert (pictures(once) == pictures(twice)).all()


def test_a_lora_takes_the_number_format_of_the_pipeline(file):
    tuned = twin("bf16")
    apply_lora(tuned, file, 1.0)
    formats = {p.dtype for name, p in tuned.unet.named_parameters() if "lora" in name}
    assert formats == {torch.bfloat16}
    assert pictures(tuned).shape == (2, 32, 32, 3)


def test_names_of_another_trainer_are_understood(tmp_path, file, plain):
    """kohya-ss writes lora_unet_..., lora_down, lora_up and an alpha."""
    kohya = {}
    for layer, down, up in pairs(load_file(file)):
        if layer.startswith("unet."):
            stem = "lora_" + layer.replace(".", "_")
            kohya |= {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
            kohya[f"{stem}.alpha"] = torch.tensor(2.0)
    path = tmp_path / "kohya.safetensors"
    save_file(kohya, path)
    tuned = twin()
    apply_lora(tuned, path, 1.0)
    assert np.abs(pictures(tuned) - plain).mean() > 1


def test_a_lora_whose_names_fit_nothing_is_refused(spoiled):
    path = spoiled(
        lambda name, tensor: (name.replace("to_q", "to_nothing").replace("to_v", "to_none"), tensor)
    )
    with pytest.raises(
        ModelError, match=r"the LoRA .*spoiled\.safetensors must fit the model, got .* --memex-model"
    ):
        apply_lora(twin(), path, 1.0)


def test_a_lora_of_which_only_a_part_fits_is_refused(spoiled):
    path = spoiled(lambda name, tensor: (name.replace("mid_block", "no_block"), tensor))
    with pytest.raises(ModelError, match=r"must fit the model, got \d+ of its \d+ tensors in place"):
        apply_lora(twin(), path, 1.0)


def test_a_lora_for_another_part_alone_is_refused(spoiled):
    path = spoiled(
        lambda name, tensor: (name.replace("unet.", "transformer.").replace("text_en", "no_en"), tensor)
    )
    with pytest.raises(ModelError, match=r"must fit the model, got 0 of its \d+ tensors in place"):
        apply_lora(twin(), path, 1.0)


def test_a_lora_of_another_width_is_refused(spoiled):
    path = spoiled(lambda name, tensor: (name, tensor.repeat(1, 2) if tensor.shape[0] == 2 else tensor))
    with pytest.raises(ModelError, match=r"must fit the model, got RuntimeError: .*size mismatch for"):
        apply_lora(twin(), path, 1.0)


def test_weights_that_diffusers_would_leave_out_are_refused(tmp_path, file):
    tensors = load_file(file)
    scaled = {f"{layer}.dora_scale": torch.ones(1) for layer, _, _ in pairs(tensors)}
    path = tmp_path / "dora.safetensors"
    save_file({**tensors, **scaled}, path)
    with pytest.raises(ModelError, match=r"must fit the model, got \d+ of its \d+ tensors in place"):
        apply_lora(twin(), path, 1.0)


def test_a_file_that_is_no_lora_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"some.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(ModelError, match=r"must fit the model, got ValueError: Invalid LoRA checkpoint"):
        apply_lora(twin(), path, 1.0)


def test_a_file_cut_short_is_refused_in_one_line(tmp_path, file):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(
        ModelError, match=r"the LoRA .*cut\.safetensors must fit the model, got \w+: .+"
    ) as caught:
        apply_lora(twin(), path, 1.0)
    assert "\n" not in str(caught.value)


def test_a_pipeline_that_takes_no_lora_is_named(file):
    with pytest.raises(ModelError, match=r"--memex-lora needs a pipeline that takes a LoRA, got Identity\."):
        apply_lora(torch.nn.Identity(), file, 1.0)


def test_without_peft_one_line_says_how_to_install_it(file, monkeypatch):
    monkeypatch.setattr(lora, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"needs the package peft: pip install 'memex-audit\[lora\]"):
        apply_lora(twin(), file, 1.0)


def test_the_model_without_its_lora_draws_as_it_did_before(file, plain):
    tuned = twin()
    apply_lora(tuned, file, 1.0)
    generator = DiffusersGenerator(tuned, fingerprint="tuned", sampler=SAMPLER)
    base = WithoutLora(generator, fingerprint="base")
    with_lora = pictures(tuned)
    assert isinstance(base, Generator)
    assert (base.fingerprint, base.settings) == ("base", generator.settings)
    assert (np.stack([g.pixels for g in base.generate(REQUESTS)]) == plain).all()
    assert (pictures(tuned) == with_lora).all()


def test_the_lora_comes_back_when_drawing_without_it_breaks_off(file):
    tuned = twin()
    apply_lora(tuned, file, 1.0)
    base = WithoutLora(DiffusersGenerator(tuned, fingerprint="", sampler=SAMPLER), fingerprint="base")
    with_lora = pictures(tuned)
    base.generate(REQUESTS).close()
    next(base.generate(REQUESTS))
    assert (pictures(tuned) == with_lora).all()


def test_a_folder_is_searched_for_the_name_that_diffusers_gives(file, tmp_path):
    assert find_lora(file.parent) == find_lora(file) == file
    with pytest.raises(ModelError, match=r"or a folder with pytorch_lora_weights\.safetensors, .* none"):
        find_lora(tmp_path)


def test_a_pickled_lora_is_refused(tmp_path):
    path = tmp_path / "lora.bin"
    path.write_bytes(b"")
    with pytest.raises(ModelError, match=r"must be safetensors, got .*lora\.bin, which could run code"):
        find_lora(path)
