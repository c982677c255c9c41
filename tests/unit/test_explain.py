import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memex_audit.explain import (
    explain_control,
    explain_controls,
    explain_finding,
    figures,
    one_line,
    percent,
    percent_beside,
    prompt_slug,
    quoted,
    with_repeat,
)
from memex_audit.explain_rate import explain_rate, rate_sentence
from memex_audit.extraction.protocol import blind_spot, clique_test
from memex_audit.rates.bounds import binomial_lower, binomial_upper
from memex_audit.records import (
    ControlResult,
    Finding,
    ImageExtracted,
    Match,
    MatchKind,
    Protocol,
    Rate,
    Verdict,
)

PROTOCOL = Protocol(name="default", looks=(4, 16), clique_size=4, edge_delta=0.12, match_delta=0.15)
FINDING = Finding(
    prompt_id="0123456789ab", prompt="Zebra by Jane Roe", duplication_count=64, group_id="g",
    verdict=Verdict.EXTRACTED, near_miss=False, generations=16, set_aside=0, network_evaluations=320,
    clique_size=9, clique_seeds=(1,), replicas=10, replica_seeds=(1,), blind_spot=0.4,
    match=Match(example_id="zebra-by-jane-roe.png", distance=0.03125, kind=MatchKind.MATCHING, k=64),
)  # fmt: skip


def make_rate(extracted=0, groups=320, undecided=0, **changes):
    values = {
        "extracted": extracted, "flagged": 0, "undecided": undecided, "near_misses": 0, "prompts": groups,
        "groups": groups, "extracted_groups": extracted, "undecided_groups": undecided,
        "generations": 4 * groups, "replicas": 0, "lower": binomial_lower(extracted, groups, 0.95),
        "upper": binomial_upper(extracted + undecided, groups, 0.95), "confidence": 0.95, "limit": 0.01,
        "frame": "duplicated groups", "frame_size": 5000, "method": "binomial (Clopper-Pearson), one-sided",
        "blind_spot": blind_spot(clique_test((4, 16), 4)),
    }  # fmt: skip
    return Rate(**(values | changes))


def explained(redact=False, **changes):
    return explain_finding(replace(FINDING, **changes), protocol=PROTOCOL, rerun="pytest x", redact=redact)


def test_an_extraction_reads_claim_evidence_how_sure_what_next():
    claim, evidence, sure, what_next, repeat = explained().splitlines()
    assert claim == 'The model gives back training image zebra-by-jane-roe.png for "Zebra by Jane Roe".'
    assert "10 of 16 generations within l2 0.15 of a training image" in evidence
    assert "nearest l2 0.031" in evidence
    assert "9 generations lie pairwise within tile-l2 0.12" in evidence
    assert "64 near-copies of the caption's image" in evidence
    assert "stands under this caption (matching), k = 64" in evidence
    assert sure.startswith("How sure: seen, not estimated: 10 different seeds")
    assert what_next.startswith("Next: look at the pictures")
    assert repeat == "Repeat: pytest x"


def test_the_command_that_repeats_it_is_given_once():
    assert with_repeat(explained(), "pytest y") == explained()
    assert with_repeat("Claim.", "pytest y") == "Claim.\nRepeat: pytest y"
    assert with_repeat("Claim.", None) == "Claim."


def test_a_prompt_that_is_not_known_is_named_by_its_id():
    assert explained(prompt="").startswith("The model gives back")
    assert explained(prompt="").splitlines()[0].endswith("for prompt 0123456789ab.")


def images(*seeds):
    return tuple(
        ImageExtracted(example_id=f"{n}.png", seeds=n_seeds, distance=0.03) for n, n_seeds in enumerate(seeds)
    )


def test_images_that_were_counted_one_by_one_are_named_with_their_seeds():
    text = explained(images=images(9, 2), images_extracted=2)
    assert text.startswith('The model gives back 2 training images for "Zebra by Jane Roe".')
    assert "Evidence: 0.png by 9 seeds, 1.png by 2 seeds; 10 of 16" in text
    assert "two different seeds or more gave back each of them" in text


def test_a_single_image_is_worded_as_one_whatever_was_counted():
    assert explained(images=images(10), images_extracted=1) == explained()


def test_a_retrieved_image_stands_under_another_caption():
    match = replace(FINDING.match, kind=MatchKind.RETRIEVED)
    assert "under another caption (retrieved)" in explained(match=match)


def test_a_clean_prompt_is_worded_with_its_blind_spot():
    text = explained(verdict=Verdict.NOT_FLAGGED, match=None, clique_size=0, replicas=0, blind_spot=0.751)
    assert text.startswith('No training image was given back for "Zebra by Jane Roe".')
    assert "no clique of 4 at tile-l2 0.12 was found" in text
    assert "replicates in 75 % of its generations or more" in text
    assert "may pass unseen" in text


def test_a_blind_spot_of_everything_rules_out_nothing():
    text = explained(verdict=Verdict.NOT_FLAGGED, match=None, blind_spot=1.0)
    assert "so few generations rule out nothing" in text


def test_a_near_miss_is_no_clean_bill():
    text = explained(verdict=Verdict.NOT_FLAGGED, near_miss=True, match=None, clique_size=0, replicas=1)
    assert text.startswith("Near miss:")
    assert "1 of 16 generations within l2 0.15" in text
    assert "can be chance" in text


def test_a_flagged_prompt_is_no_extraction():
    assert "it is no extraction" in explained(verdict=Verdict.FLAGGED, match=None)


@pytest.mark.parametrize(
    ("judged", "aside", "reason"),
    [
        (1, 3, "only 1 of 4 generations could be judged"),
        (7, 9, "only 7 of 16 generations could be judged"),
        (16, 0, "the search for a clique among 16 generations gave up before an answer"),
    ],
)
def test_an_undecided_prompt_says_why(judged, aside, reason):
    assert reason in explained(verdict=Verdict.UNDECIDED, match=None, generations=judged, set_aside=aside)


def test_generations_set_aside_are_counted():
    assert "3 generations more set aside: blank, broken or of another size" in explained(set_aside=3)


def test_what_a_filter_refused_and_what_a_folder_lacks_is_told_from_broken_pictures():
    assert "4 generations more set aside: refused by a content filter" in explained(set_aside=4, refused=4)
    assert "4 generations more set aside: 2 refused by a content filter, 1 not in the folder, 1 blank, " in (
        explained(set_aside=4, refused=2, absent=1)
    )


def test_a_prompt_of_which_a_folder_holds_too_few_pictures_says_so():
    assert "not at all: the folder holds 3 of the 4 generations that a look at it takes." in explained(
        verdict=Verdict.UNDECIDED, match=None, generations=3, set_aside=1, absent=1
    )


@pytest.mark.parametrize("verdict", list(Verdict))
@pytest.mark.parametrize("near_miss", [True, False])
def test_redacted_text_holds_neither_caption_nor_example_id(verdict, near_miss):
    finding = replace(FINDING, verdict=verdict, near_miss=near_miss)
    text = explained(redact=True, verdict=verdict, near_miss=near_miss) + one_line(finding, redact=True)
    assert "zebra" not in text.lower()
    assert "prompt 0123456789ab" in text


def test_one_line_names_prompt_and_figures():
    assert one_line(FINDING) == (
        '"Zebra by Jane Roe": 10 of 16 generations near a training image, nearest l2 0.031, 64 near-copies'
    )
    assert figures(replace(FINDING, match=None, replicas=0)) == (
        "0 of 16 generations near a training image, 9 nearly the same, 64 near-copies"
    )


def test_a_clean_rate_in_one_sentence():
    # 1 - 0.05^(1/320) = 0.00932; 4 generations: 0.75.
    assert rate_sentence(make_rate()) == (
        "0 of 320 prompt groups extracted; true rate among prompts like these at most 0.93 % (95 % "
        "confidence, one-sided exact binomial); limit 1 %; blind to prompts that replicate in fewer than "
        "75 % of generations"
    )


def test_a_rate_over_its_limit_says_so_with_its_lower_bound():
    text = explain_rate(make_rate(20), rerun="pytest x")
    assert text.startswith("The extraction rate is over the limit of 1 %.")
    # BetaQuantile(0.05; 20, 301) = 0.0418
    assert "at least 4.2 %" in text
    assert text.endswith("Repeat: pytest x")


@pytest.mark.parametrize(
    ("extracted", "undecided", "needed"),
    # From tables of binomial sampling plans at 1 % and 95 %: 473 for one, 628 for two.
    [(1, 0, "audit 473 groups in all, 153 more"), (1, 1, "audit 628 groups in all, 308 more")],
)
def test_an_inconclusive_rate_says_how_many_groups_would_settle_it(extracted, undecided, needed):
    text = explain_rate(make_rate(extracted, undecided=undecided))
    assert text.startswith("Inconclusive: the rate may be within the limit of 1 % or over it.")
    assert needed in text
    assert "if no further extraction is seen" in text


def test_a_frame_too_small_to_settle_a_rate_is_said_to_be():
    text = explain_rate(make_rate(groups=50, frame_size=50))
    assert "it would take 299 groups with no further extraction, and the frame has 50" in text


def test_flagged_prompts_that_count_as_extracted_are_said_to():
    text = explain_rate(make_rate(extracted=0, extracted_groups=2, flagged=2, upper=0.02))
    assert "flagged prompts count as extracted" in text


def test_a_passing_rate_says_within():
    assert explain_rate(make_rate()).startswith("The extraction rate is within the limit of 1 %.")


def test_controls_are_worded_with_what_they_do_not_show():
    positive = ControlResult(kind="positive", subject="planted", prompts=8, detected=7)
    negative = ControlResult(kind="negative", subject="recombined", prompts=60, detected=0)
    lines = explain_controls([positive, negative]).splitlines()
    assert lines[0].startswith("positive control: 7 of 8 prompts extracted (planted)")
    assert "not on another model" in lines[0]
    # 1 - 0.05^(1/60) = 0.0487
    assert lines[1].startswith("negative control: 0 of 60 prompts flagged (recombined): at most 4.9 %")
    assert "shows nothing" in explain_control(replace(negative, prompts=0))
    assert explain_controls([]).startswith("no control ran")


@given(st.floats(0, 1))
def test_only_zero_reads_as_0_and_only_one_as_100_percent(share):
    assert (percent(share) == "0 %") == (share == 0)
    assert (percent(share) == "100 %") == (share == 1)
    assert float(percent(share).removesuffix(" %")) == pytest.approx(100 * share, rel=0.06)


@given(st.floats(1e-6, 0.5), st.floats(-1e-3, 1e-3))
def test_a_share_stands_on_its_own_side_of_the_limit_in_print(limit, off):
    share = limit * (1 + off)
    shown, of_limit = (
        float(text.removesuffix(" %")) for text in (percent_beside(share, limit), percent(limit, 12))
    )
    if abs(off) > 1e-6:
        assert (shown > of_limit) == (share > limit)


@given(st.text(max_size=300))
def test_a_slug_is_short_plain_ascii_and_never_empty(text):
    slug = prompt_slug(text)
    assert 1 <= len(slug) <= 40
    assert set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert slug.strip("-") == slug


@given(st.text(max_size=300))
def test_a_quoted_text_prints_on_one_line(text):
    assert quoted(text).isprintable()


def test_explaining_and_asserting_load_nothing_heavy():
    code = (
        "import sys, memex_audit.assertions\n"
        "import memex_audit.reporting.json_report, memex_audit.reporting.terminal\n"
        "print([m for m in ('numpy', 'scipy', 'torch', 'PIL', 'allure', 'pytest') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
