"""Findings -> two figures as SVG: how near every prompt came, and the rate by duplication count.

The figures hold numbers only, no caption and no picture. They stand on a ground of their own, dark where
the reader's system is, so that they can be read wherever they are shown.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from memex_audit.explain import counted, percent
from memex_audit.rates.duplication_tiers import DuplicationTier, rates_by_duplication
from memex_audit.records import Finding, Verdict
from memex_audit.reporting.svg import Drawing

WIDTH = 760
LEFT, RIGHT, TOP = 58, 24, 78
PLOT_HEIGHT = 200
BASE = TOP + PLOT_HEIGHT
MOST_BINS = 40
MOST_FINE = 5  # bins under the match delta
MOST_TICKS = 10
STEPS = tuple(digit * 10.0**power for power in range(-5, 2) for digit in (1, 2, 5))
LABEL_ROOM = 16.0  # pixels that a count over a bar takes

# In the order they are stacked, from the axis upwards.
KINDS = ("extracted", "near miss", "flagged", "undecided", "nothing given back")


def distance_histogram(findings: Sequence[Finding], *, match_delta: float) -> str:
    """Draw for every prompt the smallest l2 of its generations to a training image, against the threshold.

    Args:
        findings: of the audit; those without a training image to compare with are counted in words.
        match_delta: l2 within which a generation is a training image; an edge of the bars.

    Returns:
        An SVG of about 10 KB. Bars left of the line are prompts that gave something back.
    """
    measured = [(finding.nearest, kind_of(finding)) for finding in findings if finding.nearest is not None]
    kinds = Counter(kind for _, kind in measured)
    without = len(findings) - len(measured)
    heading = "How near each prompt came to a training image"
    within = sum(distance <= match_delta for distance, _ in measured)
    said = (
        "Smallest l2 of a prompt's generations to a training image of its caption. "
        f"{len(measured):,} prompts, {within:,} within match delta"
    )
    if bounds := sum(finding.nearest_is_bound for finding in findings):
        said += f"; of {bounds:,} a bound from below"
    if without:
        said += f"; {without:,} not comparable"
    counted = ", ".join(f"{kinds[kind]:,} {kind}" for kind in KINDS if kinds[kind])
    drawing = Drawing(WIDTH, BASE + 54, title=heading, description=f"{said}. {counted or 'No prompt'}.")
    drawing.text(LEFT, 26, heading, size=16, weight="bold")
    drawing.text(LEFT, 46, said, size=11, css="soft")
    if not measured:
        drawing.text(WIDTH / 2, TOP + PLOT_HEIGHT / 2, "nothing to compare with", size=14, anchor="middle")
        return drawing.svg()
    _legend(drawing, [kind for kind in KINDS if kinds[kind]])
    _bars(drawing, measured, match_delta)
    return drawing.svg()


def rate_by_duplication(
    findings: Sequence[Finding], *, confidence: float, count_flagged: bool = False
) -> str:
    """Draw the extraction rate of prompt groups by how often their images stand in the training set.

    Args:
        findings: of the audit.
        confidence: of each tier's exact two-sided interval, in [0.5, 1).
        count_flagged: flagged prompts count as extracted, as in the rate.

    Returns:
        An SVG of about 5 KB.
    """
    tiers = rates_by_duplication(findings, confidence=confidence, count_flagged=count_flagged)
    heading = "Extraction rate by near-copies in the training set"
    said = (
        f"Prompt groups by the largest number of near-copies; bars: exact {percent(confidence)} interval "
        "(Clopper-Pearson)"
    )
    figures = "; ".join(
        f"{tier.name}: {tier.extracted:,} of {tier.groups:,}, {percent(tier.lower)} to {percent(tier.upper)}"
        f", {_replicas(tier)} of generations, {counted(tier.images, 'image')}"
        for tier in tiers
    )
    drawing = Drawing(WIDTH, BASE + 106, title=heading, description=f"{said}. {figures or 'No prompt'}.")
    drawing.text(LEFT, 26, heading, size=16, weight="bold")
    drawing.text(LEFT, 46, said, size=11, css="soft")
    _rate_axis(drawing)
    room = (WIDTH - LEFT - RIGHT) / max(len(tiers), 1)
    for number, tier in enumerate(tiers):
        _tier(drawing, tier, LEFT + (number + 0.5) * room)
    drawing.text(WIDTH / 2, BASE + 86, "near-copies in the training set, itself included", anchor="middle")
    below = "below each: groups extracted, share of generations that are replicas, training images given back"
    drawing.text(WIDTH / 2, BASE + 100, below, size=11, anchor="middle", css="soft")
    return drawing.svg()


def kind_of(finding: Finding) -> str:
    """Name what a finding is to a reader: near misses and what was given back stand out."""
    if finding.near_miss:
        return "near miss"
    return "nothing given back" if finding.verdict is Verdict.NOT_FLAGGED else finding.verdict.value


def _css(kind: str) -> str:
    return kind.replace(" ", "-")


def _legend(drawing: Drawing, kinds: Sequence[str]) -> None:
    left = float(LEFT)
    for kind in kinds:
        drawing.rectangle(left, 56, 11, 11, css=_css(kind))
        drawing.text(left + 16, 66, kind, size=12)
        left += 40 + 6.6 * len(kind)


def _bars(drawing: Drawing, measured: Sequence[tuple[float, str]], match_delta: float) -> None:
    width, n_bins = _bins(max(distance for distance, _ in measured), match_delta)
    bins: list[Counter[str]] = [Counter() for _ in range(n_bins)]
    for distance, kind in measured:
        bins[min(_bin(distance, width), n_bins - 1)][kind] += 1
    room = (WIDTH - LEFT - RIGHT) / n_bins
    tallest = max(sum(counts.values()) for counts in bins)
    scale = (PLOT_HEIGHT - LABEL_ROOM) / tallest
    _distance_axis(drawing, width, n_bins, overflows=_bin(max(d for d, _ in measured), width) >= n_bins)
    for number, counts in enumerate(bins):
        left, top = LEFT + number * room, float(BASE)
        for kind in KINDS:
            if counts[kind]:
                # One prompt among hundreds must be seen.
                height = max(counts[kind] * scale, 3.0)
                top -= height
                drawing.rectangle(left + 1, top, max(room - 2, 1.0), height, css=_css(kind))
        if total := sum(counts.values()):
            drawing.text(left + room / 2, top - 4, f"{total:,}", size=11, anchor="middle")
    threshold = LEFT + room * match_delta / width
    drawing.line(threshold, TOP - 6, threshold, BASE, css="threshold")
    drawing.text(threshold + 5, TOP + 4, f"match delta {match_delta:.3g}", size=12, css="mark", weight="bold")


def _bins(largest: float, match_delta: float) -> tuple[float, int]:
    """Return the width of a bar and how many: the match delta is an edge, and all fit in if they can."""
    for fine in range(MOST_FINE, 0, -1):
        width = match_delta / fine
        needed = max(math.ceil(largest / width * (1 + 1e-9)), 2 * fine)
        if needed <= MOST_BINS:
            return width, needed
    return match_delta, MOST_BINS


def _bin(distance: float, width: float) -> int:
    # A distance on an edge is within it, as it is within the match delta.
    return max(0, math.ceil(distance / width - 1e-9) - 1)


def _distance_axis(drawing: Drawing, width: float, n_bins: int, *, overflows: bool) -> None:
    room = (WIDTH - LEFT - RIGHT) / n_bins
    drawing.line(LEFT, BASE, WIDTH - RIGHT, BASE, css="axis")
    step = next(step for step in STEPS if n_bins * width <= MOST_TICKS * step)
    for number in range(math.floor(n_bins * width / step * (1 + 1e-9)) + 1):
        at = LEFT + room * number * step / width
        drawing.line(at, BASE, at, BASE + 4, css="axis")
        drawing.text(at, BASE + 18, f"{number * step:.4g}", size=11, anchor="middle", css="soft")
    more = "; the last bar holds all that lie further" if overflows else ""
    drawing.text(WIDTH / 2, BASE + 40, f"smallest l2 to a training image{more}", anchor="middle")
    drawing.text(LEFT - 10, BASE - PLOT_HEIGHT / 2, "prompts", anchor="middle", turned=True)


def _rate_axis(drawing: Drawing) -> None:
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        at = BASE - share * PLOT_HEIGHT
        drawing.line(LEFT, at, WIDTH - RIGHT, at, css="axis" if share == 0 else "grid")
        drawing.text(LEFT - 8, at + 4, percent(share), size=11, anchor="end", css="soft")


def _tier(drawing: Drawing, tier: DuplicationTier, middle: float) -> None:
    low, high = (BASE - share * PLOT_HEIGHT for share in (tier.lower, tier.upper))
    point = BASE - tier.extracted / tier.groups * PLOT_HEIGHT
    drawing.line(middle, low, middle, high, css="interval")
    for end in (low, high):
        drawing.line(middle - 7, end, middle + 7, end, css="interval")
    drawing.circle(middle, point, 5, css="extracted" if tier.extracted else "nothing-given-back")
    drawing.text(middle, BASE + 18, tier.name, size=12, anchor="middle", weight="bold")
    said = f"{tier.extracted:,} of {tier.groups:,}"
    drawing.text(middle, BASE + 33, said, size=11, anchor="middle", css="soft")
    below = [f"{_replicas(tier)} replicas", counted(tier.images, "image")]
    below += [f"{tier.undecided:,} undecided"] if tier.undecided else []
    for number, words in enumerate(below):
        drawing.text(middle, BASE + 46 + 12 * number, words, size=10, anchor="middle", css="soft")


def _replicas(tier: DuplicationTier) -> str:
    return percent(tier.replicas / tier.generations) if tier.generations else "no"


def figures_of(
    findings: Sequence[Finding], *, match_delta: float, confidence: float, count_flagged: bool
) -> Iterator[tuple[str, str]]:
    """Yield both figures with their names."""
    yield "distances to training images", distance_histogram(findings, match_delta=match_delta)
    yield (
        "extraction rate by near-copies",
        rate_by_duplication(findings, confidence=confidence, count_flagged=count_flagged),
    )
