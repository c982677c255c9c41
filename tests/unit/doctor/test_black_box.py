"""What `memex doctor` and `memex plan` say of models that can only be asked; none of it is asked."""

import pytest
from images_api_server import KEY, noise, png

from memex_audit.config import Budget, Settings
from memex_audit.doctor.audit_plan import make_plan
from memex_audit.doctor.checks import State
from memex_audit.doctor.examination import examine

ENDPOINT = "openai+https://api.example.org/v1?model=pictor-3"


@pytest.fixture
def recorded(tmp_path):
    """Record four pictures of one prompt and two of another."""
    rows = [("a cat", n) for n in range(4)] + [("a dog", n) for n in range(4, 6)]
    for _, number in rows:
        (tmp_path / f"{number}.png").write_bytes(png(noise(number)))
    lines = "".join(f"{prompt},{number}.png\n" for prompt, number in rows)
    (tmp_path / "manifest.csv").write_text(f"prompt,file\n{lines}gone,9.png\n")
    return tmp_path


def looked_at(folder, **settings):
    return {check.name: check for check in examine(Settings(**settings), folder)}


def asked(tmp_path, **settings):
    (tmp_path / "prompts.txt").write_text("a cat\na dog\n")
    return looked_at(tmp_path, model=ENDPOINT, prompts=str(tmp_path / "prompts.txt"), **settings)


def test_a_folder_says_what_it_holds_and_what_it_lacks(recorded):
    checks = looked_at(recorded, model=f"folder:{recorded}")
    model = checks["model"]
    assert model.state is State.WARNING
    assert "6 pictures of 2 prompts, 2 to 4 each; 1 more set aside, the first: no such file" in model.said
    assert "1 prompts have fewer than a look takes: undecided" in model.said
    assert "2 in 2 groups" in checks["prompts"].said
    assert checks["calibration"].state is State.WARNING
    assert "to ask" not in checks
    assert not (recorded / ".memex").exists()


def test_a_folder_with_enough_of_each_prompt_is_ok(recorded):
    checks = looked_at(recorded, model=f"folder:{recorded}", generations=2, clique_size=2)
    assert checks["model"].state is State.OK


def test_a_folder_that_is_not_there_stops_an_audit(tmp_path):
    checks = looked_at(tmp_path, model=f"folder:{tmp_path / 'gone'}")
    assert checks["model"].state is State.MISSING
    assert "which does not exist" in checks["model"].said


def test_an_endpoint_says_how_many_pictures_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    checks = asked(tmp_path)
    assert checks["model"].said == "pictor-3 at api.example.org, without seeds; the key is in OPENAI_API_KEY"
    assert checks["to ask"].state is State.WARNING
    assert checks["to ask"].said.startswith(
        "8 to 64 pictures are asked for, and 240 for the negative control in audits/test_controls.py"
    )
    assert not any(KEY in check.said + check.advice for check in checks.values())


def test_a_cap_that_ends_before_is_said(tmp_path):
    assert asked(tmp_path, max_images=1000)["to ask"].state is State.OK
    few = asked(tmp_path, max_images=100)["to ask"]
    assert few.state is State.WARNING
    assert "--memex-max-images 100 ends before" in few.said


def test_a_key_that_is_not_set_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    model = asked(tmp_path)["model"]
    assert model.state is State.WARNING
    assert "no key in OPENAI_API_KEY" in model.said


def test_an_option_that_an_endpoint_cannot_heed_stops_an_audit(tmp_path):
    model = asked(tmp_path, budget=Budget(evaluations=100))["model"]
    assert model.state is State.MISSING
    assert "--memex-max-images N or minutes" in model.said


def test_a_factory_is_left_alone(tmp_path):
    model = looked_at(tmp_path, model="python:nowhere:make")["model"]
    assert (model.state, model.said.partition(",")[0]) == (State.OK, "nowhere:make")


def test_a_plan_asks_nothing_and_times_nothing(tmp_path):
    (tmp_path / "prompts.txt").write_text("a cat\na dog\n")
    plan = make_plan(Settings(model=ENDPOINT, prompts=str(tmp_path / "prompts.txt")), tmp_path)
    assert (plan.cost.least, plan.cost.most) == (4, 32)
    assert (plan.cost.evaluations, plan.cost.seconds) == (None, None)
