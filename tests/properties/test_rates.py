"""What must hold of a rate, its tiers and its verdict for any findings."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from memex_audit.extraction.protocol import blind_spot_of_outcome, clique_test
from memex_audit.rates.bounds import binomial_lower, binomial_upper
from memex_audit.rates.duplication_tiers import rates_by_duplication
from memex_audit.rates.extraction_rate import extraction_rate
from memex_audit.rates.verdicts import rate_verdict, run_verdict
from memex_audit.records import Finding, Frame, RunVerdict, Verdict

unhurried = settings(deadline=None)
FRAME = Frame(description="some", size=None)
PASS, FAIL, INCONCLUSIVE = RunVerdict.PASS, RunVerdict.FAIL, RunVerdict.INCONCLUSIVE
limits = st.floats(0.001, 1)
counts = st.integers(0, 3)


@st.composite
def finding(draw):
    return Finding(
        prompt_id="0" * 12, prompt="a barn", duplication_count=draw(st.integers(1, 70)),
        group_id=draw(st.sampled_from("abcdefgh")), verdict=draw(st.sampled_from(Verdict)),
        near_miss=draw(st.booleans()), generations=draw(st.integers(0, 16)), set_aside=0,
        network_evaluations=1, clique_size=0, clique_seeds=(), replicas=draw(st.integers(0, 4)),
        replica_seeds=(), blind_spot=0.75, match=None,
    )  # fmt: skip


findings = st.lists(finding(), min_size=1, max_size=14)


def rate_of(found, limit=0.01, confidence=0.95, **options):
    return extraction_rate(found, FRAME, limit=limit, confidence=confidence, blind_spot=0.75, **options)


@unhurried
@given(findings, st.randoms(use_true_random=False))
def test_the_order_of_the_findings_changes_nothing(found, random):
    shuffled = random.sample(found, len(found))
    assert rate_of(shuffled) == rate_of(found)
    tiers = rates_by_duplication(found, confidence=0.95)
    assert rates_by_duplication(shuffled, confidence=0.95) == tiers


@unhurried
@given(findings)
def test_the_counts_add_up_and_the_bounds_enclose_them(found):
    rate = rate_of(found)
    assert rate.prompts == len(found)
    assert rate.groups == len({one.group_id for one in found})
    assert 0 <= rate.extracted_groups <= rate.extracted_groups + rate.undecided_groups <= rate.groups
    assert rate.lower <= rate.extracted_groups / rate.groups * (1 + 1e-9)
    assert rate.upper >= (rate.extracted_groups + rate.undecided_groups) / rate.groups * (1 - 1e-9)
    assert rate.lower == binomial_lower(rate.extracted_groups, rate.groups, 0.95)
    assert rate.upper == binomial_upper(rate.extracted_groups + rate.undecided_groups, rate.groups, 0.95)


@unhurried
@given(findings, st.data())
def test_a_finding_that_gets_worse_lowers_no_bound(found, data):
    i = data.draw(st.integers(0, len(found) - 1))
    worse = [*found[:i], replace(found[i], verdict=Verdict.EXTRACTED), *found[i + 1 :]]
    before, after = rate_of(found), rate_of(worse)
    assert after.lower >= before.lower
    assert after.upper >= before.upper


@unhurried
@given(findings)
def test_counting_flagged_prompts_lowers_no_bound(found):
    strict, wide = rate_of(found), rate_of(found, count_flagged=True)
    assert wide.lower >= strict.lower
    assert wide.upper >= strict.upper
    assert (wide.extracted, wide.flagged) == (strict.extracted, strict.flagged)


@unhurried
@given(findings, st.data())
def test_a_second_prompt_of_a_group_with_the_same_verdict_changes_no_bound(found, data):
    again = data.draw(st.sampled_from(found))
    once, twice = rate_of(found), rate_of([*found, again])
    assert (twice.lower, twice.upper, twice.groups) == (once.lower, once.upper, once.groups)


@unhurried
@given(findings, limits, limits, st.floats(0.5, 0.99), st.floats(0, 0.009))
def test_a_verdict_holds_at_a_looser_limit_and_no_verdict_turns_around(found, limit, other, confidence, more):
    low, high = sorted((limit, other))
    strict, loose = (rate_verdict(rate_of(found, at, confidence)) for at in (low, high))
    assert strict is not PASS or loose is PASS
    assert loose is not FAIL or strict is FAIL
    surer = rate_verdict(rate_of(found, low, confidence + more))
    assert surer in (strict, INCONCLUSIVE)


@unhurried
@given(findings)
def test_the_tiers_hold_every_group_once_and_each_spans_a_doubling(found):
    tiers = rates_by_duplication(found, confidence=0.95)
    rate = rate_of(found)
    assert sum(tier.groups for tier in tiers) == rate.groups
    assert sum(tier.extracted for tier in tiers) == rate.extracted_groups
    assert sum(tier.undecided for tier in tiers) == rate.undecided_groups
    assert [tier.lowest for tier in tiers] == sorted({tier.lowest for tier in tiers})
    for tier in tiers:
        assert tier.highest == 2 * tier.lowest - 1
        assert tier.lower <= tier.extracted / tier.groups <= tier.upper


@given(counts, counts, counts, counts)
def test_a_run_passes_only_where_nothing_is_wrong(broken, failed, inconclusive, not_run):
    verdict = run_verdict(broken=broken, failed=failed, inconclusive=inconclusive, not_run=not_run)
    assert (verdict is PASS) == (broken + failed + inconclusive + not_run == 0)
    assert (verdict is RunVerdict.ERROR) == (broken > 0)
    worse = run_verdict(broken=broken + 1, failed=failed, inconclusive=inconclusive, not_run=not_run)
    assert worse is RunVerdict.ERROR


@st.composite
def protocols(draw):
    looks = tuple(sorted(draw(st.sets(st.integers(2, 60), min_size=1, max_size=4))))
    return looks, draw(st.integers(2, looks[-1]))


@unhurried
@given(protocols(), st.integers(0, 80), st.integers(0, 20))
def test_a_clean_prompt_excludes_more_with_more_generations_and_less_with_more_set_aside(protocol, n, aside):
    spot = blind_spot_of_outcome(n, clique_test(*protocol), set_aside=aside)
    assert 0 < spot <= 1
    assert blind_spot_of_outcome(n, clique_test(*protocol), set_aside=aside + 1) >= spot
    looks, _ = protocol
    if n + aside > looks[-2] if len(looks) > 1 else True:  # past the last but one look, so is one more
        assert blind_spot_of_outcome(n + 1, clique_test(*protocol), set_aside=aside) <= spot
