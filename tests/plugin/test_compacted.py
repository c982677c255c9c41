"""An audit of a store that was compacted finds the same, and draws nothing."""

import json
from pathlib import Path

from click.testing import CliRunner

from memex_audit.cli import main
from memex_audit.generation import compacting

CLEAN = tuple(f"clean picture {i}" for i in range(6))
OPTIONS = ("--memex-prompts", "prompts.csv", "--memex-limit", "0.9")


def audited(project):
    project.audit(*OPTIONS)
    result = json.loads((project.path / "result.json").read_text())
    return result["verdict"], result["findings"], result["rate"]


def memex(*words):
    run = CliRunner().invoke(main, ["store", *words])
    assert run.exit_code == 0, run.output
    return run.output


def test_audits_before_and_after_compacting_find_the_same_and_the_one_after_draws_nothing(
    project, monkeypatch
):
    # Packs of a process that still runs are left alone until they were quiet for long.
    monkeypatch.setattr(compacting, "resting", lambda packs, _claims, _quiet: packs.names)
    project.captions("copied fox", "copied lighthouse")
    project.prompts("copied fox", *CLEAN[:3])
    audited(project)
    project.prompts("copied fox", "copied lighthouse", *CLEAN)
    first, drawn = audited(project), project.drawn
    listed = json.loads(memex("ls", "--json"))["pictures"]
    assert [one["n_packs"] for one in listed] == [2]
    memex("compact")
    assert [one["n_packs"] for one in json.loads(memex("ls", "--json"))["pictures"]] == [1]
    assert memex("verify").startswith(f"{len(set(drawn)):,} pictures, all as they were written")
    judged = Path(".memex", "findings")
    for path in judged.rglob("*.jsonl"):  # so that pictures are read again
        path.unlink()
    assert audited(project) == first
    assert project.drawn == drawn
