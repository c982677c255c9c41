import json

import pytest

CAPTIONS = [*(f"clean picture {number}" for number in range(6)), "copied picture 0", "copied picture 1"]
TRAINING_SET = ("--memex-training-set", "images", "--memex-embedder", "specimen", "--memex-limit", "0.9")
# Whoever judges a prompt anew ends here.
NO_JUDGE = """

def _judged(*_, **__):
    raise RuntimeError("judged anew")


patch.setattr(import_module("memex_audit.audit"), "judge", _judged)
"""


def result(project):
    data = json.loads((project.path / "result.json").read_text())
    del data["provenance"]["started"]
    return data


def forbid_judging(project):
    conftest = project.path / "conftest.py"
    conftest.write_text(conftest.read_text() + NO_JUDGE)


@pytest.fixture
def audited(project):
    """A project whose audit has run, with its result."""
    project.captions(*CAPTIONS)
    project.audit(*TRAINING_SET)
    return project, result(project)


def test_what_was_judged_before_is_not_judged_again_and_says_the_same(audited):
    project, before = audited
    assert {finding["verdict"] for finding in before["findings"]} == {"not_flagged", "extracted"}
    n_drawn = len(project.drawn)
    forbid_judging(project)
    for granularity in ("prompt", "batch"):
        project.audit(*TRAINING_SET, "--memex-granularity", granularity)
        assert result(project) == before
    assert len(project.drawn) == n_drawn


def test_the_evidence_of_a_stored_finding_is_still_shown(audited):
    project, _ = audited
    forbid_judging(project)
    project.audit(*TRAINING_SET, "--memex-evidence", "full:originals")
    assert len(list((project.path / "originals").iterdir())) == 2


@pytest.mark.parametrize(
    "options",
    [
        ("--memex-match-delta", "0.05"),
        ("--memex-edge-delta", "0.05"),
        ("--memex-generations", "8"),
        ("--memex-keep", "none"),
        ("--memex-seed", "1"),
    ],
    ids=lambda options: options[0],
)
def test_another_setting_judges_anew(audited, options):
    project, _ = audited
    forbid_judging(project)
    run = project.audit(*TRAINING_SET, *options)
    assert "judged anew" in run.stdout.str()


def test_another_training_picture_judges_anew(audited):
    project, _ = audited
    (project.path / "images" / "clean-picture-0.png").write_bytes(
        (project.path / "images" / "clean-picture-1.png").read_bytes()
    )
    forbid_judging(project)
    assert "judged anew" in project.audit(*TRAINING_SET).stdout.str()


@pytest.mark.parametrize("fixture", ["memex_embedder", "memex_training_index"])
def test_with_an_embedder_or_an_index_of_ones_own_everything_is_judged_anew(audited, fixture):
    project, _ = audited
    conftest = project.path / "conftest.py"
    conftest.write_text(
        conftest.read_text()
        + f'\n\n@pytest.fixture(scope="session")\ndef {fixture}({fixture}):\n    return {fixture}\n'
    )
    forbid_judging(project)
    assert "judged anew" in project.audit(*TRAINING_SET).stdout.str()


def test_what_a_worker_judged_is_known_to_the_next_run(project):
    project.prompts(*CAPTIONS)
    options = ("--memex-prompts", "prompts.csv", "--memex-limit", "0.9")
    project.audit("-n2", *options)
    before = result(project)
    forbid_judging(project)
    project.audit(*options)
    assert result(project) == before


def test_pictures_that_were_altered_by_hand_are_seen_though_their_findings_are_stored(audited):
    project, before = audited
    (pack,) = (project.path / ".memex" / "units").glob("*/*/*.pack")
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.write_bytes(data)
    project.audit(*TRAINING_SET)
    after = result(project)
    assert any("damaged" in note for note in after["notes"])
    assert after["findings"] == before["findings"]
