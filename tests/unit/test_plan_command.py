"""`memex plan`: what a pass takes, in words and as JSON."""

import json
import math
from dataclasses import replace

import pytest
from click.testing import CliRunner

from memex_audit.cli import main
from memex_audit.doctor import audit_plan
from memex_audit.doctor.audit_plan import AuditPlan, GenerationCost, make_plan
from memex_audit.doctor.checks import missing, ok
from memex_audit.errors import ModelError
from memex_audit.plan_command import plan_as_json, plan_lines
from memex_audit.rates.planning import plan_audits

PLAN = AuditPlan(
    model="./my-model",
    preset="default",
    device="cuda:0",
    limit=0.001,
    confidence=0.95,
    cost=GenerationCost(least=4, most=32, evaluations=100, seconds=0.9),
    n_prompts=640,
    n_groups=320,
    counts_images=False,
    frame_size=None,
    like_these=plan_audits(0.001, 0.955, allowed=(0, 1)),
    in_frame=(),
    none_seen=0.0093,
    first_run=3_100,
    with_extension=7_427,
)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, ["plan", *words])


@pytest.fixture
def timed(monkeypatch):
    """Half a second a picture, without a model."""
    monkeypatch.setattr(audit_plan, "draw_one", lambda bench, prompt: (0.5, ok("try", "drew")))


def test_a_plan_is_a_table_of_what_a_pass_takes():
    lines = plan_lines(PLAN)
    assert lines[0] == (
        "A pass of ./my-model at limit 0.1 %, with 95 % confidence (a first run is bounded at 95.5 %), "
        "preset default"
    )
    assert lines[1] == (
        "4 generations a prompt in which no two agree, up to 32 otherwise; 100 network evaluations each; "
        "0.9 s each, measured on cuda:0"
    )
    head, none, one = (line.split() for line in lines[4:7])
    assert head[:5] == ["extracted", "groups", "generations", "evaluations", "time"]
    # 3,100 groups of two prompts, 4 generations each: 24,800; 0.9 s each: 6.2 h
    assert none == ["0", "3,100", "24,800", "2,480,000", "6.2", "h", "73%", "21%", "4%"]
    assert one[:2] == ["1", "4,870"]
    assert lines[-2] == (
        "This audit has 320 groups: if none is extracted the rate is at most 0.93 %, which is inconclusive "
        "for prompts like these."
    )
    assert lines[-1].endswith("fixed beforehand: 3,100 groups, then 7,427 in all, bounded at 99.5 %.")


def test_a_frame_has_a_table_of_its_own():
    framed = replace(PLAN, frame_size=5_000, in_frame=plan_audits(0.001, 0.955, frame_size=5_000))
    lines = plan_lines(framed)
    (heading,) = [
        number for number, line in enumerate(lines) if line.startswith("For a frame of 5,000 groups;")
    ]
    assert lines[heading + 2].split()[:2] == ["0", "2,018"]


def test_what_is_not_known_is_not_shown_as_a_number():
    bare = replace(
        PLAN,
        n_groups=None,
        none_seen=None,
        cost=GenerationCost(least=16, most=16, evaluations=None, seconds=None),
    )
    lines = plan_lines(bare)
    assert lines[1] == "16 generations a prompt"
    assert lines[5].split()[:5] == ["0", "3,100", "49,600", "-", "-"]
    assert lines[-2] == "This audit has at most 640 prompts; their groups are known once it has run."
    assert plan_as_json(bare)["like_these"][0]["hours"] is None


def test_few_captions_are_said():
    assert any(
        "the rate counts training images" in line for line in plan_lines(replace(PLAN, counts_images=True))
    )


def test_a_plan_as_json_has_both_ends_of_what_is_drawn():
    entry = plan_as_json(PLAN)["like_these"][0]
    assert entry["generations"] == [24_800, 198_400]
    assert entry["evaluations"] == [2_480_000, 19_840_000]
    assert entry["hours"] == pytest.approx([6.2, 49.6])
    assert entry["pass_probability"] == pytest.approx([0.733, 0.212, 0.045], abs=1e-3)


def test_a_plan_is_made_of_the_audit_as_it_is_set_up(run, timed, tmp_path):
    (tmp_path / "prompts.csv").write_text("prompt,group_id\na cat,g\nthe cat,g\na dog,h\n")
    done = run("--prompts", "prompts.csv", "--limit", "0.05", "--generations", "16", "--json")
    assert done.exit_code == 0, done.output
    plan = json.loads(done.output)
    assert (plan["prompts"], plan["groups"], plan["frame_size"]) == (3, 2, None)
    assert plan["generations_a_prompt"] == {"least": 16, "most": 16}
    assert plan["none_seen_upper"] == pytest.approx(1 - math.sqrt(0.045))
    # 61 groups of 1.5 prompts, 16 generations, 10 guided steps on the specimen, half a second each
    entry = plan["like_these"][0]
    assert (entry["groups"], entry["generations"], entry["evaluations"]) == (61, [1_464] * 2, [29_280] * 2)
    assert entry["hours"] == pytest.approx([732 / 3600] * 2)


def test_a_test_for_rare_replicas_is_counted_to_where_it_stops(run, timed):
    done = run("--blind-spot", "0.3", "--limit", "0.05", "--json")
    # looks at 4, 8, 16, 32 and 64; no two agreeing is clean from 16 on
    assert json.loads(done.output)["generations_a_prompt"] == {"least": 16, "most": 64}


def test_without_drawing_no_model_is_loaded(run, monkeypatch):
    monkeypatch.setattr(audit_plan, "draw_one", lambda bench, prompt: pytest.fail("drew"))
    done = run("--no-draw", "--frame-size", "5000", "--limit", "0.001")
    assert done.exit_code == 0, done.output
    assert "For a frame of 5,000 groups;" in done.output
    assert max(map(len, done.output.splitlines())) <= 100
    assert "measured" not in done.output


def test_a_model_that_does_not_draw_is_an_error(tmp_path, monkeypatch):
    from memex_audit.config import Settings

    monkeypatch.setattr(
        audit_plan, "draw_one", lambda bench, prompt: (None, missing("try", "no picture: NaN", "try fp32"))
    )
    with pytest.raises(ModelError, match="must draw to be timed, got: no picture: NaN; try fp32"):
        make_plan(Settings(store=str(tmp_path / "store")), tmp_path)


def test_a_limit_of_zero_is_answered_with_what_can_be_had(run):
    done = run("--limit", "0", "--max-prompts", "1000", "--confidence", "0.99")
    assert done.exit_code == 1
    assert done.output == (
        "Error: --limit must be above 0, got 0: no number of groups shows that nothing is extracted. None "
        "seen in 1,000 groups bounds the rate by 0.46 % with 99 % confidence; give a limit that you could "
        "bear.\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--confidence", "1"), "--memex-confidence must be below 1 (no sample is certain"),
        (("--limit", "0", "--confidence", "2"), "--memex-limit must be above 0"),
        (("--limit", "ten"), "--memex-limit must be a number, got 'ten'"),
        (("--frame-size", "0"), "Invalid value for '--frame-size'"),
    ],
)
def test_what_cannot_be_planned_is_one_line(run, words, message):
    done = run(*words)
    assert done.exit_code != 0
    assert message in done.output
    assert "Traceback" not in done.output
