"""A model that would have code run, or read what is not its own, is refused before anything is loaded."""

import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline
from tiny_pipelines import parts

from memex_audit.config import read_settings
from memex_audit.errors import ModelError, UntrustedModel
from memex_audit.generation.model_folder import check_model_folder
from memex_audit.generation.pipeline_loading import load_pipeline
from memex_audit.records import GenerationRequest
from memex_audit.workbench import Workbench

REQUEST = GenerationRequest(prompt="a cat", seed=7)


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """A pipeline as a user has one."""
    path = tmp_path_factory.mktemp("models") / "honest"
    StableDiffusionPipeline(**parts()).save_pretrained(path, safe_serialization=True)
    return path


@pytest.fixture
def model(honest, tmp_path):
    """A copy of it, to be spoiled."""
    return shutil.copytree(honest, tmp_path / "model")


@pytest.fixture
def refused(model, monkeypatch):
    """Expect that the model is refused, by whoever looks at it, with nothing of it loaded."""

    def loaded(*arguments, **options):
        pytest.fail("a part of the model was loaded")

    def check(reason):
        monkeypatch.setattr(DiffusionPipeline, "from_pretrained", loaded)
        for look in (check_model_folder, load_pipeline):
            with pytest.raises(UntrustedModel, match=reason) as caught:
                look(model)
            assert "\n" not in str(caught.value)

    return check


def change(path, **entries):
    """Set entries of a JSON file."""
    found = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**found, **entries}))


def draw(folder, tmp_path):
    """Draw a picture with a model, as an audit does."""
    options = {
        "model": str(folder),
        "device": "cpu",
        "steps": "2",
        "size": "32",
        "store": str(tmp_path / "s"),
    }
    (generation,) = Workbench(read_settings(options), tmp_path).generator.generate([REQUEST])
    return generation.pixels


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self):
        return Path.touch, (self.sprung,)


# -- an honest model needs neither pickle nor network


def test_a_model_is_loaded_and_draws_without_network_and_without_unpickling(model, tmp_path, monkeypatch):
    sprung = tmp_path / "sprung"
    for part, read in (("unet", "diffusion_pytorch_model"), ("vae", "diffusion_pytorch_model"),
                       ("text_encoder", "pytorch_model")):  # fmt: skip
        for name in (f"{read}.bin", "model.pt"):
            (model / part / name).write_bytes(pickle.dumps(Trap(sprung)))
    # Names of where a model came from are never followed.
    for config in ("unet/config.json", "text_encoder/config.json", "tokenizer/tokenizer_config.json"):
        change(model / config, _name_or_path="someone/else", name_or_path="someone/else")

    def forbidden(*arguments, **options):
        raise AssertionError("unpickling or the network was asked for")

    for owner, name in (
        (socket.socket, "connect"), (socket.socket, "connect_ex"), (socket, "getaddrinfo"),
        (pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load"),
    ):  # fmt: skip
        monkeypatch.setattr(owner, name, forbidden)
    assert draw(model, tmp_path).shape == (32, 32, 3)
    assert not sprung.exists()
    monkeypatch.undo()
    pickle.loads((model / "unet" / "model.pt").read_bytes())
    assert sprung.exists()  # the trap works


def test_the_hub_cannot_be_asked_while_a_folder_is_loaded(model, monkeypatch):
    def ask(*arguments, **options):
        return huggingface_hub.HfApi().model_info("someone/else")

    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the network was asked for"))
    monkeypatch.setattr(StableDiffusionPipeline, "from_pretrained", ask)
    with pytest.raises(ModelError, match="got OfflineModeIsEnabled: Cannot reach"):
        load_pipeline(model, device="cpu")
    assert not huggingface_hub.is_offline_mode()


def test_offline_a_hub_id_that_is_not_in_the_cache_is_one_line(tmp_path):
    command = "from memex_audit.generation.model_folder import fetch_model as f; f('someone/model@0123')"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", command], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stderr.strip().splitlines()[-1] == (
        "memex_audit.errors.ModelError: the model someone/model@0123 must be in the local cache or on a hub "
        "that can be reached, got HF_HUB_OFFLINE and no copy in the cache; give a local folder with "
        "--memex-model FOLDER."
    )


# -- code


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"unet": ["my_module", "UNet"]}, r"of diffusers or transformers, got unet=\['my_module', 'UNet'\]"),
        ({"unet": ["os", "system"]}, r"class of diffusers or transformers, got unet=\['os', 'system'\]"),
        ({"unet": ["../evil", "UNet"]}, r"class of diffusers or transformers, got unet="),
        ({"unet": ["diffusers", "a.b.C"]}, r"class of diffusers or transformers, got unet="),
        ({"unet": ["diffusers", "_Private"]}, r"class of diffusers or transformers, got unet="),
        ({"unet": ["diffusers", "UNet2DConditionModel", "more"]}, r"class of diffusers or transformers"),
        ({"unet": ["my_module", None]}, r"class of diffusers or transformers, got unet="),
        ({"../unet": ["diffusers", "UNet2DConditionModel"]}, r"of diffusers or transformers, got \.\./unet"),
        ({"_class_name": ["my_pipeline", "Pipe"]}, r"got _class_name=\['my_pipeline', 'Pipe'\] in .*no name"),
        ({"_class_name": "../pipeline.py"}, r"got _class_name='\.\./pipeline\.py' in .*no name of a class"),
        ({"auto_map": {"AutoPipeline": "code.Pipe"}}, r"got auto_map=.*names code of its own"),
    ],
)  # fmt: skip
def test_an_index_that_names_a_class_of_another_module_is_refused(model, refused, entries, reason):
    change(model / "model_index.json", **entries)
    refused(reason)


@pytest.mark.parametrize("name", ["unet/diffusers.py", "unet/modeling.py", "None.py"])
def test_python_where_diffusers_would_look_for_it_is_refused(model, refused, name):
    (model / name).write_text("raise SystemExit")
    refused(rf"must come without code, got .*{Path(name).name}")


@pytest.mark.parametrize(
    ("config", "entries", "reason"),
    [
        ("text_encoder/config.json", {"auto_map": {"AutoModel": "a.B"}}, "names code of its own"),
        ("tokenizer/tokenizer_config.json", {"auto_map": ["a.B", None]}, "names code of its own"),
        ("text_encoder/config.json", {"deep": [{"auto_map": {"AutoModel": "a.B"}}]}, "names code of its own"),
        ("unet/config.json", {"_class_name": ["evil", "UNet"]}, "no name of a class"),
        ("text_encoder/config.json", {"attn_implementation": "someone/kernel"}, "names code on a hub"),
        ("text_encoder/config.json", {"_attn_implementation": {"": "a/b"}}, "names code on a hub"),
        ("text_encoder/config.json", {"use_pretrained_backbone": True}, "fetches weights elsewhere"),
    ],
)
def test_a_configuration_that_names_code_is_refused(model, refused, config, entries, reason):
    change(model / config, **entries)
    refused(rf"must come whole and without code, got .*{Path(config).name}, which (is )?{reason}")


def test_a_pipeline_inside_a_part_is_looked_at_too(model, refused):
    (model / "vae" / "model_index.json").write_text(json.dumps({"unet": ["my_module", "UNet"]}))
    refused(r"got unet=\['my_module', 'UNet'\] in .*vae/model_index\.json")


def test_an_adapter_that_names_its_model_elsewhere_is_refused(model, refused):
    change(model / "text_encoder" / "adapter_config.json", base_model_name_or_path="someone/else")
    refused(r"weights must be whole, got .*adapter_config\.json, which names a model elsewhere")


@pytest.mark.parametrize("text", ["[1]", "{", '{"a":' * 100_000, "\udcff"])
def test_a_configuration_that_is_no_json_object_is_refused(model, refused, text):
    (model / "unet" / "config.json").write_text(text, errors="surrogateescape")
    refused(r"unet/config\.json must be a JSON object, got .+; copy the model again")


# -- files elsewhere


@pytest.mark.parametrize("key", ["vocab_file", "merges_file", "tokenizer_file", "special_tokens_map_file"])
def test_a_tokenizer_with_a_path_that_climbs_out_is_refused(model, refused, key):
    change(model / "tokenizer" / "tokenizer_config.json", **{key: "../../private.txt"})
    refused(rf"must name files of the model's own folder, got {key}='\.\./\.\./private\.txt'")


def test_a_tokenizer_with_the_path_of_a_file_on_this_machine_is_refused(model, refused, tmp_path):
    (tmp_path / "private.txt").write_text("private")
    change(model / "tokenizer" / "special_tokens_map.json", vocab_file=str(tmp_path / "private.txt"))
    refused(r"must name files of the model's own folder, got vocab_file='/")


def test_paths_that_a_tokenizer_carries_from_where_it_was_made_are_no_fault(model):
    change(
        model / "tokenizer" / "tokenizer_config.json",
        special_tokens_map_file="/etc/hostname", tokenizer_file="/home/someone/tokenizer.json",
        vocab_file=str(model / "tokenizer" / "vocab.json"), fast_tokenizer_files=["tokenizer.json"],
    )  # fmt: skip
    assert load_pipeline(model, device="cpu").tokenizer("a cat").input_ids


def test_a_link_out_of_the_folder_is_refused(model, refused, tmp_path):
    (tmp_path / "private.json").write_text("{}")
    (model / "tokenizer" / "added_tokens.json").symlink_to(tmp_path / "private.json")
    refused(
        r"must lie in its folder, got .*added_tokens\.json, a link to .*private\.json; copy the file there"
    )


def test_a_part_that_is_a_link_to_another_folder_is_refused(model, refused, tmp_path):
    shutil.move(model / "unet", tmp_path / "unet")
    (model / "unet").symlink_to(tmp_path / "unet")
    refused(r"must lie in its folder, got .*model/unet, a link to")


def test_links_within_the_folder_and_in_a_circle_are_followed(model, tmp_path):
    (model / "tokenizer" / "tokenizer.json").rename(model / "words.json")
    (model / "tokenizer" / "tokenizer.json").symlink_to("../words.json")
    (model / "unet" / "round").symlink_to("../unet")
    (tmp_path / "linked").symlink_to(model)
    assert load_pipeline(tmp_path / "linked", device="cpu").tokenizer("a cat").input_ids


def test_the_links_of_a_hub_cache_are_its_files(model, tmp_path):
    repository = tmp_path / "models--someone--model"
    snapshot = shutil.move(model, repository / "snapshots" / "0123")
    (repository / "blobs").mkdir()
    for number, path in enumerate(path for path in Path(snapshot).rglob("*") if path.is_file()):
        path.rename(repository / "blobs" / str(number))
        path.symlink_to(os.path.relpath(repository / "blobs" / str(number), path.parent))
    assert load_pipeline(snapshot, device="cpu").tokenizer("a cat").input_ids


@pytest.mark.parametrize(
    "shard", ["../../x.safetensors", "/x.safetensors", "..\\x.safetensors", "evil.bin", 7]
)
def test_shards_that_are_not_safetensors_beside_their_index_are_refused(model, refused, shard):
    index = model / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": {"a": shard}}))
    refused(r"must name \.safetensors files beside it, got")


def test_a_lying_header_of_a_part_is_refused(model, refused):
    path = model / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    refused(r"must be whole safetensors, got .*unet/diffusion_pytorch_model\.safetensors")
