"""The checks one after the other, and how they are shown."""

import json

import pytest
from click.testing import CliRunner

from memex_audit.cli import main
from memex_audit.config import read_settings
from memex_audit.doctor.checks import Check, State, checked, missing, ok, warning
from memex_audit.doctor.examination import Examination, check_suite, examine
from memex_audit.doctor.shown import check_lines, checks_as_json, stops, summary_line
from memex_audit.errors import ModelError


@pytest.fixture
def examined(tmp_path, monkeypatch):
    """Examine an audit in an empty folder; nobody is asked for the hub."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Examination, "hub", False)

    def run(draw: bool = False, **options: str) -> dict[str, Check]:
        found = list(examine(read_settings({"device": "cpu", **options}), tmp_path, draw=draw))
        assert len({check.name for check in found}) == len(found)
        return {check.name: check for check in found}

    return run


def test_the_specimen_lacks_nothing_but_a_suite_here(examined, tmp_path):
    found = examined()
    assert {name for name, check in found.items() if check.state is not State.OK} == {"suite"}
    assert list(found) == [
        "suite", "device", "packages", "model", "memory", "training set", "embedder", "prompts", "captions",
        "calibration", "store", "to draw",
    ]  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_trying_loads_the_model_and_times_it(examined):
    found = examined(draw=True, max_prompts="5")
    assert found["try"].state is State.OK
    assert "; calibrated at these sampler settings" in found["try"].said
    assert "s each on cpu" in found["to draw"].said
    assert found["to draw"].said.startswith("20 to 160 pictures")


def test_a_missing_model_leaves_out_what_rests_on_it(examined, images):
    found = examined(model="./nowhere", training_set=str(images("a cat")), embedder="specimen")
    assert found["model"].state is State.MISSING
    assert found["training set"].state is State.OK
    assert found["prompts"].state is State.OK
    assert not {"memory", "captions", "calibration", "to draw"} & set(found)


def test_a_model_that_is_still_to_be_fetched_is_looked_at_when_it_is_here(examined, images, monkeypatch):
    monkeypatch.setattr(Examination, "hub", True)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *a, **k: None)
    found = examined(draw=True, model="a/b@c", training_set=str(images("a cat")), embedder="specimen")
    assert found["model"].state is State.WARNING
    assert list(found)[-1] == "store"
    assert not {"memory", "captions", "calibration", "try"} & set(found)


def test_weights_that_are_cut_short_are_seen_before_they_are_loaded(examined, model, images):
    path = model / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    found = examined(draw=True, model=str(model), training_set=str(images("a cat")), embedder="specimen")
    assert found["model"].state is State.MISSING
    assert "weights must be whole safetensors" in found["model"].said
    assert "try" not in found


def test_a_device_that_is_not_here_is_missing_and_nothing_is_drawn_on_it(examined):
    found = examined(draw=True, device="cuda:77")
    assert found["device"].state is State.MISSING
    assert not {"memory", "try"} & set(found)


def test_without_prompts_there_is_nothing_to_look_ahead_to(examined, model):
    found = examined(model=str(model))
    assert found["training set"].state is State.MISSING
    assert list(found)[-1] == "training set"


def test_a_broken_prompt_file_is_missing(examined, tmp_path, model):
    (tmp_path / "prompts.csv").write_text("text\na cat\n")
    found = examined(model=str(model), prompts="prompts.csv")
    assert found["prompts"].state is State.MISSING


def test_a_suite_is_looked_for_in_its_folder(tmp_path):
    assert check_suite(tmp_path / "audits").advice == "memex init"
    (tmp_path / "audits").mkdir()
    (tmp_path / "audits" / "test_it.py").write_text("")
    assert check_suite(tmp_path / "audits").state is State.OK


def test_an_error_of_an_audit_is_what_is_missing_on_one_line():
    def look():
        raise ModelError("a model must be\n  a folder")

    assert checked("model", look) == missing("model", "a model must be a folder")


def test_a_check_is_shown_with_what_to_do_wrapped_to_the_terminal():
    check = warning("store", "word " * 30, "free space, or name another store with --memex-store FOLDER")
    lines = check_lines(check, 60)
    assert all(len(line) <= 70 for line in lines)
    assert "store" in lines[0]
    assert sum("->" in line for line in lines) == 1
    assert " ".join(" ".join(lines).split()).endswith(check.advice)
    assert len(check_lines(ok("device", "cpu"), 80)) == 1


def test_the_summary_counts():
    checks = [ok("a", "x"), warning("b", "x"), missing("c", "x")]
    assert summary_line(checks) == "\n1 thing would stop an audit; 1 warning."
    assert summary_line(checks * 2) == "\n2 things would stop an audit; 2 warnings."
    assert summary_line(checks[:1]) == "\nNothing would stop an audit; 0 warnings. Next: pytest audits/"


def test_json_holds_every_check_and_whether_one_stops_an_audit():
    checks = [ok("a", "x"), warning("b", "y", "z")]
    assert json.loads(checks_as_json(checks)) == {
        "stops": False,
        "checks": [
            {"name": "a", "state": "ok", "said": "x", "advice": ""},
            {"name": "b", "state": "warning", "said": "y", "advice": "z"},
        ],
    }
    assert stops([*checks, missing("c", "x")])


@pytest.mark.parametrize(("arguments", "code"), [([], 0), (["--model", "./nowhere"], 1)])
def test_the_command_shows_the_checks_and_exits_with_1_if_one_stops_an_audit(
    tmp_path, monkeypatch, arguments, code
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setattr(Examination, "hub", False)
    done = CliRunner().invoke(main, ["doctor", *arguments])
    assert done.exit_code == code, done.output
    assert " warning  suite " in done.output
    assert ("2 things would stop an audit" if code else "Nothing would stop an audit") in done.output
    done = CliRunner().invoke(main, ["doctor", "--json", *arguments])
    assert done.exit_code == code
    assert json.loads(done.output)["stops"] is bool(code)
