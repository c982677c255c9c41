"""python:MODULE:FACTORY makes a user's own generator."""

import sys

import pytest

from memex_audit.errors import ConfigurationError, GeneratorError
from memex_audit.generation.black_box.user_object import make_generator


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module into a project of its own."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(text, name="sampling_of_a_project"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / f"{name}.py").write_text(text)
        return tmp_path

    return write


def test_what_the_factory_makes_is_the_generator(module):
    rootdir = module("class Mine:\n    fingerprint = 'mine'\n")
    assert make_generator("sampling_of_a_project:Mine", rootdir).fingerprint == "mine"


def test_a_factory_may_import_more_of_the_project_later(module):
    module("VALUE = 3", "more_of_a_project")
    rootdir = module("def make():\n    import more_of_a_project\n    return more_of_a_project.VALUE")
    assert make_generator("sampling_of_a_project:make", rootdir) == 3


@pytest.mark.parametrize("spec", ["", "module", "module:", ":factory"])
def test_a_module_and_a_factory_must_be_named(tmp_path, spec):
    with pytest.raises(ConfigurationError, match="must name a module and what makes a generator in it"):
        make_generator(spec, tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "sampling_of_a_project has no such name"), ("make = 3", "sampling_of_a_project has a int")],
)
def test_a_name_that_makes_nothing_is_refused(module, text, said):
    with pytest.raises(ConfigurationError, match=said):
        make_generator("sampling_of_a_project:make", module(text))


def test_a_module_that_is_not_there_is_told_from_one_that_lacks_another(module, tmp_path):
    with pytest.raises(
        ConfigurationError, match=r"got nowhere\.to_be_found, which is neither installed nor in"
    ):
        make_generator("nowhere.to_be_found:make", tmp_path)
    with pytest.raises(
        GeneratorError, match=r"must be importable, got ModuleNotFoundError: No module named 'not_"
    ):
        make_generator("sampling_of_a_project:make", module("import not_installed"))


def test_a_factory_that_raises_is_one_line(module):
    rootdir = module("def make():\n    raise RuntimeError('no device\\nand more')")
    with pytest.raises(GeneratorError, match=r"without arguments, got RuntimeError: no device; mend it\.$"):
        make_generator("sampling_of_a_project:make", rootdir)
