"""Which units an audit is cut into, what is refused, and what is said of a run."""

from dataclasses import replace

import pytest

from memex_audit.config import Budget, Lora, Settings
from memex_audit.errors import ConfigurationError, RunnerError
from memex_audit.records import AuditPrompt
from memex_audit.runners import told
from memex_audit.runners.places import as_seen_everywhere
from memex_audit.runners.planning import check_can_be_shared, left_to_pytest, plan_drawing
from memex_audit.runners.sharding import Shard
from memex_audit.runners.told import Tally, follow
from memex_audit.runners.work import Receipt
from memex_audit.training_set import prompt_id_of
from memex_audit.workbench import Workbench


def prompt(text):
    return AuditPrompt(
        prompt_id=prompt_id_of(text), text=text, group_id=prompt_id_of(text), duplication_count=1
    )


PROMPTS = [prompt(f"prompt {i}") for i in range(100)]


DEFAULT = Settings()


def shards(count, settings=DEFAULT, *, controls=True):
    every = (Shard(number=number, count=count) for number in range(1, count + 1))
    return [plan_drawing(PROMPTS, settings, shard, controls=controls) for shard in every]


@pytest.mark.parametrize("count", [1, 3, 8, 40])
def test_every_prompt_and_every_control_is_in_one_unit_of_one_shard(count):
    units = [unit for shard in shards(count) for unit in shard]
    items = {kind: [i for u in units if u.kind == kind for i in u.items] for kind in {u.kind for u in units}}
    assert sorted(items["prompts"]) == sorted(p.prompt_id for p in PROMPTS)
    assert sorted(map(int, items["negative prompts"])) == list(range(60))
    assert items["planted prompts"] == ["all"]
    assert len({unit.name for unit in units}) == len(units)


def test_units_are_the_same_wherever_they_are_planned_and_a_large_batch_fits_in():
    assert shards(3) == shards(3)
    ((first, *_),) = shards(1, Settings(batch_size=256), controls=False)
    assert len(first.items) == 64
    assert sum(len(shard) for shard in shards(1, controls=False)) == 7  # of 16 prompts


@pytest.mark.parametrize(
    ("settings", "processes", "n_shards", "said"),
    [
        (Settings(screen="anisotropy", prompts="p.csv"), 2, 1, "--memex-screen anisotropy scores the whole"),
        (Settings(screen="anisotropy", prompts="p.csv"), 1, 2, "--memex-screen anisotropy scores the whole"),
        (Settings(budget=Budget(minutes=1), prompts="p.csv"), None, 1, "give --workers N"),
        (Settings(model="folder:pictures", prompts="p.csv"), 1, 1, "must have a model that draws"),
    ],
)
def test_what_cannot_be_shared_is_refused(tmp_path, settings, processes, n_shards, said):
    with pytest.raises(ConfigurationError, match=said):
        check_can_be_shared(Workbench(settings, tmp_path), processes=processes, shards=n_shards)
    alone = replace(settings, model="specimen:duplicated", budget=None)
    check_can_be_shared(Workbench(alone, tmp_path), processes=1, shards=1)


def test_files_are_named_so_that_a_worker_in_another_folder_finds_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    given = Settings(
        model="model",
        training_set="shards/*.tar::more::s3://bucket/a.tar",
        embedder="local-dir:model",
        lora=Lora(path="model", weight=0.5),
    )
    seen = as_seen_everywhere(given, tmp_path / "project")
    here = str(tmp_path)
    assert seen.model == f"{here}/model"
    assert seen.training_set == f"{here}/shards/*.tar::{here}/more::s3://bucket/a.tar"
    assert seen.embedder == f"local-dir:{here}/model"
    assert seen.lora == Lora(path=f"{here}/model", weight=0.5)
    assert seen.store == f"{here}/project/.memex"
    hub = as_seen_everywhere(Settings(model="org/name@main", embedder="ViT-B-32/laion2b_s34b_b79k"), tmp_path)
    assert (hub.model, hub.embedder) == ("org/name@main", "ViT-B-32/laion2b_s34b_b79k")


def test_what_pytest_draws_by_itself_is_named():
    assert left_to_pytest(Settings()) == []
    assert left_to_pytest(Settings(canaries="c.json", untargeted=100)) == [
        "canaries",
        "an untargeted extraction",
    ]


def test_a_plain_line_says_now_and_then_how_far_a_run_is(monkeypatch):
    monkeypatch.setattr(told, "PLAIN_LINE_EVERY_S", 0.0)
    lines, tally = [], Tally(what="picture", done="drawn")
    receipts = [
        Receipt(unit="a", items=16, made=64, cpu_seconds=6.4, notes=("memory did not hold 8",)),
        Receipt(
            unit="b", items=16, found=64, set_aside=2, cpu_seconds=50.0, notes=("memory did not hold 8",)
        ),
    ]
    follow(receipts, tally, 2, lines.append)
    assert [line.rpartition(",")[0] for line in lines if "note" not in line] == [
        "1 of 2 units, 64 pictures drawn, 0 found there",
        "2 of 2 units, 64 pictures drawn, 64 found there",
    ]
    assert lines.count("note: memory did not hold 8") == 1
    line = tally.last_line("prompt")
    assert line.startswith("32 prompts, 64 pictures drawn, 64 found there; 2 set aside; ")
    assert line.endswith(", 0.1 CPU seconds each")


def test_an_error_that_all_would_meet_ends_the_run_and_so_do_three_in_a_row():
    bad, good = Receipt(unit="a", failure="broken"), Receipt(unit="b", items=1)
    tally = Tally(what="picture", done="drawn")
    follow([bad, bad, good, bad, bad, good], tally, 6, lambda _: None)
    assert "2 prompts, 0 pictures drawn, 0 found there; 4 units failed: broken;" in tally.last_line("prompt")
    with pytest.raises(RunnerError, match=r"^broken$"):
        follow([bad, bad, bad, good], Tally(what="picture", done="drawn"), 4, lambda _: None)
    with pytest.raises(RunnerError, match=r"^full$"):
        follow([Receipt(unit="a", failure="full", fatal=True)], tally, 1, lambda _: None)
