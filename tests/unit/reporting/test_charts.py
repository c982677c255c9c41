import re
from dataclasses import replace
from functools import partial
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memex_audit.records import Verdict
from memex_audit.reporting.charts import distance_histogram, kind_of, rate_by_duplication
from memex_audit.reporting.svg import Drawing

SVG = "{http://www.w3.org/2000/svg}"
DELTA = 0.1


def shapes(svg, tag, css):
    """Return the attributes of shapes of one class."""
    return [one.attrib for one in ET.fromstring(svg).iter(SVG + tag) if one.get("class") == f"memex-{css}"]


def texts(svg, css=""):
    """Return what is written, in all classes or in one."""
    return [one.text for one in ET.fromstring(svg).iter(SVG + "text") if css in one.get("class")]


def span(bar):
    """Return where a bar begins and ends, and its height."""
    left, width = float(bar["x"]), float(bar["width"])
    return left, left + width, float(bar["height"])


def threshold(svg):
    (line,) = shapes(svg, "line", "threshold")
    return float(line["x1"])


@pytest.fixture
def clean(finding):
    return replace(finding, verdict=Verdict.NOT_FLAGGED, near_miss=False, match=None, nearest=0.3)


def test_bars_of_what_was_given_back_lie_left_of_the_threshold_and_clean_ones_right(
    finding, near_miss, clean
):
    near = replace(near_miss, nearest=DELTA)
    svg = distance_histogram([finding, near, clean], match_delta=DELTA)
    # The first of each is the legend's.
    (_, given), (_, missed), (_, far) = (
        shapes(svg, "rect", css) for css in ("extracted", "near-miss", "nothing-given-back")
    )
    assert span(given)[1] < span(missed)[1] <= threshold(svg) < span(far)[0]


def test_a_distance_on_the_match_delta_is_within_it_and_one_beyond_is_not(near_miss, clean):
    svg = distance_histogram(
        [replace(near_miss, nearest=DELTA), replace(clean, nearest=DELTA * 1.000001)], match_delta=DELTA
    )
    (_, near), (_, far) = shapes(svg, "rect", "near-miss"), shapes(svg, "rect", "nothing-given-back")
    assert span(near)[1] <= threshold(svg) <= span(far)[0]


def test_one_near_miss_among_thousands_can_be_seen(near_miss, clean):
    svg = distance_histogram([replace(near_miss, nearest=0.05), *[clean] * 5000], match_delta=DELTA)
    (bar,) = shapes(svg, "rect", "near-miss")[1:]
    assert span(bar)[2] >= 3
    assert "1" in texts(svg)
    assert "5,000" in texts(svg)


def test_the_figure_says_in_words_what_it_shows(finding, near_miss, clean):
    near, none = replace(near_miss, nearest=0.09), replace(clean, nearest=None)
    svg = distance_histogram([finding, near, clean, clean, none], match_delta=DELTA)
    root = ET.fromstring(svg)
    assert root.find(SVG + "title").text == "How near each prompt came to a training image"
    assert root.find(SVG + "desc").text == (
        "Smallest l2 of a prompt's generations to a training image of its caption. 4 prompts, 2 within match "
        "delta; 1 not comparable. 1 extracted, 1 near miss, 2 nothing given back."
    )
    assert "match delta 0.1" in texts(svg)


def test_nothing_to_compare_with_is_said_and_no_bar_is_drawn(clean):
    svg = distance_histogram([replace(clean, nearest=None)], match_delta=DELTA)
    assert "nothing to compare with" in texts(svg)
    assert shapes(svg, "line", "threshold") == []


def test_what_lies_far_beyond_a_small_threshold_is_put_into_a_last_bar_that_says_so(clean):
    svg = distance_histogram([clean, replace(clean, nearest=1.0)], match_delta=0.005)
    assert any("the last bar holds all that lie further" in text for text in texts(svg))
    assert len(shapes(svg, "rect", "nothing-given-back")) == 2


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.floats(0.001, 1))
def test_every_prompt_is_counted_once_and_every_bar_lies_in_the_picture(clean, measured, delta):
    svg = distance_histogram([replace(clean, nearest=one) for one in measured], match_delta=delta)
    _, *bars = shapes(svg, "rect", "nothing-given-back")
    counts = [int(text) for text in texts(svg, "ink") if text.isdigit()]
    assert sum(counts) == len(measured)
    for bar in bars:
        left, right, height = span(bar)
        assert left >= 58
        assert right <= 760 - 24 + 1
        assert 0 < height <= 200
    assert 58 <= threshold(svg) <= 760 - 24 + 0.1


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_tier_shows_its_share_and_its_interval(clean, finding, share):
    those = [
        replace(finding if number < 8 * share else clean, group_id=str(number), duplication_count=64)
        for number in range(8)
    ]
    svg = rate_by_duplication(those, confidence=0.95)
    (point,) = shapes(svg, "circle", "extracted" if share else "nothing-given-back")
    stem, *ends = shapes(svg, "line", "interval")
    low, high = float(stem["y1"]), float(stem["y2"])
    assert [float(end["y1"]) for end in ends] == [low, high]
    assert high <= float(point["cy"]) <= low
    # 0 or 8 of 8, two-sided 95 %: the free end is 1 - 0.025^(1/8) = 0.3694 away.
    assert (low - high) / 200 == pytest.approx(0.3694, abs=0.001)
    assert {"64-127", f"{8 * share:.0f} of 8"} <= set(texts(svg))


def test_tiers_are_told_in_words_and_undecided_groups_are_shown(clean, finding):
    undecided = replace(clean, verdict=Verdict.UNDECIDED, group_id="u", duplication_count=2)
    svg = rate_by_duplication([finding, undecided], confidence=0.95)
    description = ET.fromstring(svg).find(SVG + "desc").text
    assert "2-3: 0 of 1, 0 % to 100 %, 56 % of generations, 0 images; 64-127: 1 of 1" in description
    assert "1 undecided" in texts(svg)


def test_a_tier_shows_replicas_and_training_images_beside_its_groups(clean, finding):
    drawn = replace(finding, generations=16, replicas=8)
    same_image = replace(drawn, prompt_id="other", group_id="other")
    nothing = replace(
        clean, group_id="n", duplication_count=finding.duplication_count, generations=8, replicas=0
    )
    svg = rate_by_duplication([drawn, same_image, nothing], confidence=0.95)
    assert {"2 of 3", "40 % replicas", "1 image"} <= set(texts(svg))


def test_no_finding_gives_a_picture_without_a_tier():
    svg = rate_by_duplication([], confidence=0.95)
    assert shapes(svg, "line", "interval") == []
    assert "No prompt" in ET.fromstring(svg).find(SVG + "desc").text


@pytest.mark.parametrize(
    "draw",
    [
        partial(distance_histogram, match_delta=DELTA),
        partial(rate_by_duplication, confidence=0.95),
    ],
    ids=["histogram", "rate"],
)
def test_a_figure_runs_nothing_fetches_nothing_and_holds_no_caption(draw, finding, near_miss, clean):
    svg = draw([finding, near_miss, clean])
    tags = {one.tag.removeprefix(SVG) for one in ET.fromstring(svg).iter()}
    assert tags <= {"svg", "title", "desc", "style", "rect", "line", "circle", "text"}
    assert re.findall(r"https?://[^\"]+", svg) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"url\(|@import|\bon\w+=|href", svg)
    assert "zebra" not in svg.lower()
    assert len(svg) < 20_000


def test_every_colour_has_one_for_a_dark_ground():
    style = ET.fromstring(Drawing(10, 10, title="t", description="d").svg()).find(SVG + "style").text
    light, dark = style.split("@media (prefers-color-scheme:dark)")
    names = re.compile(r"\.memex-[a-z-]+")
    assert set(names.findall(light)) - {".memex-threshold"} <= set(names.findall(dark))
    assert ".memex-ground" in light


def test_a_text_cannot_end_its_element():
    drawing = Drawing(10, 10, title="</title><script>", description="a & b\x00")
    drawing.text(0, 0, '<image href="x"/>\x1b')
    root = ET.fromstring(drawing.svg())
    assert root.find(SVG + "title").text == "</title><script>"
    assert root.find(SVG + "desc").text == "a & b?"
    assert texts(drawing.svg()) == ['<image href="x"/>?']


@pytest.mark.parametrize(
    ("verdict", "near", "kind"),
    [
        (Verdict.EXTRACTED, False, "extracted"),
        (Verdict.NOT_FLAGGED, True, "near miss"),
        (Verdict.FLAGGED, True, "near miss"),
        (Verdict.FLAGGED, False, "flagged"),
        (Verdict.UNDECIDED, False, "undecided"),
        (Verdict.NOT_FLAGGED, False, "nothing given back"),
    ],
)
def test_a_near_miss_is_told_first_whatever_else_a_prompt_is(finding, verdict, near, kind):
    assert kind_of(replace(finding, verdict=verdict, near_miss=near)) == kind


def test_the_figure_says_how_many_distances_are_bounds(finding, clean):
    bound = replace(clean, nearest_is_bound=True)
    assert "of 2 a bound from below" in distance_histogram([finding, bound, bound], match_delta=DELTA)
    assert "bound from below" not in distance_histogram([finding, clean], match_delta=DELTA)
