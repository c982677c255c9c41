import json
import re
import shutil

import numpy as np
import pytest

from memex_audit.errors import EmbedderError
from memex_audit.protocols import Embedder
from memex_audit.training_set import duplicate_similarity_of, embedder_name, load_embedder


@pytest.fixture
def model(random_open_clip, tmp_path):
    """A copy of it that a test may change."""
    return shutil.copytree(random_open_clip, tmp_path / "tiny")


@pytest.fixture
def fake_model(tmp_path):
    """A folder with the names of a model and nothing in it: enough for everything but loading."""
    folder = tmp_path / "fake"
    folder.mkdir()
    for name in ("open_clip_config.json", "open_clip_model.safetensors"):
        (folder / name).write_bytes(b"")
    return folder


def pictures(n):
    random = np.random.default_rng(0)
    shapes = random.integers(5, 60, (n, 2))
    return [random.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in shapes]


def test_a_local_model_offers_what_the_protocol_asks(model):
    embedder = load_embedder(f"local-dir:{model}")
    assert isinstance(embedder, Embedder)
    assert embedder.dimension == 24
    assert embedder.duplicate_similarity == 0.95
    assert embedder.name == embedder_name(f"local-dir:{model}")


def test_pictures_of_any_size_become_unit_vectors(model):
    vectors = load_embedder(f"local-dir:{model}").embed(pictures(5))
    assert vectors.shape == (5, 24)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors.astype(np.float64), axis=1), 1, atol=1e-6)


def test_no_pictures_become_no_vectors(model):
    assert load_embedder(f"local-dir:{model}").embed([]).shape == (0, 24)


def test_batches_do_not_change_a_vector(model, monkeypatch):
    from memex_audit.training_set import open_clip_embedder

    embedder = load_embedder(f"local-dir:{model}")
    whole = embedder.embed(pictures(7))
    monkeypatch.setattr(open_clip_embedder, "BATCH", 3)
    # float32 sums run in another order in another batch.
    np.testing.assert_allclose(embedder.embed(pictures(7)), whole, atol=1e-5)


def test_the_vectors_are_those_of_the_model_s_own_preprocessing(model):
    import open_clip
    import torch
    from PIL import Image

    picture = pictures(1)[0]
    reference, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{model}")
    with torch.inference_mode():
        expected = reference.eval().encode_image(preprocess(Image.fromarray(picture))[None], normalize=True)
    vector = load_embedder(f"local-dir:{model}").embed([picture])
    np.testing.assert_allclose(vector, expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("factor", [float("nan"), 0.0])
def test_weights_that_give_no_direction_are_an_error(model, factor):
    from safetensors.torch import load_file, save_file

    weights = load_file(model / "open_clip_model.safetensors")
    weights["visual.proj"] *= factor
    save_file(weights, model / "open_clip_model.safetensors")
    embedder = load_embedder(f"local-dir:{model}")
    with pytest.raises(
        EmbedderError, match=r"Embeddings of tiny@.* must be finite and not zero, got others; check"
    ):
        embedder.embed(pictures(1))


def test_weights_that_are_no_safetensors_are_an_error(model):
    (model / "open_clip_model.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(
        EmbedderError, match=r"Embedder in .*tiny must be an open_clip model with its weights, got: "
    ):
        load_embedder(f"local-dir:{model}")


def test_weights_of_another_config_are_an_error_in_one_line(model):
    config = json.loads((model / "open_clip_config.json").read_text())
    config["model_cfg"]["embed_dim"] = 25
    (model / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(EmbedderError, match=r"^Embedder in .*tiny must be .*, got: [^\n]+$"):
        load_embedder(f"local-dir:{model}")


def test_a_pickle_beside_the_safetensors_is_not_read(model):
    (model / "open_clip_pytorch_model.bin").write_bytes(b"no pickle")
    load_embedder(f"local-dir:{model}")


@pytest.mark.parametrize("name", ["open_clip_config.json", "open_clip_model.safetensors"])
def test_a_folder_without_a_file_is_an_error_that_names_it(fake_model, name):
    (fake_model / name).unlink()
    (fake_model / "open_clip_pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(
        EmbedderError, match=rf"must hold .*, got .*fake without {name}; save the model there"
    ):
        load_embedder(f"local-dir:{fake_model}")


def test_a_name_is_that_of_the_contents_wherever_they_lie(fake_model, tmp_path):
    name = embedder_name(f"local-dir:{fake_model}")
    assert re.fullmatch("fake@[0-9a-f]{12}", name)
    moved = shutil.copytree(fake_model, tmp_path / "elsewhere" / "fake")
    assert embedder_name(f"local-dir:{moved}") == name
    (moved / "open_clip_model.safetensors").write_bytes(b"trained on")
    changed = embedder_name(f"local-dir:{moved}")
    (moved / "memex.toml").write_text("[embedder]\nduplicate_similarity = 0.5\n")
    assert len({name, changed, embedder_name(f"local-dir:{moved}")}) == 3


def test_the_duplicate_similarity_stands_in_the_folder_or_is_the_default(fake_model):
    spec = f"local-dir:{fake_model}"
    assert duplicate_similarity_of(spec) == duplicate_similarity_of("ViT-B-32/laion2b_s34b_b79k") == 0.95
    (fake_model / "memex.toml").write_text("[generation]\nsteps = 20\n")
    assert duplicate_similarity_of(spec) == 0.95
    (fake_model / "memex.toml").write_text("[embedder]\nduplicate_similarity = 0.97\n")
    assert duplicate_similarity_of(spec) == 0.97


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            "duplicate_similarity = 97",
            r"duplicate_similarity must be in \(0, 1\], got 97. It is a cosine; larger",
        ),
        ("duplicate_similarity = 'high'", r"duplicate_similarity must be in \(0, 1\], got 'high'"),
        ("duplicate_similarity = true", r"duplicate_similarity must be in \(0, 1\], got True"),
        ("duplicate_similarty = 0.9", "only, got duplicate_similarty; did you mean duplicate_similarity?"),
        ("batch = 3", r"\[embedder\] must have duplicate_similarity only, got batch; take it out"),
        ("duplicate_similarity", r"memex\.toml must be TOML, got: "),
    ],
)
def test_a_duplicate_similarity_that_cannot_be_used_is_an_error(fake_model, settings, message):
    (fake_model / "memex.toml").write_text(f"[embedder]\n{settings}\n")
    with pytest.raises(EmbedderError, match=message):
        load_embedder(f"local-dir:{fake_model}")


@pytest.mark.parametrize("spec", ["ViT-B-32", "/openai", "a/b/c", "", "hf-hub:org/model/x"])
def test_a_spec_that_cannot_be_read_is_an_error(spec):
    message = (
        rf"`--memex-embedder` must be ARCH/TAG, local-dir:FOLDER or specimen, got '{spec}'; for instance ViT"
    )
    with pytest.raises(EmbedderError, match=message):
        load_embedder(spec)


def test_an_unknown_model_or_tag_is_answered_with_those_there_are():
    with pytest.raises(
        EmbedderError, match=r"one of open_clip's models, got 'ViT-B-23'; nearest: .*ViT-B-32"
    ):
        load_embedder("ViT-B-23/openai")
    with pytest.raises(EmbedderError, match=r"ViT-B-32 must have one of the tags openai, .*, got 'laion'"):
        load_embedder("ViT-B-32/laion")


def test_a_model_whose_weights_are_a_pickle_is_refused():
    with pytest.raises(
        EmbedderError, match=r"Weights of RN50/yfcc15m must be safetensors, got a pickle; choose"
    ):
        _without_hub("RN50", "yfcc15m")


def _without_hub(arch, tag):
    import open_clip

    original = open_clip.get_pretrained_cfg
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(open_clip, "get_pretrained_cfg", lambda *names: {**original(*names), "hf_hub": ""})
        load_embedder(f"{arch}/{tag}")


def test_without_a_network_the_error_says_what_to_do(monkeypatch):
    import huggingface_hub

    asked = []

    def offline(repo, file, *, revision=None, local_files_only=False):
        asked.append((repo, file, revision, local_files_only))
        raise FileNotFoundError("no such file\nand more")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    message = (
        r"^Weights of ViT-B-32/laion2b_s34b_b79k@abc cannot be had \(no such file\); use `--memex-embedder "
        r"local-dir:FOLDER` \(a model on this disk\) or `specimen` \(shipped, small\)\.$"
    )
    with pytest.raises(EmbedderError, match=message):
        load_embedder("ViT-B-32/laion2b_s34b_b79k@abc")
    repo, file = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "open_clip_model.safetensors"
    assert asked == [(repo, file, "abc", True), (repo, file, "abc", False)]


def test_whether_a_pretrained_model_is_in_the_cache_is_known_without_the_hub(monkeypatch):
    import huggingface_hub

    from memex_audit.training_set.open_clip_embedder import weights_are_cached

    asked = []

    def look(repo, file, *, revision, local_files_only):
        asked.append((repo, file, revision, local_files_only))
        if revision == "abc":
            raise FileNotFoundError

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", look)
    assert weights_are_cached("ViT-B-32", "laion2b_s34b_b79k", None)
    assert not weights_are_cached("ViT-B-32", "laion2b_s34b_b79k", "abc")
    repo, file = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "open_clip_model.safetensors"
    assert asked == [(repo, file, None, True), (repo, file, "abc", True)]
    with pytest.raises(EmbedderError, match="must have one of the tags"):
        weights_are_cached("ViT-B-32", "no-such-tag", None)


def test_a_pretrained_model_is_built_from_the_hub_s_safetensors(model, monkeypatch):
    """With the tiny model's config and weights under a pretrained name."""
    import huggingface_hub
    import open_clip

    weights = str(model / "open_clip_model.safetensors")
    config = json.loads((model / "open_clip_config.json").read_text())["model_cfg"]
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: weights)
    monkeypatch.setattr(open_clip.factory, "get_model_config", lambda _: json.loads(json.dumps(config)))
    monkeypatch.setattr(open_clip, "get_model_config", lambda _: config)
    half = {"hf_hub": "org/model/", "mean": (0.5,) * 3, "std": (0.5,) * 3}
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda *_: half)
    embedder = load_embedder("ViT-B-32/laion2b_s34b_b79k")
    assert (embedder.name, embedder.dimension) == ("ViT-B-32/laion2b_s34b_b79k", 24)
    local = load_embedder(f"local-dir:{model}")
    np.testing.assert_allclose(embedder.embed(pictures(3)), local.embed(pictures(3)), atol=1e-6)
