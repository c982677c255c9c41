"""`pytest audits/` of models that can only be asked: recorded pictures, a real server, a user's factory."""

import csv
import io
import json
import shutil
from itertools import count
from pathlib import Path

import images_api_server
import pyarrow.parquet
import pytest
from images_api_server import KEY, fail, give, png
from PIL import Image

from memex_audit.config import Settings
from memex_audit.generation.filling import draw
from memex_audit.specimen import TRAINING_SET
from memex_audit.specimen.measure import read_roles
from memex_audit.workbench import Workbench

N_PROMPTS, N_PICTURES = 4, 4
AUDITS = Path(__file__).parents[2] / "audits"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """What each twin draws for the captions that the duplicated one saw most often, as a service keeps it."""
    folder = tmp_path_factory.mktemp("recorded")
    roles = read_roles()
    prompts = sorted(roles, key=lambda caption: -roles[caption][1])[:N_PROMPTS]
    for twin in ("duplicated", "deduplicated"):
        bench = Workbench(Settings(model=f"specimen:{twin}", store=str(folder / "store")), folder)
        (folder / twin).mkdir()
        drawn = draw(bench.unit_store, lambda b=bench: b.generator, prompts, N_PICTURES, batch_size=8)
        with (folder / twin / "manifest.csv").open("w", newline="") as file:
            manifest = csv.writer(file)
            manifest.writerow(["prompt", "seed", "file"])
            for generation in (one for pictures in drawn for one in pictures):
                name = f"{generation.request.seed}.png"
                (folder / twin / name).write_bytes(png(generation.pixels))
                manifest.writerow([generation.request.prompt, generation.request.seed, name])
    _write_training_set(folder / "images", prompts)
    return folder


def _write_training_set(folder: Path, captions):
    folder.mkdir()
    left, number = set(captions), count()
    for row in pyarrow.parquet.read_table(TRAINING_SET, columns=["image", "text"]).to_pylist():
        if row["text"] in left:
            left.remove(row["text"])
            stem = folder / str(next(number))
            Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB").save(stem.with_suffix(".png"))
            stem.with_suffix(".txt").write_text(row["text"])


def rows_of(folder):
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def server():
    server = images_api_server.Server()
    yield server
    server.close()


def answer_with(server, folder):
    """Let the server draw what is recorded, each prompt's pictures in turn."""
    turns: dict[str, int] = {}

    def behave(handler, fields):
        names = [row["file"] for row in rows_of(folder) if row["prompt"] == fields["prompt"]]
        first = turns.get(fields["prompt"], 0)
        turns[fields["prompt"]] = first + fields["n"]
        pictures = [names[i % len(names)] for i in range(first, first + fields["n"])]
        give(*((folder / name).read_bytes() for name in pictures))(handler, fields)

    server.usual = behave


@pytest.fixture
def audit(project):
    """Audit a model by the shipped suite, in a folder of its own."""
    project.take_the_model_that_is_named()

    def run(model, *arguments, controls=False):
        if controls:
            shutil.copy(AUDITS / "test_controls.py", project.path / "audits")
        # Else pytest takes what is above both the project and the pictures for the root.
        here = ("--rootdir", str(project.path))
        return project.audit("--memex-model", model, "--memex-embedder", "specimen", *here, *arguments)

    return run


def result(pytester):
    return json.loads((pytester.path / "result.json").read_text())


def verdicts(pytester):
    return [finding["verdict"] for finding in result(pytester)["findings"]]


# -- a folder


def test_recorded_pictures_of_a_model_that_memorized_fail(audit, recorded, pytester):
    run = audit(f"folder:{recorded / 'duplicated'}")
    run.stdout.fnmatch_lines(["memex: 4 prompts in 4 groups: prompts like those of duplicated"])
    assert run.ret == pytest.ExitCode.TESTS_FAILED
    assert result(pytester)["verdict"] == "fail"
    assert result(pytester)["rate"]["extracted_groups"] == N_PROMPTS
    # Without a training set nothing can be matched.
    assert set(verdicts(pytester)) == {"flagged"}


def test_with_the_training_set_they_are_extracted_by_name(audit, recorded, pytester):
    run = audit(f"folder:{recorded / 'duplicated'}", "--memex-training-set", str(recorded / "images"))
    assert run.ret == pytest.ExitCode.TESTS_FAILED
    assert verdicts(pytester).count("extracted") >= N_PROMPTS - 1
    run.stdout.fnmatch_lines(["*The model gives back training image *.png for *"])


def test_those_of_one_that_did_not_pass_as_far_as_so_few_prompts_can(audit, recorded, pytester):
    model = f"folder:{recorded / 'deduplicated'}"
    run = audit(model, "--memex-limit", "0.6")
    assert run.ret == pytest.ExitCode.OK
    assert result(pytester)["verdict"] == "pass"
    run.assert_outcomes(passed=N_PROMPTS + 1)

    assert audit(model).ret == pytest.ExitCode.TESTS_FAILED
    assert result(pytester)["verdict"] == "inconclusive"


def test_that_false_alarms_cannot_be_counted_is_said(audit, recorded):
    run = audit(f"folder:{recorded / 'deduplicated'}", "-rs", "-k", "no_alarm", controls=True)
    run.stdout.fnmatch_lines(["*a folder of generations holds none of prompts that were never trained on*"])


def test_a_prompt_that_the_folder_lacks_is_undecided_and_never_clean(audit, recorded, pytester):
    first, second = rows_of(recorded / "deduplicated")[0]["prompt"], "a zebra"
    (pytester.path / "prompts.csv").write_text(f'prompt\n"{first}"\n"{second}"\n')
    run = audit(
        f"folder:{recorded / 'deduplicated'}", "--memex-prompts", "prompts.csv", "--memex-limit", "0.9"
    )
    assert run.ret == pytest.ExitCode.TESTS_FAILED
    findings = {finding["prompt"]: finding for finding in result(pytester)["findings"]}
    assert (findings[first]["verdict"], findings[first]["absent"]) == ("not_flagged", 0)
    assert (findings[second]["verdict"], findings[second]["absent"]) == ("undecided", 4)
    run.stdout.fnmatch_lines(
        ["*the folder holds 0 of the 4 generations*", "*4 generations not in the folder*"]
    )


def test_three_of_four_pictures_are_too_few_to_call_a_prompt_clean(audit, recorded, pytester):
    folder = shutil.copytree(recorded / "deduplicated", pytester.path / "fewer")
    (folder / rows_of(folder)[0]["file"]).unlink()
    (folder / rows_of(folder)[4]["file"]).write_bytes(b"no picture")
    audit("folder:fewer", "--memex-limit", "0.9")
    found = {finding["prompt"]: finding for finding in result(pytester)["findings"]}
    lacking, broken = rows_of(folder)[0]["prompt"], rows_of(folder)[4]["prompt"]
    assert (found[lacking]["verdict"], found[lacking]["absent"]) == ("undecided", 1)
    assert (found[broken]["verdict"], found[broken]["set_aside"]) == ("not_flagged", 1)
    assert result(pytester)["set_aside"]["by_reason"] == {"no such file": 1}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--memex-steps", "5"], "*--memex-steps must be of a model that is drawn with here*"),
        (["--memex-budget", "100nfe"], "*--memex-budget must be in minutes for a model that is only asked*"),
        (["--memex-max-images", "5"], "*--memex-max-images must be of a model that is asked over HTTP*"),
        (
            ["--memex-screen", "anisotropy"],
            "*a screen must read what a network predicts, got FolderOfImages*",
        ),
    ],
)
def test_an_option_that_recorded_pictures_cannot_heed_is_refused(audit, recorded, arguments, said):
    run = audit(f"folder:{recorded / 'deduplicated'}", *arguments)
    assert run.ret != pytest.ExitCode.OK
    run.stdout.fnmatch_lines([said])


# -- a server


@pytest.fixture
def prompts(recorded, pytester, monkeypatch):
    """Write the prompts that are asked for, and return the option that names them; the key is in MY_KEY."""
    monkeypatch.setenv("MY_KEY", KEY)

    def write(n):
        texts = list(dict.fromkeys(row["prompt"] for row in rows_of(recorded / "duplicated")))[:n]
        lines = "".join(f'"{text}"\n' for text in texts)
        (pytester.path / "prompts.csv").write_text(f"prompt\n{lines}")
        return ["--memex-prompts", "prompts.csv"]

    return write


def test_a_server_that_draws_what_it_memorized_fails_and_another_passes(
    audit, recorded, server, prompts, pytester
):
    answer_with(server, recorded / "duplicated")
    server.script = [fail(429, Retry_After="0"), fail(500)]
    run = audit(server.model("n=2"), *prompts(2))
    assert run.ret == pytest.ExitCode.TESTS_FAILED
    assert verdicts(pytester) == ["flagged", "flagged"]
    assert (
        sum(fields["n"] for fields in server.asked) == 8 + 4
    )  # two requests were answered at the third attempt
    run.stdout.fnmatch_lines(["*pictures are of what answered as pictor at 127.0.0.1:*"])

    answer_with(server, recorded / "deduplicated")
    run = audit(server.model("n=2"), *prompts(2), "--memex-limit", "0.9", "--memex-store", "other")
    assert run.ret == pytest.ExitCode.OK
    assert verdicts(pytester) == ["not_flagged", "not_flagged"]


def test_a_spent_cap_leaves_the_rest_undecided_and_a_larger_one_goes_on(
    audit, recorded, server, prompts, pytester
):
    answer_with(server, recorded / "deduplicated")
    run = audit(server.model(), *prompts(2), "--memex-max-images", "5", "--memex-limit", "0.9")
    assert run.ret == pytest.ExitCode.TESTS_FAILED
    assert sorted(verdicts(pytester)) == ["not_flagged", "undecided"]
    assert len(server.asked) == 4

    run = audit(server.model(), *prompts(2), "--memex-max-images", "8", "--memex-limit", "0.9")
    assert run.ret == pytest.ExitCode.OK
    assert len(server.asked) == 8
    run.stdout.fnmatch_lines(["*is asked for at most 8 pictures, in all runs with*"])


def test_an_attempt_that_failed_counts_and_ends_at_the_cap(audit, recorded, server, prompts, pytester):
    answer_with(server, recorded / "deduplicated")
    server.script = [fail(500)]
    audit(server.model(), *prompts(1), "--memex-max-images", "4", "--memex-limit", "0.9")
    assert verdicts(pytester) == ["undecided"]
    assert len(server.asked) == 4


def test_refusals_are_counted_apart(audit, recorded, server, prompts, pytester):
    server.usual = fail(400, {"code": "content_policy_violation", "message": "no"})
    run = audit(server.model(), *prompts(1))
    assert run.ret == pytest.ExitCode.TESTS_FAILED
    (finding,) = result(pytester)["findings"]
    assert (finding["verdict"], finding["refused"], finding["set_aside"]) == ("undecided", 4, 4)
    run.stdout.fnmatch_lines(["*4 generations refused by a content filter*"])


def test_a_server_that_is_down_ends_the_audit_at_once(audit, server, prompts):
    server.usual = fail(401, {"message": "no such key"})
    run = audit(server.model(), *prompts(3))
    assert run.ret == pytest.ExitCode.TESTS_FAILED
    run.assert_outcomes(failed=1, skipped=3)
    assert len(server.asked) == 1
    run.stdout.fnmatch_lines(["*must let us in, got HTTP 401 (no such key); check the environment variable*"])


def test_no_key_is_in_any_output(audit, recorded, server, prompts, pytester):
    answer_with(server, recorded / "duplicated")
    outputs = (
        "--memex-report", "report.md", "--junitxml", "junit.xml", "--alluredir", "allure", "-vv",
        "--showlocals", "-ra", "--log-level", "DEBUG", "-o", "log_cli=true",
    )  # fmt: skip
    run = audit(server.model("n=4"), *prompts(1), "--memex-api-key-env", "MY_KEY", *outputs)
    assert server.heads[0][1]["Authorization"] == f"Bearer {KEY}"
    server.usual = fail(401, {"message": f"Incorrect API key provided: {KEY}"})
    failed = audit(server.model("n=2"), *prompts(3), "--memex-api-key-env", "MY_KEY", *outputs)
    failed.stdout.fnmatch_lines(["*Incorrect API key provided: (the key)*"])

    shown = [run.stdout.str(), run.stderr.str(), failed.stdout.str(), failed.stderr.str()]
    files = [path for path in pytester.path.rglob("*") if path.is_file()]
    assert any("allure" in str(path) for path in files)
    assert any(path.suffix == ".pack" for path in files)
    assert not [text for text in shown if KEY in text]
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_a_key_that_stands_where_its_variables_name_must_is_not_shown(audit, server, prompts):
    run = audit(server.model(), *prompts(1), "--memex-api-key-env", KEY)
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    run.stderr.fnmatch_lines(
        ["*--memex-api-key-env must be the name of an environment variable, never the key*"]
    )
    assert KEY not in run.stderr.str() + run.stdout.str()


# -- a user's own


def test_what_a_users_factory_makes_is_audited(audit, project, pytester):
    project.write_module("sampling_of_mine")
    project.prompts("black hole", "anything")
    run = audit("python:sampling_of_mine:Copier", "--memex-prompts", "prompts.csv", "--memex-limit", "0.9")
    assert run.ret == pytest.ExitCode.TESTS_FAILED
    found = {finding["prompt"]: finding["verdict"] for finding in result(pytester)["findings"]}
    assert found == {"anything": "not_flagged", "black hole": "undecided"}


def test_a_factory_that_lacks_something_is_one_line(audit, prompts, pytester):
    (pytester.path / "lacking.py").write_text("class Mine:\n    fingerprint = 'mine'\n")
    run = audit("python:lacking:Mine", *prompts(1))
    assert run.ret == pytest.ExitCode.TESTS_FAILED
    run.stdout.fnmatch_lines(
        ["*got Mine without settings, seeded, shareable, evaluations_per_image, generate*"]
    )
