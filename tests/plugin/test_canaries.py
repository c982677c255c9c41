"""Canaries in an audit: those the model gives back are detected, and without any no case is made of them."""

import json
import shutil
from pathlib import Path

import pytest

from memex_audit.canaries.making import Plan, make_canaries
from memex_audit.canaries.manifest import seal_of

AUDITS = Path(__file__).parents[2] / "audits"

CONFTEST = '''
import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from memex_audit.records import Generation


class Learner:
    """Gives back the pictures of canaries that were planted 16 times or more, and noise for all else."""

    fingerprint = "f" * 64
    settings = {"kind": "learner"}
    seeded = True
    shareable = True
    evaluations_per_image = 2

    def __init__(self):
        manifest = json.loads(Path("canaries/canaries.json").read_text())
        self._pictures = {
            entry["caption"]: np.asarray(Image.open(Path("canaries", entry["picture"])))
            for entry in manifest["canaries"]
            if entry["repetitions"] >= 16
        }

    def generate(self, requests):
        for request in requests:
            random = np.random.default_rng(request.seed)
            noise = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            yield Generation(request=request, pixels=self._pictures.get(request.prompt, noise))


@pytest.fixture(scope="session")
def memex_generator():
    return Learner()
'''
CLEAN = tuple(f"clean picture {i}" for i in range(12))
GIVEN = ("--memex-prompts", "prompts.csv", "--memex-limit", "0.25")


@pytest.fixture
def planted(project):
    """A project with canaries planted 4 and 64 times, and the case of them."""
    project.prompts(*CLEAN)
    plan = Plan(repetitions=(4, 64), each=2, references=15, size=(32, 32), seed=0)
    project.manifest = make_canaries(project.path / "canaries", plan)
    project.pytester.makeconftest(CONFTEST)
    shutil.copy(AUDITS / "test_canaries.py", project.path / "audits" / "test_canaries.py")
    return project


def canaries_of(project) -> dict:
    return json.loads((project.path / "result.json").read_text())["canaries"]


def audit(project, *arguments: str):
    return project.audit(*GIVEN, "--memex-canaries", "canaries/canaries.json", *arguments)


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_canaries_that_the_model_learned_are_detected_and_others_are_not(planted, workers):
    run = audit(planted, "--memex-report", "report.md", *workers)
    run.assert_outcomes(passed=14)
    found = canaries_of(planted)
    assert found["seal"] == planted.manifest.seal
    levels = {level["repetitions"]: level for level in found["levels"]}
    assert list(levels) == [64, 4, 0]
    assert (levels[64]["detected"], levels[64]["canaries"]) == (2, 2)
    assert (levels[64]["replicas"], levels[64]["generations"]) == (32, 32)
    assert levels[64]["exposure"] == levels[64]["most_exposure"] == 4.0
    assert (levels[4]["detected"], levels[0]["detected"]) == (0, 0)
    run.stdout.fnmatch_lines(["*64 times*2 of 2*32 of 32*4.0 of 4.0 bits*", "*never*0 of 2*"])
    page = (planted.path / "report.md").read_text()
    assert "| 64 times | 2 of 2 | 22 % to 100 % | 32 of 32 | 4.0 of 4.0 bits |" in page
    assert "Power was shown on the audited model itself" in page
    assert planted.manifest.seal in page


def test_the_control_on_the_audited_model_stands_in_the_result(planted):
    audit(planted)
    controls = json.loads((planted.path / "result.json").read_text())["controls"]
    assert controls == [
        {
            "kind": "positive",
            "subject": "none, canaries planted in its training set",
            "prompts": 4,
            "detected": 2,
            "unit": "canaries",
        }
    ]


def test_canaries_planted_often_that_are_not_found_fail_their_case(planted):
    case = planted.path / "audits" / "test_canaries.py"
    case.write_text(case.read_text().replace("MIN_REPETITIONS = 64", "MIN_REPETITIONS = 4"))
    run = audit(planted)
    run.assert_outcomes(passed=13, failed=1)
    assert json.loads((planted.path / "result.json").read_text())["verdict"] == "fail"
    run.stdout.fnmatch_lines(
        ["*does not find canaries that were planted*", "*planted 4 times: 0 of 2 detected*"]
    )


def test_canaries_planted_less_often_than_asked_are_inconclusive(planted):
    case = planted.path / "audits" / "test_canaries.py"
    case.write_text(case.read_text().replace("MIN_REPETITIONS = 64", "MIN_REPETITIONS = 500"))
    run = audit(planted)
    assert json.loads((planted.path / "result.json").read_text())["verdict"] == "inconclusive"
    run.stdout.fnmatch_lines(["*no canary was planted 500 times or more, the most is 64.*"])


def test_without_canaries_their_case_is_not_made_and_the_run_is_whole(planted):
    run = planted.audit(*GIVEN)
    run.assert_outcomes(passed=13)
    result = json.loads((planted.path / "result.json").read_text())
    assert (result["verdict"], result["canaries"]) == ("pass", None)
    run.stdout.fnmatch_lines(["collected 13 items", "*no control ran*"])
    assert "canaries planted" not in run.stdout.str()


def test_their_case_alone_without_canaries_says_what_it_takes(planted):
    run = planted.audit("audits/test_canaries.py", *GIVEN)
    assert run.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    run.stdout.fnmatch_lines(
        ["memex: cases of canaries are made where --memex-canaries FILE names their manifest"]
    )


def test_asking_for_canaries_where_none_are_given_says_so(planted):
    (planted.path / "audits" / "test_canaries.py").write_text("def test_asks(memex):\n    memex.canaries()\n")
    run = planted.audit("audits/test_canaries.py", *GIVEN)
    run.assert_outcomes(failed=1)
    run.stdout.fnmatch_lines(["*must have a manifest, got none; give one with --memex-canaries FILE*"])


def test_captions_of_canaries_in_the_training_set_are_no_part_of_the_rate(planted):
    captions = [*CLEAN, *(canary.caption for canary in planted.manifest.planted)]
    planted.prompts(*captions)
    run = audit(planted)
    run.assert_outcomes(passed=14)
    result = json.loads((planted.path / "result.json").read_text())
    assert result["rate"]["prompts"] == 12
    run.stdout.fnmatch_lines(["*4 captions of canaries were left out of the audit set*"])


def test_no_output_has_a_caption_of_a_canary(planted):
    run = audit(
        planted, "--memex-redact", "captions", "--memex-report", "report.md", "--junitxml", "junit.xml"
    )
    written = run.stdout.str() + run.stderr.str()
    written += "".join(
        (planted.path / name).read_text() for name in ("result.json", "report.md", "junit.xml")
    )
    assert "64 times" in written
    for canary in planted.manifest.canaries:
        assert canary.caption not in written


@pytest.mark.parametrize("fault", ["changed", "version", "references", "picture", "missing"])
def test_a_manifest_that_cannot_be_used_ends_in_one_line(planted, fault):
    path, said = spoil(planted.path / "canaries", fault)
    run = audit(planted)
    text = " ".join((run.stdout.str() + run.stderr.str()).split())
    assert said in text
    assert "Traceback" not in text
    assert run.ret != 0
    assert path


def spoil(folder: Path, fault: str) -> tuple[Path, str]:
    path = folder / "canaries.json"
    content = json.loads(path.read_text())
    if fault == "missing":
        path.rename(folder / "elsewhere.json")
        return path, "--memex-canaries must be a file, got canaries/canaries.json; check the path."
    if fault == "picture":
        (folder / content["canaries"][0]["picture"]).unlink()
        return path, "each picture of the canaries must be beside their manifest"
    if fault == "changed":
        content["canaries"][0]["repetitions"] = 400
        path.write_text(json.dumps(content))
        return path, "got content that its seal does not fit"
    if fault == "version":
        path.write_text(json.dumps({**content, "version": 9}))
        return path, "must be a canaries.json of version 1, got version=9"
    content["canaries"] = [entry for entry in content["canaries"] if entry["repetitions"]]
    content["seal"] = seal_of(content)
    path.write_text(json.dumps(content))
    return path, "must have at least 1 reference, got 0"
