"""Runs of several checkpoints -> one figure as SVG: the extraction rate of each with its bounds."""

from collections.abc import Sequence
from dataclasses import dataclass

from memex_audit.comparing import AuditComparison, model_name
from memex_audit.explain import percent
from memex_audit.rates.bounds import binomial_lower, binomial_upper
from memex_audit.records import Rate
from memex_audit.reporting.svg import Drawing

WIDTH = 760
LEFT, RIGHT, TOP, PLOT_HEIGHT = 62, 24, 62, 220
BASE = TOP + PLOT_HEIGHT
TOPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0)
LINES = 4
LONGEST_NAME = 26
CLOSE = 150  # pixels between points that are too few for names on one line


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRate:
    """One point of the figure: `extracted` of `units`, between one-sided bounds at `confidence`."""

    name: str
    extracted: int
    units: int
    lower: float
    upper: float
    confidence: float
    unit: str
    limit: float | None = None

    @classmethod
    def of(cls, model: str, rate: Rate) -> "CheckpointRate":
        """Return the point of a run."""
        return cls(
            name=model_name(model),
            extracted=rate.extracted_groups,
            units=rate.groups,
            lower=rate.lower,
            upper=rate.upper,
            confidence=rate.confidence,
            unit=rate.unit.value,
            limit=rate.limit,
        )

    @classmethod
    def pair(cls, compared: AuditComparison) -> "tuple[CheckpointRate, ...]":
        """Return the points of two audits over the units that both decided, each with its binomial bounds."""
        found = compared.found
        if not found.pairs:
            return ()
        sides = ((compared.before, found.both + found.no_longer), (compared.after, found.both + found.newly))
        return tuple(
            cls(
                name=side.model,
                extracted=extracted,
                units=found.pairs,
                lower=binomial_lower(extracted, found.pairs, found.confidence),
                upper=binomial_upper(extracted, found.pairs, found.confidence),
                confidence=found.confidence,
                unit=found.unit.value,
            )
            for side, extracted in sides
        )


def rate_by_checkpoint(rates: Sequence[CheckpointRate]) -> str:
    """Draw the extraction rate of every checkpoint, in the order given, with its bounds and the limit.

    Args:
        rates: of the runs, oldest first.

    Returns:
        An SVG that is as wide as it needs to be for their names.
    """
    heading = "Extraction rate by checkpoint"
    said = "nothing to show"
    if rates:
        said = (
            f"Share of {rates[-1].unit}s extracted; bars: lower and upper bound, each one-sided at "
            f"{percent(rates[-1].confidence)}"
        )
    figures = "; ".join(
        f"{rate.name}: {rate.extracted:,} of {rate.units:,}, {percent(rate.lower)} to {percent(rate.upper)}"
        for rate in rates
    )
    width = max(WIDTH, LEFT + RIGHT + 90 * len(rates))
    drawing = Drawing(width, BASE + 66, title=heading, description=f"{said}. {figures}.")
    drawing.text(LEFT, 26, heading, size=16, weight="bold")
    drawing.text(LEFT, 46, said, size=11, css="soft")
    top = next(top for top in TOPS if top >= min(1.0, max([rate.upper for rate in rates], default=1.0)))
    _axis(drawing, width, top)
    _limit(drawing, width, top, rates)
    room = (width - LEFT - RIGHT) / max(len(rates), 1)
    # Names side by side would run into each other where there are many: every other one stands lower.
    lines = 2 if room < CLOSE else 1
    for number, rate in enumerate(rates):
        _point(drawing, rate, LEFT + (number + 0.5) * room, top, line=number % lines, lines=lines)
    return drawing.svg()


def _axis(drawing: Drawing, width: int, top: float) -> None:
    for number in range(LINES + 1):
        at = BASE - number / LINES * PLOT_HEIGHT
        drawing.line(LEFT, at, width - RIGHT, at, css="axis" if number == 0 else "grid")
        drawing.text(LEFT - 8, at + 4, percent(number / LINES * top, 3), size=11, anchor="end", css="soft")


def _limit(drawing: Drawing, width: int, top: float, rates: Sequence[CheckpointRate]) -> None:
    limits = {rate.limit for rate in rates}
    limit = limits.pop() if len(limits) == 1 else None
    if limit is None or limit > top:
        return
    at = BASE - limit / top * PLOT_HEIGHT
    drawing.line(LEFT, at, width - RIGHT, at, css="threshold")
    drawing.text(width - RIGHT, at - 5, f"limit {percent(limit)}", anchor="end", css="mark", weight="bold")


def _point(drawing: Drawing, rate: CheckpointRate, x: float, top: float, *, line: int, lines: int) -> None:
    low, high = (BASE - share / top * PLOT_HEIGHT for share in (rate.lower, rate.upper))
    drawing.line(x, low, x, high, css="interval")
    for end in (low, high):
        drawing.line(x - 7, end, x + 7, end, css="interval")
    share = rate.extracted / rate.units if rate.units else 0.0
    css = "extracted" if rate.extracted else "nothing-given-back"
    drawing.circle(x, BASE - share / top * PLOT_HEIGHT, 5, css=css)
    name = rate.name if len(rate.name) <= LONGEST_NAME else f"{rate.name[: LONGEST_NAME - 3]}..."
    drawing.text(x, BASE + 18 + 15 * line, name, size=11, anchor="middle", weight="bold")
    drawing.text(
        x,
        BASE + 19 + 15 * lines,
        f"{rate.extracted:,} of {rate.units:,}",
        size=11,
        anchor="middle",
        css="soft",
    )
