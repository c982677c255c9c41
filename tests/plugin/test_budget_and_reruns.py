"""What ends an audit early, and what an audit that is run again may say."""

import json

import pytest

from memex_audit.rates.frames import hypergeometric_upper

CLEAN = tuple(f"clean picture {i}" for i in range(12))
COST = 4 * 2  # of a prompt's first look: four pictures of two evaluations


def result(project):
    return json.loads((project.path / "result.json").read_text())


def audit(project, *arguments):
    return project.audit("--memex-prompts", "prompts.csv", "--memex-limit", "0.25", *arguments)


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_a_spent_budget_leaves_the_rest_undecided_and_the_next_run_goes_on(project, workers):
    project.prompts(*CLEAN)
    run = audit(project, "--memex-budget", f"{6 * COST}nfe", *workers)
    assert run.ret == 1
    found = result(project)
    assert found["verdict"] == "inconclusive"
    verdicts = [finding["verdict"] for finding in found["findings"]]
    assert (len(verdicts), verdicts.count("undecided")) == (12, 6)
    assert len(project.drawn) == 6 * 4
    run.stdout.fnmatch_lines(["*nothing was drawn for it, as the budget was spent*"])
    # What is there costs nothing: the same budget decides the other half, which one of two workers, with half
    # of the budget, may have to itself.
    share = 2 if workers else 1
    assert audit(project, "--memex-budget", f"{share * 6 * COST}nfe", *workers).ret == 0
    assert result(project)["verdict"] == "pass"
    # Each process that adds to what it finds draws one picture of that again, to compare the models.
    assert 12 * 4 + 1 <= len(project.drawn) <= 12 * 4 + share


def test_a_replica_that_was_seen_before_the_budget_ended_is_extracted(project):
    project.captions("copied cat", *CLEAN)
    audit_of_images = ("--memex-training-set", "images", "--memex-embedder", "specimen")
    project.audit(*audit_of_images, "--memex-budget", f"{13 * COST}nfe")
    assert result(project)["rate"]["extracted"] == 1


def test_a_sample_that_the_budget_cuts_short_bounds_its_frame_by_what_was_begun(project):
    project.captions(*CLEAN)
    run = project.audit(
        *("--memex-training-set", "images", "--memex-embedder", "specimen", "--memex-limit", "0.25"),
        *("--memex-max-prompts", "10", "--memex-budget", f"{7 * COST}nfe"),
    )
    found = result(project)
    assert found["verdict"] == "inconclusive"
    (stratum,) = found["rate"]["strata"]
    assert (stratum["size"], stratum["sampled"], stratum["cut_short"]) == (12, 7, True)
    assert found["rate"]["upper"] == hypergeometric_upper(0, 7, 12, 0.955) / 12
    run.stdout.fnmatch_lines(["*cut short by the budget*"])


def test_a_budget_smaller_than_one_look_is_one_line(project):
    project.prompts(*CLEAN)
    run = audit(project, "--memex-budget", f"{COST - 1}nfe")
    assert run.ret == 1
    text = " ".join(run.stdout.str().split())
    assert "--memex-budget must cover one look at one prompt, 8 network evaluations, got 7;" in text
    assert project.drawn == []


def test_who_draws_until_a_run_passes_is_not_believed(project):
    project.prompts(*CLEAN)
    confidences = []
    for seed in ("0", "1", "2"):
        run = audit(project, "--memex-seed", seed)
        confidences.append((result(project)["rate"]["attempt"], result(project)["rate"]["confidence"]))
    assert confidences == [(1, 0.955), (2, 0.995), (3, 0.95)]
    assert result(project)["verdict"] == "inconclusive"
    run.stdout.fnmatch_lines(["*Inconclusive: run 3 of this audit is exploratory, and no pass.*"])
    # What repeats the first run has seen nothing new, and says what that said.
    assert audit(project, "--memex-seed", "0").ret == 0
    assert result(project)["rate"]["attempt"] == 1


def test_another_model_or_other_sampler_settings_are_another_audit(project):
    project.prompts(*CLEAN)
    audit(project)
    conftest = project.path / "conftest.py"
    conftest.write_text(conftest.read_text().replace('"kind": "copier"', '"kind": "copier", "steps": 9'))
    audit(project, "--memex-seed", "5")
    assert result(project)["rate"]["attempt"] == 1


def test_a_ledger_that_cannot_be_read_is_said_and_the_run_counts_as_the_first(project):
    project.prompts(*CLEAN)
    audit(project)
    (project.path / ".memex" / "ledger.sqlite").write_bytes(b"no database at all" * 99)
    audit(project, "--memex-seed", "5")
    found = result(project)
    assert found["rate"]["attempt"] == 1
    assert found["verdict"] == "pass"
    assert any("ledger" in note for note in found["notes"])
