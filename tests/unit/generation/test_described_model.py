from types import SimpleNamespace

import pytest

from memex_audit.errors import ModelError
from memex_audit.generation.described_model import DescribedModel, description_file

SAID = {
    "fingerprint": "f" * 64, "settings": {"size": (32, 32), "guidance": 7.5}, "shareable": True,
    "evaluations_per_image": 40, "takes_prompts": True, "device": "cpu",
}  # fmt: skip


class Loading:
    """Loads a model that says of itself what it is told to, and counts how often."""

    def __init__(self, **said):
        self.n = 0
        self.said = SAID | said

    def __call__(self):
        self.n += 1
        return SimpleNamespace(
            **self.said,
            on_step=None,
            generate=iter,
            read_tokens=lambda prompt: (tuple(prompt.split()[:3]), max(0, len(prompt.split()) - 3)),
        )


@pytest.fixture
def file(tmp_path):
    return description_file(tmp_path / "descriptions", {"fingerprint": "f" * 64})


def test_a_model_that_was_described_is_loaded_when_it_must_draw_and_not_before(file):
    first, second = Loading(), Loading()
    assert DescribedModel(first, file).fingerprint == "f" * 64
    model = DescribedModel(second, file)
    assert (model.evaluations_per_image, model.device, model.shareable) == (40, "cpu", True)
    assert model.settings == {"size": [32, 32], "guidance": 7.5}
    assert (first.n, second.n) == (1, 0)
    assert list(model.generate(["a", "b"])) == ["a", "b"]
    assert list(model.generate(["c"])) == ["c"]
    assert second.n == 1


def test_what_a_model_reads_of_prompts_is_remembered(file):
    first, second = Loading(), Loading()
    model = DescribedModel(first, file)
    read = {prompt: model.read_tokens(prompt) for prompt in ("a b", "a b c d", "a b c e")}
    model.remember_tokens()
    again = DescribedModel(second, file)
    assert {prompt: again.read_tokens(prompt) for prompt in read} == read
    assert second.n == 0
    assert read["a b c d"][0] == read["a b c e"][0] != read["a b"][0]
    assert [cut for _, cut in read.values()] == [0, 1, 1]
    assert again.read_tokens("a c")[0] not in dict(read.values())
    assert second.n == 1


def test_a_model_that_is_not_as_it_was_described_is_refused_once(file):
    DescribedModel(Loading(), file)
    other = Loading(settings={"size": (64, 64), "guidance": 7.5})
    with pytest.raises(ModelError, match="as in the run before"):
        DescribedModel(other, file).generate(["a"])
    assert DescribedModel(other, file).settings["size"] == [64, 64]


@pytest.mark.parametrize("written", [b"", b"[]", b"{}", b'{"fingerprint": "f"}', b"\xff"])
def test_a_description_that_is_none_is_written_anew(file, written):
    file.parent.mkdir()
    file.write_bytes(written)
    loading = Loading()
    assert DescribedModel(loading, file).device == "cpu"
    assert loading.n == 1
    assert DescribedModel(Loading(), file).device == "cpu"


def test_whatever_a_model_is_loaded_with_is_part_of_its_name(tmp_path):
    names = {description_file(tmp_path, options) for options in ({}, {"a": 1}, {"a": 2}, {"b": 1})}
    assert len(names) == 4


def test_a_store_that_cannot_be_written_costs_loading_the_model(tmp_path):
    (tmp_path / "file").write_text("")
    loading = Loading()
    model = DescribedModel(loading, tmp_path / "file" / "description.json")
    model.read_tokens("a")
    model.remember_tokens()
    assert loading.n == 1
