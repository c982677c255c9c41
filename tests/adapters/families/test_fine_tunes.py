"""Checkpoints in one file and tokens learned by textual inversion, on tiny models of their real classes."""

import shutil

import pytest
import torch
from families.builders import FAMILIES
from families.original_format import save_checkpoint
from safetensors.torch import load_file, save_file

from memex_audit.config import Settings, read_settings
from memex_audit.errors import ConfigurationError, ModelError
from memex_audit.generation import pipeline_loading
from memex_audit.generation.pipeline_loading import load_pipeline
from memex_audit.model_bench import ModelBench
from memex_audit.records import GenerationRequest

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return FAMILIES["Stable Diffusion 1"](tmp_path_factory.mktemp("models") / "folder")


@pytest.fixture(scope="module")
def checkpoint(folder):
    """The folder's weights in one file, by the names of the first authors."""
    return save_checkpoint(load_pipeline(folder, device="cpu"), folder.with_name("one.safetensors"))


@pytest.fixture(scope="module")
def config(folder):
    """The folder without its weights."""
    return shutil.copytree(folder, folder.with_name("config"), ignore=shutil.ignore_patterns("*.safetensors"))


@pytest.fixture
def generator_of(tmp_path):
    """Returns a function that makes a generator as the options of an audit say."""

    def make(model, **options):
        chosen = {name: str(value) for name, value in options.items()}
        settings = Settings(model=str(model), device="cpu", store=str(tmp_path / "store"), **chosen)
        return ModelBench(settings, tmp_path).generator

    return make


def picture(generator, prompt="a cat"):
    (drawn,) = generator.generate([GenerationRequest(prompt=prompt, seed=11)])
    return drawn.pixels


def test_one_file_draws_what_the_folder_with_its_weights_draws(generator_of, folder, checkpoint, config):
    one = generator_of(checkpoint, model_config=config)
    assert (picture(one) == picture(generator_of(folder))).all()
    assert one.settings == generator_of(folder).settings


def test_other_weights_and_another_configuration_make_another_model(
    generator_of, checkpoint, config, tmp_path
):
    first = generator_of(checkpoint, model_config=config).fingerprint
    other = tmp_path / "other.safetensors"
    save_file({name: tensor * 1.01 for name, tensor in load_file(checkpoint).items()}, other)
    changed = shutil.copytree(config, tmp_path / "changed")
    scheduler = changed / "scheduler" / "scheduler_config.json"
    scheduler.write_text(scheduler.read_text().replace("0.012", "0.013"))
    found = {
        first,
        generator_of(other, model_config=config).fingerprint,
        generator_of(checkpoint, model_config=changed).fingerprint,
    }
    assert len(found) == 3
    moved = shutil.copy(checkpoint, tmp_path / "elsewhere.safetensors")
    assert generator_of(moved, model_config=config).fingerprint == first


def test_one_file_without_a_configuration_is_told_what_to_name(generator_of, checkpoint):
    with pytest.raises(ConfigurationError, match=r"must have its configuration, .*--memex-model-config"):
        generator_of(checkpoint)


def test_a_configuration_is_for_a_model_in_one_file(generator_of, folder):
    with pytest.raises(ConfigurationError, match=r"must go with a model in one \.safetensors file, got"):
        generator_of(folder, model_config=folder)


def test_one_file_that_lacks_weights_is_refused(generator_of, checkpoint, config, tmp_path):
    lacking = tmp_path / "lacking.safetensors"
    kept = {name: tensor for name, tensor in load_file(checkpoint).items() if "first_stage" not in name}
    save_file(kept, lacking)
    with pytest.raises(ModelError, match=r"the model in .*lacking\.safetensors must load as a .*, got"):
        generator_of(lacking, model_config=config)


def test_one_file_that_lacks_a_layer_is_refused(generator_of, checkpoint, config, tmp_path):
    """Left at random it would be the audit of another model."""
    lacking = tmp_path / "lacking.safetensors"
    tensors = load_file(checkpoint)
    del tensors["model.diffusion_model.middle_block.0.in_layers.2.weight"]
    save_file(tensors, lacking)
    with pytest.raises(ModelError, match=r"the model in .*lacking\.safetensors must load as a .*, got"):
        generator_of(lacking, model_config=config)


def test_one_file_is_not_loaded_where_lacking_layers_would_not_be_seen(
    generator_of, checkpoint, config, monkeypatch
):
    monkeypatch.setattr(pipeline_loading, "find_spec", lambda package: None)
    with pytest.raises(ConfigurationError, match=r"needs the package accelerate: pip install accelerate"):
        generator_of(checkpoint, model_config=config)


def test_one_file_of_another_shape_is_refused(generator_of, checkpoint, config, tmp_path):
    wide = tmp_path / "wide.safetensors"
    tensors = load_file(checkpoint)
    name = "model.diffusion_model.out.2.weight"
    save_file({**tensors, name: torch.cat([tensors[name]] * 2)}, wide)
    with pytest.raises(ModelError, match=r"the model in .*wide\.safetensors must load as a .*, got"):
        generator_of(wide, model_config=config)


def test_a_family_whose_files_diffusers_cannot_read_is_refused(generator_of, checkpoint, tmp_path):
    other = FAMILIES["DDPM"](tmp_path / "ddpm")
    with pytest.raises(ModelError, match=r"of a family whose files diffusers can read, DDPMPipeline is not"):
        generator_of(checkpoint, model_config=other)


def test_options_name_both(checkpoint, config):
    settings = read_settings({"model": str(checkpoint), "model_config": str(config)})
    assert (settings.model, settings.model_config) == (str(checkpoint), str(config))


@pytest.fixture
def tokens(tmp_path):
    """Returns a function that writes learned tokens; vectors of the text encoder's width, 8."""

    def write(name="tokens", **vectors):
        path = tmp_path / f"{name}.safetensors"
        torch.manual_seed(3)
        save_file({token: torch.randn(rows, 8) for token, rows in vectors.items()}, path)
        return path

    return write


def test_a_learned_token_changes_the_pictures_of_prompts_that_have_it(generator_of, folder, tokens):
    plain, tuned = generator_of(folder), generator_of(folder, textual_inversion=tokens(**{"<toy>": 1}))
    assert (picture(tuned, "a <toy>") != picture(plain, "a <toy>")).any()
    assert (picture(tuned) == picture(plain)).all()


def test_a_token_of_several_vectors_is_read_whole(generator_of, folder, tokens):
    """Against the same pipeline with the last vector at zero."""
    file = tokens(**{"<toy>": 2})
    whole = picture(generator_of(folder, textual_inversion=file), "<toy>")
    vectors = load_file(file)["<toy>"]
    save_file({"<toy>": torch.stack([vectors[0], torch.zeros(8)])}, file)
    assert (picture(generator_of(folder, textual_inversion=file), "<toy>") != whole).any()


def test_a_token_without_a_name_is_called_as_its_file(generator_of, folder, tokens):
    tuned = generator_of(folder, textual_inversion=tokens("my-toy", emb_params=1))
    assert (picture(tuned, "my-toy") != picture(generator_of(folder), "my-toy")).any()


def test_a_token_for_two_text_encoders_goes_into_both(generator_of, tokens, tmp_path):
    xl = FAMILIES["Stable Diffusion XL"](tmp_path / "xl")
    tuned = generator_of(xl, textual_inversion=tokens("my-toy", clip_l=1, clip_g=1)).pipeline
    assert "my-toy" in tuned.tokenizer.get_vocab()
    assert "my-toy" in tuned.tokenizer_2.get_vocab()


def test_learned_tokens_are_part_of_the_fingerprint(generator_of, folder, tokens):
    one, two = tokens("one", **{"<toy>": 1}), tokens("two", **{"<toy>": 2})
    found = [generator_of(folder, textual_inversion=file).fingerprint for file in (one, two)]
    assert len({generator_of(folder).fingerprint, *found}) == 3


@pytest.mark.parametrize(
    ("family", "vectors", "message"),
    [
        (
            "Stable Diffusion 1",
            {"<toy>": torch.zeros(1, 9)},
            r"must fit the model, got ValueError",
        ),
        ("Stable Diffusion 1", {}, r"must hold a token, got none"),
        (
            "DDPM",
            {"<toy>": torch.zeros(1, 8)},
            r"must have a pipeline that takes learned tokens",
        ),
    ],
)
def test_tokens_that_fit_nothing_are_refused(generator_of, tmp_path, family, vectors, message):
    file = tmp_path / "tokens.safetensors"
    save_file(vectors, file)
    with pytest.raises(ModelError, match=message):
        generator_of(FAMILIES[family](tmp_path / "model"), textual_inversion=file)


def test_learned_tokens_are_safetensors_or_refused(generator_of, folder, tmp_path):
    pickled = tmp_path / "toy.pt"
    pickled.write_bytes(b"")
    with pytest.raises(ModelError, match=r"--memex-textual-inversion must be .*, which could run code"):
        generator_of(folder, textual_inversion=pickled)
    with pytest.raises(ModelError, match=r"nowhere\.safetensors, which does not exist"):
        generator_of(folder, textual_inversion=tmp_path / "nowhere.safetensors")
