"""Stores that are full, read-only, damaged, old or shared; calibrations and settings files with faults."""

import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
from functools import partial

import pytest
from click.testing import CliRunner

from memex_audit.cli import main
from memex_audit.generation.pack_files import PACK
from memex_audit.generation.packs import Packs

CLEAN = tuple(f"clean picture {i}" for i in range(8))
OPTIONS = ("--memex-prompts", "prompts.csv", "--memex-limit", "0.5")
COMMAND = (
    sys.executable, "-m", "pytest", "audits", "-W", "default", "--memex-model", "none", "--memex-json",
    "result.json", *OPTIONS,
)  # fmt: skip


def result(project):
    return json.loads((project.path / "result.json").read_text())


def one_line(text):
    return " ".join(part.removeprefix("E").strip() for part in text.splitlines())


def packs(project):
    """Return the packs of the only model and settings of the store."""
    (folder,) = (project.path / ".memex" / "units").glob("*/*")
    found = Packs(folder)
    found.refresh()
    return found


def units(project):
    """Return where the units of the store lie, by prompt and number."""
    return sorted(packs(project).all_places(), key=lambda place: (place.prompt, place.first))


def left_behind(project):
    """Return what no process of a store that rests should have left there."""
    store = project.path / ".memex"
    return [path for pattern in ("*.partial", "*.claim", "*.takeover") for path in store.rglob(pattern)]


# -- full and read-only


def limit_files(n_bytes):
    """Let this process write no file beyond so many bytes: what a full disk is to it."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


def test_a_full_disk_is_one_line_keeps_what_was_drawn_and_the_next_run_goes_on(project):
    # A unit of four pictures of noise takes about 13 kB, one of a "black" prompt next to nothing.
    project.prompts("black a", "black b", *CLEAN)
    run = subprocess.run(
        COMMAND, cwd=project.path, capture_output=True, text=True, timeout=300, check=False,
        preexec_fn=partial(limit_files, 10_000),
    )  # fmt: skip
    assert run.returncode == 1
    assert "StoreUnwritable: the store" in one_line(run.stdout)
    assert "File too large" in run.stdout
    assert "Traceback" not in run.stdout
    kept = units(project)
    assert len(kept) == 2
    assert left_behind(project) == []
    before = [line.split("\t")[0] for line in project.drawn]
    assert len(before) == (2 + 2) * 4  # two that were kept, and the batch of two that could not be

    project.audit(*OPTIONS)
    found = result(project)
    assert len(found["findings"]) == 10
    assert set(kept) < set(units(project))
    after = [line.split("\t")[0] for line in project.drawn][len(before) :]
    assert set(after) == set(CLEAN)
    assert len(after) == len(CLEAN) * 4


FULL = """

def full(path, *others, __write=import_module("{module}").{write}, **named):
    if str(path).endswith("{suffix}"):
        raise OSError(28, "No space left on device", str(path))
    return __write(path, *others, **named)


patch.setattr(import_module("{module}"), "{write}", full)
"""


@pytest.mark.parametrize(
    ("module", "write", "suffix"),
    [
        ("memex_audit.claims", "_make", ".claim"),
        ("memex_audit.generation.identity", "write_whole", "model.json"),
        ("memex_audit.generation.packs", "append_to", ".pack"),
        ("memex_audit.generation.packs", "append_to", ".jsonl"),
    ],
    ids=["claim", "record of the model", "pack", "manifest"],
)
def test_a_disk_that_is_full_at_any_write_of_a_picture_is_one_line_and_the_next_run_goes_on(
    project, module, write, suffix
):
    project.prompts(*CLEAN)
    conftest = (project.path / "conftest.py").read_text()
    (project.path / "conftest.py").write_text(
        conftest + FULL.format(module=module, write=write, suffix=suffix)
    )
    run = project.audit(*OPTIONS)
    assert run.ret == 1
    text = one_line(run.stdout.str())
    assert "StoreUnwritable: the store" in text
    assert "cannot be written (No space left on device); free space or name another" in text
    assert "Traceback" not in text
    assert left_behind(project) == []
    assert units(project) == []

    (project.path / "conftest.py").write_text(conftest)
    n_drawn = len(project.drawn)
    assert project.audit(*OPTIONS).ret == 0
    assert len(project.drawn) == n_drawn + 4 * len(CLEAN)


def test_findings_that_cannot_be_kept_are_judged_again_and_cost_no_verdict(project):
    project.prompts(*CLEAN)
    (project.path / ".memex").mkdir()
    (project.path / ".memex" / "findings").write_text("")
    for _ in range(2):
        assert project.audit(*OPTIONS).ret == 0
        assert result(project)["verdict"] == "pass"
    assert len(project.drawn) == 4 * len(CLEAN)


def obey_permissions():
    """Take from root what lets it write where nobody may: CAP_DAC_OVERRIDE and its kin, for good."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (1, 2, 3):
            if libc.prctl(24, capability, 0, 0, 0):  # PR_CAPBSET_DROP
                raise OSError(ctypes.get_errno(), "no capability can be dropped")


@pytest.fixture
def read_only(project):
    """Make folders read-only, and writable again at the end."""
    locked = []

    def lock(root):
        for folder in sorted([root, *(path for path in root.rglob("*") if path.is_dir())], reverse=True):
            folder.chmod(0o500)
            locked.append(folder)

    yield lock
    for folder in reversed(locked):
        folder.chmod(0o700)


def run_obeying(project):
    return subprocess.run(
        COMMAND, cwd=project.path, capture_output=True, text=True, timeout=300, check=False,
        preexec_fn=obey_permissions,
    )  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
def test_a_read_only_store_is_one_line(project, read_only):
    project.prompts(*CLEAN)
    (project.path / ".memex").mkdir()
    read_only(project.path / ".memex")
    run = run_obeying(project)
    assert run.returncode == 1, run.stdout
    assert "StoreUnwritable: the store must be a folder that can be written" in one_line(run.stdout)
    assert "(Permission denied); name another with --memex-store." in one_line(run.stdout)
    assert "Traceback" not in run.stdout
    assert result(project)["verdict"] == "error"
    assert project.drawn == []


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
def test_a_read_only_store_that_holds_every_picture_is_audited(project, read_only):
    project.prompts(*CLEAN)
    assert project.audit(*OPTIONS).ret == 0
    n_drawn = len(project.drawn)
    read_only(project.path / ".memex")
    run = run_obeying(project)
    assert run.returncode == 0, run.stdout
    assert len(project.drawn) == n_drawn
    assert result(project)["verdict"] == "pass"
    (note,) = (note for note in result(project)["notes"] if "ledger" in note)
    assert note.startswith("this run is not in the ledger: ")


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
def test_what_a_read_only_store_lacks_is_one_line(project, read_only):
    project.prompts(*CLEAN)
    project.audit(*OPTIONS)
    project.prompts(*CLEAN, "clean and new")
    read_only(project.path / ".memex")
    run = run_obeying(project)
    assert run.returncode == 1, run.stdout
    assert "cannot be written (Permission denied); free space or name another" in one_line(run.stdout)
    assert len(result(project)["findings"]) >= len(CLEAN) - 2  # but the batch of the new prompt


def test_a_file_where_the_store_should_be_is_one_line(project):
    project.prompts(*CLEAN)
    (project.path / "store").write_text("")
    run = project.audit(*OPTIONS, "--memex-store", "store")
    run.assert_outcomes(failed=1, skipped=len(CLEAN))
    assert "StoreUnwritable: the store must be a folder that can be written, got" in one_line(
        run.stdout.str()
    )


def test_a_folder_for_evidence_that_cannot_be_written_costs_no_finding(project):
    project.captions("copied cat", *CLEAN)
    (project.path / "evidence").write_text("")
    arguments = ("--memex-training-set", "images", "--memex-embedder", "specimen", "--memex-limit", "0.9")
    run = project.audit(*arguments, "--memex-evidence", "full:evidence")
    assert run.ret == 1
    found = result(project)
    assert found["verdict"] == "fail"
    assert [f["prompt"] for f in found["findings"] if f["verdict"] == "extracted"] == ["copied cat"]
    assert (
        "not all evidence could be written to evidence (Not a directory): free space or name another"
        in (found["notes"])
    )


# -- damaged and old


def test_a_unit_truncated_by_hand_is_noted_and_drawn_anew(project):
    project.prompts(*CLEAN)
    project.audit(*OPTIONS)
    first, n_drawn = result(project), len(project.drawn)
    last = max(units(project), key=lambda place: place.offset)
    pack = packs(project).folder / f"{last.pack}{PACK}"
    pack.write_bytes(pack.read_bytes()[: last.offset + 200])
    run = project.audit(*OPTIONS)
    assert run.ret == 0
    again = result(project)
    assert len(project.drawn) == n_drawn + 4 + 1  # and one that is there, to compare the models
    assert again["findings"] == first["findings"]
    name = pack.relative_to(project.path / ".memex").as_posix()
    assert again["notes"] == [
        f"pictures 0 to 3 of a prompt were damaged and drawn anew: in {name}, at byte {last.offset:,}"
    ]
    run.stdout.fnmatch_lines(["notes*pictures 0 to 3 of a prompt were damaged*"])


def test_a_store_of_an_older_version_is_one_line_and_left_as_it_is(project):
    project.prompts(*CLEAN)
    project.audit(*OPTIONS)
    older = packs(project).folder / "f2" / ("f2" + "0" * 62) / "000000-000003.parquet"
    older.parent.mkdir(parents=True)
    older.write_bytes(b"PAR1")
    run = project.audit(*OPTIONS)
    assert run.ret == 1
    text = one_line(run.stdout.str())
    assert "must be of packs, got one of an older memex-audit, with a file for each prompt" in text
    assert "`memex store compact` packs what it holds and loses nothing" in text
    assert result(project)["verdict"] == "error"
    assert older.read_bytes() == b"PAR1"


# -- shared


def test_two_runs_at_once_on_one_store_draw_each_picture_once_and_both_end(project):
    project.prompts(*CLEAN)
    slow = (project.path / "conftest.py").read_text()
    slow = slow.replace(
        "        for request in requests:\n            random",
        "        import time\n        time.sleep(0.3)\n        for request in requests:\n            random",
    )
    (project.path / "conftest.py").write_text(slow)
    others = (
        "-k",
        "picture-1 or picture-2 or picture-5",
        "--memex-json",
        "other.json",
        "--memex-batch-size",
        "4",
    )
    runs = [
        subprocess.Popen((*COMMAND, *extra), cwd=project.path, stdout=subprocess.PIPE, text=True)
        for extra in ((), (), others)
    ]
    ended = [run.communicate(timeout=300)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], ended
    assert len(project.drawn) == len(set(project.drawn)) == 4 * len(CLEAN)
    assert result(project)["verdict"] == "pass"
    assert left_behind(project) == []


# -- calibrations and settings files


@pytest.fixture
def calibration(project):
    """Write a calibration of this project's generator, with changes."""

    def write(**changes):
        values = {
            "source": "calibrated", "edge_delta": 0.12, "match_delta": 0.1, "clique_size": 4,
            "protocol": "default", "looks": [4, 16], "negatives": 60, "flagged": 3, "upper": 0.12,
            "model_fingerprint": "f" * 64, "settings_digest": "0" * 16, **changes,
        }  # fmt: skip
        path = project.path / "calibration.json"
        path.write_text(json.dumps(values))
        return "--memex-calibration", "calibration.json"

    return write


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"model_fingerprint": "0" * 64}, "got calibration.json for another model; run `memex calibrate`"),
        ({}, "got calibration.json for other sampler settings; run"),
        ({"edge_delta": -1}, "edge_delta = -1, which is not in (0, 1]; run `memex calibrate` again."),
        ({"match_delta": "0.1"}, "match_delta = '0.1', which is not in (0, 1]; run"),
        ({"edge_delta": float("nan")}, "edge_delta = nan, which is not in (0, 1]; run"),
        ({"edges": 1}, "an unknown 'edges'"),
    ],
)
def test_a_calibration_that_cannot_be_used_is_one_line_and_nothing_is_drawn(
    project, calibration, changes, line
):
    project.prompts(*CLEAN)
    run = project.audit(*OPTIONS, *calibration(**changes))
    run.assert_outcomes(failed=1, skipped=len(CLEAN))
    text = one_line(run.stdout.str())
    assert "CalibrationError: a calibration must be" in text
    assert line in text
    assert project.drawn == []


def test_a_misspelled_setting_beside_the_model_is_one_line(tmp_path):
    from memex_audit import specimen

    twin = specimen.twin_folder("specimen:deduplicated")
    model = tmp_path / "model"
    shutil.copytree(twin, model)
    (model / "memex.toml").write_text("[generations]\nsteps = 4\n")
    run = CliRunner().invoke(
        main, ["calibrate", "--model", str(model), "--prompts", str(specimen.DATA / "held-out-captions.txt")]
    )
    assert run.exit_code == 1
    assert run.output.startswith(
        f"Error: {model}/memex.toml must have tables generation, model, embedder only, got gen"
    )
    assert run.output.endswith("; did you mean generation?\n")
