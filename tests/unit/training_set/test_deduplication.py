import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from memex_audit.cli import main
from memex_audit.errors import TrainingSetError
from memex_audit.records import AuditResult, Finding, RunVerdict, Verdict
from memex_audit.reporting.json_report import write_json
from memex_audit.training_set.deduplication import Advice, advise, write_advice
from memex_audit.training_set.duplicates import find_duplicates

SIMILARITY = 0.9


@st.composite
def near_copies(draw):
    """Unit vectors in a few clouds: near-copies, chains of them, and images that stand alone."""
    n = draw(st.integers(1, 24))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    vectors = random.normal(size=(4, 3))[random.integers(0, 4, n)] + 0.4 * random.normal(size=(n, 3))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def advice_on(vectors, order=None):
    order = np.arange(len(vectors)) if order is None else order
    vectors, ids = vectors[order], [f"image {number:03}" for number in order]
    found = find_duplicates(vectors, SIMILARITY, example_ids=ids)
    return list(advise(vectors, ids, found.counts, found.groups)), found.counts, found.groups


@given(near_copies())
def test_what_is_dropped_is_near_one_that_is_kept_and_those_kept_are_near_no_other(vectors):
    advice, counts, _ = advice_on(vectors)
    number = {f"image {i:03}": i for i in range(len(vectors))}
    cosine = (vectors @ vectors.T).astype(float)
    kept = [number[one.example_id] for one in advice if one.keep]
    for one in advice:
        between = cosine[number[one.example_id], number[one.kept]]
        assert one.similarity == pytest.approx(between, abs=1e-5)
        assert between >= SIMILARITY - 1e-5
        assert number[one.kept] in kept
    among_kept = cosine[np.ix_(kept, kept)] - 2 * np.eye(len(kept))
    assert not (among_kept >= SIMILARITY + 1e-5).any()
    # Each image of a group once, and no image that stands alone.
    assert sorted(number[one.example_id] for one in advice) == np.flatnonzero(counts > 1).tolist()


@given(near_copies(), st.randoms(use_true_random=False))
def test_neither_order_nor_numbering_changes_the_advice(vectors, random):
    shuffled = list(range(len(vectors)))
    random.shuffle(shuffled)
    once, again = advice_on(vectors)[0], advice_on(vectors, np.array(shuffled))[0]
    assert {(one.example_id, one.kept) for one in once} == {(one.example_id, one.kept) for one in again}


def test_the_largest_group_comes_first():
    one, two = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    advice, _, _ = advice_on(np.concatenate([one, two, one, two, two]).astype(np.float32))
    assert [one.example_id for one in advice] == [f"image {i:03}" for i in (1, 3, 4, 0, 2)]


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingSetError, match=r"the advice .*drop\.parquet must be writable"):
        write_advice(tmp_path / "file" / "drop.parquet", iter(()))


def test_what_is_written_says_why(tmp_path):
    kept = Advice(group=3, example_id="a.png", kept="a.png", similarity=1.0, near_copies=2)
    dropped = Advice(group=3, example_id="b.png", kept="a.png", similarity=0.9731, near_copies=2)
    assert write_advice(tmp_path / "drop.parquet", iter([kept, dropped])) == (1, 1)
    rows = pq.read_table(tmp_path / "drop.parquet").to_pylist()
    assert [(row["example_id"], row["action"]) for row in rows] == [("a.png", "keep"), ("b.png", "drop")]
    assert rows[1]["reason"] == "a near-copy of a.png, which is kept: cosine 0.9731"


def test_the_command_writes_advice_and_leaves_the_set_as_it_is(folder, tmp_path, monkeypatch):
    images = folder({"a.png": 1, "b.png": 1, "c.png": 2})
    before = sorted(path.read_bytes() for path in images.iterdir())
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(
        main, ["dedupe", "set", "--embedder", "specimen", "--out", "out/drop.parquet", "--store", "store"]
    )
    assert ran.exit_code == 0, ran.output
    assert "3 images, 1 group of near-copies" in ran.output
    assert "1 to drop, 33.3%" in ran.output
    rows = pq.read_table("out/drop.parquet").to_pylist()
    assert [(row["example_id"], row["action"]) for row in rows] == [("a.png", "keep"), ("b.png", "drop")]
    assert sorted(path.read_bytes() for path in images.iterdir()) == before


def finding(group, copies, verdict):
    return Finding(
        prompt_id=group * 12, prompt="a red barn", duplication_count=copies, group_id=group, verdict=verdict,
        near_miss=False, generations=4, set_aside=0, network_evaluations=200, clique_size=0, clique_seeds=(),
        replicas=0, replica_seeds=(), blind_spot=0.75, match=None,
    )  # fmt: skip


def test_the_rate_by_near_copies_is_said_of_an_audit(folder, tmp_path, monkeypatch):
    folder({"a.png": 1, "b.png": 1})
    monkeypatch.chdir(tmp_path)
    found = [("a", 1, Verdict.NOT_FLAGGED), ("b", 1, Verdict.NOT_FLAGGED), ("c", 3, Verdict.EXTRACTED)]
    result = AuditResult(
        verdict=RunVerdict.FAIL, rate=None, protocol=None, calibration=None, set_aside=(), controls=(),
        findings=tuple(finding(*one) for one in found), provenance=None,
    )  # fmt: skip
    write_json(tmp_path / "result.json", result)
    words = ["dedupe", "set", "--embedder", "specimen", "--out", "drop.parquet", "--store", "store"]
    said = CliRunner().invoke(main, [*words, "--findings", "result.json"]).output
    assert "          1       2          0  0.0% (0.0% to 84.2%)" in said
    assert "        2-3       1          1  100.0% (2.5% to 100.0%)" in said


def test_another_kind_of_file_is_refused_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(main, ["dedupe", "nowhere", "--out", "drop.csv"])
    assert ran.exit_code == 1
    assert "Error: --out must be written as .parquet, got drop.csv; name it so." in ran.output
