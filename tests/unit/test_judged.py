"""A finding that is believed without its pictures must be the one that they would give again."""

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memex_audit import code_digest, judged
from memex_audit.judged import MOST_FILES, JudgedFindings
from memex_audit.judging import Judgement
from memex_audit.records import (
    AuditPrompt,
    Finding,
    ImageExtracted,
    Match,
    MatchKind,
    Protocol,
    Unit,
    Verdict,
)

PROTOCOL = Protocol(name="default", looks=(4, 8), clique_size=5, edge_delta=0.1, match_delta=0.1)
PROMPT = AuditPrompt(
    prompt_id="0123456789ab", text="a cat", group_id="g", duplication_count=3, example_ids=("a.png",)
)
STATE = [[0, 3, 100, 7, 0]]
CONTEXT = {"generator": "f" * 64, "training set": "t", "settings": {"keep": "all", "size": (32, 32)}}


def finding_of(prompt, **changed):
    plain = {
        "verdict": Verdict.NOT_FLAGGED, "near_miss": False, "generations": 4, "set_aside": 0,
        "network_evaluations": 160, "clique_size": 0, "clique_seeds": (), "replicas": 0, "replica_seeds": (),
        "blind_spot": 0.75, "match": None, "nearest": 0.31,
    }  # fmt: skip
    return Finding(
        prompt_id=prompt.prompt_id, prompt=prompt.text, duplication_count=prompt.duplication_count,
        group_id=prompt.group_id, slice=prompt.slice, **(plain | changed),
    )  # fmt: skip


def kept_in(folder, *, context=CONTEXT, state=STATE):
    return JudgedFindings(folder, context=context, state_of=lambda _: state)


def recalled(folder, prompt=PROMPT, protocol=PROTOCOL, **others):
    return kept_in(folder, **others).recall([prompt], lambda _: protocol)


@pytest.fixture
def folder(tmp_path):
    kept = kept_in(tmp_path)
    kept.keep(PROMPT, PROTOCOL, Judgement(finding=finding_of(PROMPT), seeds_near={"a.png": 1}))
    kept.flush()
    assert recalled(tmp_path)
    return tmp_path


floats = st.floats(0, 1, allow_nan=False)
seeds = st.lists(st.integers(0, 2**63 - 1), max_size=4).map(tuple)
matches = st.builds(
    Match, example_id=st.text(max_size=8), distance=floats, kind=st.sampled_from(MatchKind),
    k=st.integers(1, 9), alteration=st.sampled_from(["", "mirrored"]), cosine=st.none() | floats,
    sscd=st.none() | floats,
)  # fmt: skip
images = st.lists(
    st.builds(ImageExtracted, example_id=st.text(max_size=8), seeds=st.integers(2, 9), distance=floats),
    max_size=3,
).map(tuple)
findings = st.builds(
    lambda **changed: finding_of(PROMPT, **changed),
    verdict=st.sampled_from(Verdict), near_miss=st.booleans(), generations=st.integers(0, 500),
    set_aside=st.integers(0, 9), clique_seeds=seeds, replica_seeds=seeds, blind_spot=floats,
    match=st.none() | matches, nearest=st.none() | floats, images=images, images_extracted=st.integers(0, 9),
    refused=st.integers(0, 3), absent=st.integers(0, 3), nearest_is_bound=st.booleans(),
)  # fmt: skip


@given(finding=findings, near=st.dictionaries(st.text(max_size=8), st.integers(1, 9), max_size=3))
@settings(max_examples=60)
def test_what_was_kept_is_found_again_as_it_was(tmp_path_factory, finding, near):
    folder = tmp_path_factory.mktemp("kept")
    kept = kept_in(folder)
    judgement = Judgement(finding=finding, seeds_near=near)
    kept.keep(PROMPT, PROTOCOL, judgement)
    kept.flush()
    assert recalled(folder) == {PROMPT.prompt_id: judgement}


@pytest.mark.parametrize("changed", [field.name for field in fields(AuditPrompt)])
def test_another_prompt_is_judged_anew(folder, changed):
    other = {
        "prompt_id": "ba9876543210", "text": "a dog", "group_id": "h", "duplication_count": 4,
        "example_ids": ("a.png", "b.png"), "slice": "people",
    }  # fmt: skip
    assert recalled(folder, replace(PROMPT, **{changed: other[changed]})) == {}


@pytest.mark.parametrize("changed", [field.name for field in fields(Protocol)])
def test_another_protocol_or_calibration_judges_anew(folder, changed):
    other = {
        "name": "other", "looks": (4, 16), "clique_size": 4, "edge_delta": 0.1000001, "match_delta": 0.11,
        "unit": Unit.TRAINING_IMAGE, "flag_at": (4, 5), "clean_at": (1, 4),
    }  # fmt: skip
    assert recalled(folder, protocol=replace(PROTOCOL, **{changed: other[changed]})) == {}


@pytest.mark.parametrize(
    "state",
    [
        [[0, 3, 100, 8, 0]],
        [[0, 3, 101, 7, 0]],
        [[0, 3, 100, 7, 1]],
        [[0, 3, 100, 7, 0], [4, 7, 90, 1, 0]],
        [],
    ],
)
def test_other_pictures_are_judged_anew(folder, state):
    assert recalled(folder, state=state) == {}


@pytest.mark.parametrize(
    "context",
    [
        {**CONTEXT, "generator": "e" * 64},
        {**CONTEXT, "training set": None},
        {**CONTEXT, "settings": {"keep": "none", "size": (32, 32)}},
        {**CONTEXT, "settings": {"keep": "all", "size": (32, 64)}},
        {name: CONTEXT[name] for name in ("generator", "training set")},
    ],
)
def test_another_model_training_set_or_setting_judges_anew(folder, context):
    assert recalled(folder, context=context) == {}


def test_other_code_judges_anew(folder, monkeypatch):
    monkeypatch.setattr(judged, "code_digest", lambda: "0" * 64)
    assert recalled(folder) == {}
    # What the newer code keeps stands beside the older, and neither reads the other's.
    kept = kept_in(folder)
    other = Judgement(finding=finding_of(PROMPT, verdict=Verdict.FLAGGED), seeds_near={})
    kept.keep(PROMPT, PROTOCOL, other)
    kept.flush()
    assert recalled(folder) == {PROMPT.prompt_id: other}
    monkeypatch.undo()
    assert recalled(folder)[PROMPT.prompt_id].finding.verdict is Verdict.NOT_FLAGGED


def test_what_sources_judged_that_were_edited_meanwhile_is_not_kept(tmp_path, monkeypatch):
    kept = kept_in(tmp_path)
    kept.keep(PROMPT, PROTOCOL, Judgement(finding=finding_of(PROMPT), seeds_near={}))
    monkeypatch.setattr(judged, "is_unchanged", lambda: False)
    kept.flush()
    assert list(tmp_path.iterdir()) == []


def test_a_line_that_is_torn_or_altered_is_none(folder):
    (file,) = folder.glob("*.jsonl")
    line = file.read_text()
    for altered in (line[:-20], line.replace("not_flagged", "extracted"), line.replace(" ", "  ", 1), "\n"):
        file.write_text(altered)
        assert recalled(folder) == {}
    file.write_bytes(b"\xff\xfe" + line.encode())
    assert recalled(folder) == {}
    file.write_text(line[: len(line) // 2] + "\n" + line)
    assert len(recalled(folder)) == 1


def test_nothing_is_kept_of_a_prompt_without_pictures(tmp_path):
    kept = kept_in(tmp_path, state=[])
    kept.keep(PROMPT, PROTOCOL, Judgement(finding=finding_of(PROMPT), seeds_near={}))
    kept.flush()
    assert list(tmp_path.iterdir()) == []


def test_files_of_many_processes_become_one_and_lose_nothing(tmp_path):
    prompts = [replace(PROMPT, prompt_id=f"{n:012x}", text=f"picture {n}") for n in range(MOST_FILES + 3)]
    for prompt in prompts:
        kept = kept_in(tmp_path)
        kept.keep(prompt, PROTOCOL, Judgement(finding=finding_of(prompt), seeds_near={}))
        kept.flush()
    assert len(kept_in(tmp_path).recall(prompts, lambda _: PROTOCOL)) == len(prompts)
    assert len(list(tmp_path.iterdir())) == 1
    assert len(kept_in(tmp_path).recall(prompts, lambda _: PROTOCOL)) == len(prompts)


def test_an_edited_source_is_seen(tmp_path, monkeypatch):
    (tmp_path / "one.py").write_text("a = 1")
    monkeypatch.setattr(code_digest, "ROOT", tmp_path)
    before = code_digest._state()
    monkeypatch.setattr(code_digest, "_state_at_first", lambda: before)
    assert code_digest.is_unchanged()
    one = code_digest.code_digest.__wrapped__()
    (tmp_path / "one.py").write_text("a = 22")
    assert not code_digest.is_unchanged()
    assert code_digest.code_digest.__wrapped__() != one


def test_a_folder_that_cannot_be_written_costs_nothing_but_the_time_to_judge_again(tmp_path):
    (tmp_path / "file").write_text("")
    kept = kept_in(tmp_path / "file")
    kept.keep(PROMPT, PROTOCOL, Judgement(finding=finding_of(PROMPT), seeds_near={}))
    kept.flush()
    assert recalled(tmp_path / "file") == {}


def test_no_caption_is_written_down(folder):
    (file,) = folder.glob("*.jsonl")
    assert "cat" not in file.read_text()
    json.loads(file.read_text().split(" ", 2)[2])
