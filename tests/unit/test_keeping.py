"""What is kept of pictures changes what is in the store, and nothing that is found."""

from dataclasses import replace

import numpy as np
import pytest
from written_down_model import CAPTIONS, EVALUATIONS, TRAINING, Bench, noisy

from memex_audit.config import Budget
from memex_audit.errors import TrainingSetError
from memex_audit.generation.filling import draw
from memex_audit.keeping import is_sampled
from memex_audit.records import Protocol, Verdict

SETTLED = ("is independent", "is half black", "changes size")
POLICIES = ("all", "evidence", "none")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {keep: tmp_path_factory.mktemp(keep) for keep in POLICIES}


@pytest.fixture(scope="module")
def benches(folders):
    """An audit of every caption under each policy, already made."""
    made = {keep: Bench(folders[keep], CAPTIONS, keep=keep) for keep in POLICIES}
    for bench in made.values():
        bench.audit.findings()
    return made


def kept_pixels(bench, caption):
    return [picture.pixels is not None for picture in bench.store.read(caption, 16)]


@pytest.mark.parametrize("keep", ["evidence", "none"])
def test_every_finding_is_that_of_all_pixels_but_for_the_distance_of_a_settled_prompt(benches, keep):
    everything, found = benches["all"].audit.findings(), benches[keep].audit.findings()
    for one, other in zip(everything, found, strict=True):
        settled = one.prompt in SETTLED
        assert not settled or other.nearest <= one.nearest
        nearest = other.nearest if settled else one.nearest
        assert other == replace(one, nearest=nearest, nearest_is_bound=settled)


@pytest.mark.parametrize("keep", ["evidence", "none"])
def test_nothing_is_drawn_twice_in_a_run(benches, keep):
    assert benches[keep].drawn() == benches["all"].drawn()


def test_evidence_keeps_pixels_of_what_block_sums_do_not_settle(benches):
    bench = benches["evidence"]
    for caption in CAPTIONS:
        has = kept_pixels(bench, caption)
        if caption in SETTLED:
            assert not any(has), caption
        elif caption != "is black":
            assert all(has), caption


def test_none_writes_no_pixel(benches):
    assert not any(any(kept_pixels(benches["none"], caption)) for caption in CAPTIONS)


def test_a_second_run_on_evidence_draws_nothing_and_finds_the_same(benches, folders):
    bench = Bench(folders["evidence"], CAPTIONS, keep="evidence")
    assert bench.audit.findings() == benches["evidence"].audit.findings()
    assert (bench.drawn(), bench.loads) == ([], 0)


def test_a_second_run_on_none_draws_what_must_be_looked_at_and_finds_the_same(benches, folders):
    bench = Bench(folders["none"], CAPTIONS, keep="none")
    assert bench.audit.findings() == benches["none"].audit.findings()
    drawn = bench.drawn()
    assert not set(drawn) & {*SETTLED, "is black"}
    assert {caption: drawn.count(caption) for caption in set(drawn)} == {
        "replicates": 4, "replicates another": 16, "invents a clique": 16, "nears once": 16,
        "agrees twice": 16, "replicates a pair": 16,
    }  # fmt: skip
    assert bench.notes == []


def test_what_is_drawn_again_is_kept_where_pixels_are_and_then_drawn_no_more(tmp_path):
    found = Bench(tmp_path, ["replicates", "is independent"], keep="none").audit.findings()
    second = Bench(tmp_path, ["replicates", "is independent"], keep="all")
    assert second.audit.findings() == found
    assert second.drawn() == ["replicates"] * 4
    third = Bench(tmp_path, ["replicates", "is independent"], keep="all")
    assert third.audit.findings() == found
    assert third.drawn() == []
    assert kept_pixels(third, "replicates") == [True] * 4


def test_an_exhibit_of_what_was_not_kept_is_drawn_again(benches):
    bench = benches["none"]
    before = len(bench.drawn())
    finding = bench.finding("replicates a pair")
    exhibit = bench.audit.exhibit(finding)
    expected = [noisy(TRAINING["replicates a pair"], seed) for seed in finding.replica_seeds]
    np.testing.assert_array_equal(exhibit.generations, expected)
    assert len(bench.drawn()) == before + 2


def test_a_longer_protocol_looks_at_reduced_pictures_together_with_new_ones(tmp_path):
    Bench(tmp_path, ["is independent"], keep="evidence").audit.findings()
    longer = Protocol(name="longer", looks=(16,), clique_size=4, edge_delta=0.1, match_delta=0.1)
    bench = Bench(tmp_path, ["is independent"], protocol=longer, keep="evidence")
    finding = bench.finding("is independent")
    assert (finding.verdict, finding.generations) == (Verdict.NOT_FLAGGED, 16)
    assert len(bench.drawn()) == 12
    assert kept_pixels(bench, "is independent") == [False] * 16


def test_thresholds_that_block_sums_do_not_settle_draw_again_what_is_missing(tmp_path):
    Bench(tmp_path, ["is independent"], keep="evidence").audit.findings()
    wide = Protocol(name="wide", looks=(4,), clique_size=4, edge_delta=0.9, match_delta=0.1)
    bench = Bench(tmp_path, ["is independent"], protocol=wide, keep="evidence")
    assert bench.finding("is independent").verdict is Verdict.FLAGGED
    assert bench.drawn() == ["is independent"] * 4
    assert kept_pixels(bench, "is independent") == [True] * 4


def test_without_a_training_set_block_sums_settle_what_has_no_edge(tmp_path):
    bench = Bench(tmp_path, ["is independent", "replicates"], matcher=False, keep="evidence")
    clean, flagged = bench.audit.findings()
    assert (clean.verdict, clean.nearest, clean.nearest_is_bound) == (Verdict.NOT_FLAGGED, None, False)
    assert flagged.verdict is Verdict.FLAGGED
    assert kept_pixels(bench, "is independent") == [False] * 4
    assert kept_pixels(bench, "replicates") == [True] * 16


def test_one_prompt_in_a_hundred_keeps_its_pixels_as_a_sample(tmp_path, monkeypatch):
    assert 60 < sum(is_sampled(f"prompt {i}") for i in range(10_000)) < 140
    monkeypatch.setattr("memex_audit.keeping.is_sampled", lambda _: True)
    bench = Bench(tmp_path, ["is independent"], keep="evidence")
    assert bench.finding("is independent").nearest_is_bound
    assert kept_pixels(bench, "is independent") == [True] * 4


def test_a_model_that_draws_another_picture_for_a_seed_is_noticed_once_it_is_asked_again(tmp_path):
    Bench(tmp_path, ["replicates"], keep="none").audit.findings()
    bench = Bench(tmp_path, ["replicates"], keep="none")
    answer = bench.model.generate

    def other(requests):
        for generation in answer(requests):
            yield replace(generation, pixels=255 - generation.pixels)

    bench.model.generate = other
    bench.audit.findings()
    assert "differs from what was kept of it by more than 4 levels of 255" in bench.notes[0]
    assert "--memex-keep all" in bench.notes[0]


def test_pixels_of_a_prompt_that_goes_on_are_let_go_when_it_is_settled(benches):
    keeping = benches["none"].audit._keeping
    assert (keeping._at_hand, keeping._bytes) == ({}, 0)


def test_what_does_not_fit_in_memory_is_drawn_again(tmp_path, monkeypatch):
    monkeypatch.setattr("memex_audit.keeping.IN_MEMORY", 0)
    bench = Bench(tmp_path, ["nears once"], keep="none")
    assert bench.finding("nears once").generations == 16
    assert len(bench.drawn()) == 16 + 4


def test_whoever_asks_for_pixels_gets_them_though_none_are_written(tmp_path):
    bench = Bench(tmp_path, ["is independent", "replicates"], keep="none")
    texts = ["is independent", "replicates"]
    for _ in range(2):
        drawn = list(draw(bench.store, lambda: bench.model, texts, 4, batch_size=8))
        assert [[picture.pixels is not None for picture in one] for one in drawn] == [[True] * 4] * 2
    # Written without pixels, and so drawn once in each of the two.
    assert bench.drawn() == (["is independent"] * 4 + ["replicates"] * 4) * 2
    assert not any(kept_pixels(bench, "replicates"))


def test_what_was_drawn_before_nothing_could_be_decided_is_kept_whole(tmp_path):
    bench = Bench(tmp_path, ["is independent"], keep="evidence")

    def fail(*_):
        raise TrainingSetError("the training set is gone")

    with pytest.raises(TrainingSetError, match="is gone"):
        next(draw(bench.store, lambda: bench.model, ["is independent"], 4, batch_size=8, keeps=fail))
    assert kept_pixels(bench, "is independent") == [True] * 4


def test_what_is_drawn_again_is_counted_against_the_budget(tmp_path):
    def audited(pictures):
        budget = Budget(evaluations=pictures * EVALUATIONS)
        bench = Bench(tmp_path, ["nears once"], keep="none", budget=budget)
        return bench.finding("nears once"), len(bench.drawn())

    finding, drawn = audited(4)
    assert (finding.verdict, finding.near_miss, drawn) == (Verdict.UNDECIDED, True, 4)
    # The first look is drawn again, and nothing is left for the second.
    assert audited(12) == (finding, 4)
    assert audited(16)[0].verdict is Verdict.NOT_FLAGGED


def test_a_prompt_whose_budget_is_spent_is_settled_by_its_block_sums(tmp_path):
    # Its first look never stops: block sums settle it, and it goes on to a second that nothing pays for.
    protocol = Protocol(
        name="two looks", looks=(4, 16), clique_size=4, edge_delta=0.1, match_delta=0.1,
        flag_at=(5, 4), clean_at=(0, 3),
    )  # fmt: skip
    budget = Budget(evaluations=4 * EVALUATIONS)
    bench = Bench(tmp_path, ["is independent"], keep="none", protocol=protocol, budget=budget)
    finding = bench.finding("is independent")
    assert (finding.verdict, finding.generations, finding.nearest_is_bound) == (Verdict.UNDECIDED, 4, True)
