"""The whole order of the stages on a model whose behaviour is written down prompt by prompt."""

from contextlib import contextmanager

import numpy as np
import pytest
from written_down_model import CAPTIONS, EVALUATIONS, PROTOCOL, SIDE, TRAINING, Bench, noisy, picture

from memex_audit.extraction.protocol import blind_spot, blind_spot_of_outcome, clique_test
from memex_audit.records import MatchKind, Protocol, Verdict


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("store"), CAPTIONS)


VERDICTS = {
    "replicates": (Verdict.EXTRACTED, 4, 0, 4, False),
    "replicates another": (Verdict.EXTRACTED, 16, 0, 16, False),
    "invents a clique": (Verdict.FLAGGED, 16, 0, 0, False),
    "is independent": (Verdict.NOT_FLAGGED, 4, 0, 0, False),
    "nears once": (Verdict.NOT_FLAGGED, 16, 0, 1, True),
    "is black": (Verdict.UNDECIDED, 0, 4, 0, False),
    "is half black": (Verdict.NOT_FLAGGED, 2, 2, 0, False),
    "changes size": (Verdict.UNDECIDED, 1, 3, 0, False),
    "agrees twice": (Verdict.NOT_FLAGGED, 16, 0, 0, False),
    "replicates a pair": (Verdict.EXTRACTED, 16, 0, 2, False),
}


@pytest.mark.parametrize("caption", CAPTIONS)
def test_a_prompt_gets_the_verdict_of_its_behaviour(bench, caption):
    finding = bench.finding(caption)
    verdict, generations, set_aside, replicas, near_miss = VERDICTS[caption]
    assert finding.verdict is verdict
    assert (finding.generations, finding.set_aside) == (generations, set_aside)
    assert finding.network_evaluations == (generations + set_aside) * EVALUATIONS
    assert (finding.replicas, finding.near_miss) == (replicas, near_miss)
    assert len(finding.replica_seeds) == replicas
    assert finding.blind_spot == blind_spot_of_outcome(generations, clique_test((4, 16), 4), set_aside)


def test_own_replicas_match_their_caption_and_k_counts_the_copies(bench):
    finding = bench.finding("replicates")
    assert (finding.match.example_id, finding.match.kind, finding.match.k) == (
        "replicates",
        MatchKind.MATCHING,
        3,
    )
    assert finding.match.distance == pytest.approx(4 / 255, rel=0.2)
    seeds = tuple(bench.store.request("replicates", i).seed for i in range(4))
    assert finding.clique_seeds == finding.replica_seeds == seeds
    assert finding.clique_size == 4


def test_the_nearest_l2_is_of_a_caption_image_or_of_the_one_that_a_clique_gave_back(bench):
    assert bench.finding("replicates").nearest == bench.finding("replicates").match.distance
    assert bench.finding("nears once").nearest == pytest.approx(4 / 255, rel=0.2)
    retrieved = bench.finding("replicates another")
    assert retrieved.nearest == retrieved.match.distance == pytest.approx(4 / 255, rel=0.2)


def test_the_nearest_l2_of_a_clean_prompt_is_measured_over_all_of_its_generations(bench):
    caption = "is independent"
    drawn = [picture(bench.store.request(caption, i).seed) for i in range(4)]
    apart = [image.astype(float) - TRAINING[caption] for image in drawn]
    least = min(np.sqrt(np.mean(np.square(difference))) / 255 for difference in apart)
    assert bench.finding(caption).nearest == pytest.approx(least)
    assert least > PROTOCOL.match_delta


def test_there_is_no_nearest_l2_where_nothing_can_be_compared(bench, tmp_path):
    assert bench.finding("is black").nearest is None
    assert Bench(tmp_path, ["replicates"], matcher=False).finding("replicates").nearest is None


def test_another_captions_image_is_retrieved(bench):
    match = bench.finding("replicates another").match
    assert (match.example_id, match.kind, match.k) == ("is independent", MatchKind.RETRIEVED, 1)


def test_a_clique_without_a_training_image_is_flagged_only(bench):
    finding = bench.finding("invents a clique")
    assert (finding.clique_size, finding.match, finding.replica_seeds) == (16, None, ())


def test_a_near_miss_names_its_seed_and_its_image(bench):
    finding = bench.finding("nears once")
    assert finding.replica_seeds == (bench.store.request("nears once", 1).seed,)
    assert (finding.near_miss, finding.match.example_id) == (True, "nears once")


def test_two_replicas_of_the_own_image_are_extracted_without_a_clique(bench):
    finding = bench.finding("replicates a pair")
    assert (finding.clique_size, finding.match.kind) == (2, MatchKind.MATCHING)
    assert finding.replica_seeds == tuple(bench.store.request("replicates a pair", i).seed for i in (3, 9))


def test_only_prompts_with_an_edge_or_a_near_miss_draw_the_second_look(bench):
    bench.audit.findings()
    drawn = bench.drawn()
    assert {caption: drawn.count(caption) for caption in CAPTIONS} == {
        caption: 16 if VERDICTS[caption][1] == 16 else 4 for caption in CAPTIONS
    }


def test_findings_come_in_the_order_of_the_prompts(bench):
    assert [finding.prompt for finding in bench.audit.findings()] == list(CAPTIONS)


def test_the_rate_counts_the_extracted_and_the_undecided(bench):
    rate = bench.audit.rate(limit=0.5, confidence=0.95)
    assert (rate.extracted, rate.flagged, rate.undecided, rate.near_misses) == (3, 1, 2, 1)
    assert (rate.prompts, rate.groups, rate.extracted_groups, rate.undecided_groups) == (10, 10, 3, 2)
    assert rate.blind_spot == blind_spot(clique_test((4, 16), 4))
    assert (rate.generations, rate.replicas) == (5 * 16 + 2 * 4 + 0 + 2 + 1, 4 + 16 + 1 + 2)


@pytest.mark.parametrize(("matcher", "extracted"), [(True, 0), (False, 1)])
def test_a_flagged_prompt_counts_as_extracted_only_where_nothing_can_be_matched(tmp_path, matcher, extracted):
    rate = Bench(tmp_path, ["invents a clique", "is independent"], matcher=matcher).audit.rate(
        limit=0.5, confidence=0.95
    )
    assert (rate.flagged, rate.extracted, rate.extracted_groups) == (1, 0, extracted)


def test_without_a_training_set_a_replicating_prompt_is_flagged(tmp_path):
    finding = Bench(tmp_path, ["replicates"], matcher=False).finding("replicates")
    assert (finding.verdict, finding.match, finding.replicas) == (Verdict.FLAGGED, None, 0)


def test_a_finding_draws_its_own_batch_once(tmp_path):
    bench = Bench(tmp_path, ["is independent", "is half black", "invents a clique"], batch_size=8)
    assert bench.drawn() == []
    first = bench.finding("is half black")
    assert bench.drawn() == ["is independent"] * 4 + ["is half black"] * 4
    assert bench.finding("is half black") is first
    bench.finding("is independent")
    assert (len(bench.drawn()), bench.loads) == (8, 1)
    bench.finding("invents a clique")
    assert bench.drawn()[8:] == ["invents a clique"] * 16


def test_selected_prompts_are_drawn_in_batches_of_their_own(tmp_path):
    captions = ["is independent", "is half black", "is black", "changes size"]
    bench = Bench(tmp_path, captions, units=[["is-independent", "is-black"]])
    bench.finding("is independent")
    assert set(bench.drawn()) == {"is independent", "is black"}


def test_a_second_audit_on_the_same_store_draws_nothing_and_finds_the_same(tmp_path):
    captions = ["replicates", "is half black", "nears once"]
    once = Bench(tmp_path, captions).audit.findings()
    again = Bench(tmp_path, captions)
    assert again.audit.findings() == once
    assert (again.drawn(), again.loads) == ([], 0)


def test_a_longer_protocol_draws_only_the_rest(tmp_path):
    Bench(tmp_path, ["is independent"]).audit.findings()
    longer = Protocol(name="longer", looks=(16,), clique_size=4, edge_delta=0.1, match_delta=0.1)
    bench = Bench(tmp_path, ["is independent"], protocol=longer)
    assert bench.finding("is independent").generations == 16
    assert len(bench.drawn()) == 12


def test_progress_hears_what_a_batch_may_draw_and_what_it_drew(tmp_path):
    announced, heard = [], []

    @contextmanager
    def progress(n):
        announced.append(n)
        yield heard.append

    Bench(tmp_path, ["is independent", "invents a clique"], progress=progress).audit.findings()
    assert announced == [8, 12]
    assert sum(heard) == 8 + 12


def test_an_exhibit_shows_the_replicas_and_the_training_image(bench):
    exhibit = bench.audit.exhibit(bench.finding("replicates a pair"))
    seeds = bench.finding("replicates a pair").replica_seeds
    expected = [noisy(TRAINING["replicates a pair"], seed) for seed in seeds]
    np.testing.assert_array_equal(exhibit.generations, expected)
    np.testing.assert_array_equal(exhibit.training_image, TRAINING["replicates a pair"])


def test_an_exhibit_of_a_clique_without_a_match_has_no_training_image(bench):
    exhibit = bench.audit.exhibit(bench.finding("invents a clique"))
    assert (exhibit.generations.shape, exhibit.training_image) == ((16, SIDE, SIDE, 3), None)
