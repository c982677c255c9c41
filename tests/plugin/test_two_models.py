"""Two generators of a user's own that say the same fingerprint."""

import json

import pytest

CLEAN = tuple(f"clean picture {i}" for i in range(4))
OPTIONS = ("--memex-prompts", "prompts.csv", "--memex-limit", "0.9")


def one_line(run):
    return " ".join(part.removeprefix("E").strip() for part in run.stdout.lines)


def result(project):
    return json.loads((project.path / "result.json").read_text())


def change(project, old, new):
    """Change the generator in conftest.py, as a user would."""
    text = (project.path / "conftest.py").read_text()
    assert old in text
    (project.path / "conftest.py").write_text(text.replace(old, new))


@pytest.fixture
def audited(project):
    """A project whose store has pictures of one generator, and prompts that it has none of."""
    project.prompts(*CLEAN)
    assert project.audit(*OPTIONS).ret == 0
    project.prompts(*CLEAN, "clean and new", "clean and newer")
    return project


def retrain(project):
    """Make another model of the generator, which goes on saying the same fingerprint."""
    change(project, "default_rng(request.seed)", "default_rng(request.seed + 1)")


def test_another_model_of_the_same_fingerprint_draws_one_picture_and_is_refused(audited):
    before = len(audited.drawn)
    retrain(audited)
    run = audited.audit(*OPTIONS)
    assert run.ret == 1
    text = one_line(run)
    assert "GeneratorError: the generator Copier must draw again what is in the store, got another" in text
    assert "another model that says the same fingerprint, 'ffff" in text
    assert "say seeded = False" in text
    assert result(audited)["verdict"] == "error"
    assert len(audited.drawn) == before + 1


def test_another_model_is_refused_whatever_prompts_it_is_asked(audited):
    audited.prompts("clean and new", "clean and newer")
    retrain(audited)
    assert "another model that says the same fingerprint" in one_line(audited.audit(*OPTIONS))


def test_with_captions_redacted_no_prompt_is_written_down_and_the_prompts_of_the_audit_are_compared(project):
    project.prompts(*CLEAN)
    project.audit(*OPTIONS, "--memex-redact", "captions")
    (record,) = project.path.glob(".memex/units/*/*/model.json")
    assert not any(prompt in record.read_text() for prompt in CLEAN)
    project.prompts(*CLEAN, "clean and new")
    retrain(project)
    assert "another model that says the same fingerprint" in one_line(project.audit(*OPTIONS))


def test_a_generator_that_is_not_seeded_and_says_so_is_not_compared(project):
    change(project, "seeded = True", "seeded = False")
    project.prompts(*CLEAN)
    project.audit(*OPTIONS)
    project.prompts(*CLEAN, "clean and new")
    retrain(project)
    assert project.audit(*OPTIONS).ret == 0
    assert len(project.drawn) == 4 * len(CLEAN) + 4


def test_a_model_named_by_its_module_is_compared_too(project):
    project.take_the_model_that_is_named()
    project.prompts(*CLEAN)
    project.write_module("first_model")
    project.write_module("second_model")
    module = project.path / "second_model.py"
    module.write_text(module.read_text().replace("(request.seed)", "(request.seed + 1)"))
    assert project.audit(*OPTIONS, "--memex-model", "python:first_model:Copier").ret == 0
    project.prompts(*CLEAN, "clean and new")
    run = project.audit(*OPTIONS, "--memex-model", "python:second_model:Copier")
    assert "another model that says the same fingerprint" in one_line(run)


def test_two_fingerprints_that_begin_alike_are_two_models(audited):
    change(audited, '"f" * 64', '"f" * 40 + "0" * 24')
    before = len(audited.drawn)
    run = audited.audit(*OPTIONS)
    text = one_line(run)
    assert "StoreError: the store" in text
    assert f"'{'f' * 40}{'0' * 24}'" in text
    assert f"got those of '{'f' * 64}', which is named alike" in text
    assert len(audited.drawn) == before
