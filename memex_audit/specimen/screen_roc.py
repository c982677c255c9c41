"""Draw ROC curves of screens as SVG, one panel a screen, with exact intervals."""

import math
from collections.abc import Mapping, Sequence

from memex_audit.explain import percent
from memex_audit.rates.bounds import binomial_lower, binomial_upper
from memex_audit.rates.roc import roc_curve
from memex_audit.reporting.svg import Drawing

PANEL, GAP, LEFT, TOP = 190, 54, 58, 96
LEAST_RATE = 0.001
RATES = (0.001, 0.01, 0.1, 1.0)
# False positive rates at which the curve gets its interval.
MARKED = (0.01, 0.1, 0.5)
ONE_SIDE = 0.975

Scores = Mapping[str, tuple[Sequence[float], Sequence[float]]]


def draw_roc(scores: Scores, *, said: str) -> str:
    """Draw a panel for each screen: positives found against negatives flagged, the latter on a log scale.

    Args:
        scores: of positives and negatives, by the name of the screen.
        said: what the prompts are, in a line.

    Returns:
        An SVG. Bars are exact 95 % intervals (Clopper-Pearson) of the share found where at most 1 %, 10 % and
        50 % of the negatives are flagged.
    """
    width = LEFT + len(scores) * (PANEL + GAP)
    heading = "What each screen finds, by how many negatives it flags"
    drawing = Drawing(width, TOP + PANEL + 64, title=heading, description=f"{said}. {_in_words(scores)}")
    drawing.text(LEFT, 26, heading, size=16, weight="bold")
    drawing.text(LEFT, 46, said, size=11, css="soft")
    for number, (name, (positives, negatives)) in enumerate(scores.items()):
        left = LEFT + number * (PANEL + GAP)
        drawing.text(left, TOP - 12, name, size=13, weight="bold")
        _axes(drawing, left, first=number == 0)
        _curve(drawing, left, roc_curve(positives, negatives), len(positives), len(negatives))
    drawing.text(width / 2, TOP + PANEL + 48, "negatives flagged (log scale)", anchor="middle")
    drawing.text(LEFT - 42, TOP + PANEL / 2, "memorized prompts flagged", anchor="middle", turned=True)
    return drawing.svg()


def found_at(curve: Sequence[tuple[int, int]], most_flagged: int) -> int:
    """Return how many positives are flagged at the most sensitive threshold that flags so many negatives."""
    return max(found for flagged, found in curve if flagged <= most_flagged)


def _in_words(scores: Scores) -> str:
    words = []
    for name, (positives, negatives) in scores.items():
        found = found_at(roc_curve(positives, negatives), int(0.01 * len(negatives)))
        words.append(f"{name}: {found} of {len(positives)} at 1 % of {len(negatives)} negatives")
    return "; ".join(words) + "."


def _axes(drawing: Drawing, left: float, *, first: bool) -> None:
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        at = _up(share)
        drawing.line(left, at, left + PANEL, at, css="axis" if share == 0 else "grid")
        if first:
            drawing.text(left - 8, at + 4, percent(share), size=11, anchor="end", css="soft")
    for rate in RATES:
        drawing.line(_across(left, rate), TOP, _across(left, rate), TOP + PANEL, css="grid")
        drawing.text(
            _across(left, rate), TOP + PANEL + 18, percent(rate), size=11, anchor="middle", css="soft"
        )


def _curve(
    drawing: Drawing, left: float, curve: Sequence[tuple[int, int]], n_positives: int, n_negatives: int
) -> None:
    across, level = left, _up(found_at(curve, 0) / n_positives)
    corners = [step for before, step in zip([(0, 0), *curve], curve, strict=False) if step[1] > before[1]]
    # What one more negative costs, then what it finds.
    for flagged, found in [*corners, curve[-1]]:
        onward, up = _across(left, flagged / n_negatives), _up(found / n_positives)
        if onward > across:
            drawing.line(across, level, onward, level, css="interval")
        if up < level:
            drawing.line(onward, level, onward, up, css="interval")
        across, level = onward, min(up, level)
    for rate in MARKED:
        found = found_at(curve, int(rate * n_negatives))
        across = _across(left, rate)
        low = _up(binomial_lower(found, n_positives, ONE_SIDE))
        high = _up(binomial_upper(found, n_positives, ONE_SIDE))
        drawing.line(across, low, across, high, css="threshold")
        drawing.circle(across, _up(found / n_positives), 4, css="mark")


def _up(share: float) -> float:
    return TOP + (1 - share) * PANEL


def _across(left: float, rate: float) -> float:
    """No negative flagged stands at the left edge, which has no place of its own on a log scale."""
    decades = math.log10(max(rate, LEAST_RATE) / LEAST_RATE) / math.log10(1 / LEAST_RATE)
    return left + PANEL * decades
