"""Worked numbers of the pages, from the functions that an audit uses.

`python docs/scripts/worked_numbers.py` writes them between `<!-- worked_numbers.py: NAME -->` and
`<!-- end -->` of the pages, and the power curves to docs/assets/power.svg; a test fails where they are stale.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import binom

from memex_audit.config import Settings
from memex_audit.explain import percent, percent_beside
from memex_audit.extraction.calibration import negatives_needed
from memex_audit.extraction.protocol import SequentialTest, blind_spot, flag_power
from memex_audit.rates.attempts import attempt_of, extension_needed
from memex_audit.rates.bounds import binomial_lower, binomial_upper, groups_needed
from memex_audit.rates.frames import Stratum, bound_frame
from memex_audit.rates.planning import groups_to_pass, plan_audits
from memex_audit.rates.two_phase import sample_needed
from memex_audit.thresholds import planned_test

DOCS = Path(__file__).parents[1]
POWER_CURVES = DOCS / "assets" / "power.svg"
BLOCK = re.compile(r"(<!-- worked_numbers.py: ([a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
CONFIDENCE = 0.95
PROTOCOLS: Mapping[str, SequentialTest] = {
    "`default`: 4, then up to 32": planned_test(Settings()),
    "`--memex-generations 16`": planned_test(Settings(generations=16)),
    "`--memex-generations 64`": planned_test(Settings(generations=64)),
    "`carlini-2023`: 500": planned_test(Settings(preset="carlini-2023")),
}
# The chart's size and margins in pixels, and where its logarithmic axis begins.
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 760, 360, 56, 40, 28, 52
SMALLEST_SHARE = 0.005
COLOURS = ("#3949ab", "#00897b", "#f57c00", "#c2185b")


def clean_bounds() -> str:
    """Bound the rate where nothing was extracted, beside the rule of three."""
    rows = [
        (f"{n:,}", percent(binomial_upper(0, n, CONFIDENCE)), percent(3 / n))
        for n in (20, 59, 100, 299, 320, 500, 1_000, 3_000, 10_000)
    ]
    return _table(("groups, none extracted", "upper bound", "3 / n"), rows)


def some_bounds() -> str:
    """Bound the rate for a few extracted groups of 320, and judge it against 1 %."""
    rows = []
    for x in (0, 1, 2, 5, 6, 7, 8, 20):
        lower, upper = binomial_lower(x, 320, CONFIDENCE), binomial_upper(x, 320, CONFIDENCE)
        verdict = "pass" if upper <= 0.01 else "fail" if lower > 0.01 else "inconclusive"
        rows.append(
            (str(x), percent(x / 320), percent_beside(lower, 0.01), percent_beside(upper, 0.01), verdict)
        )
    return _table(("extracted of 320", "seen", "lower bound", "upper bound", "the rate case at 1 %"), rows)


def sizes() -> str:
    """Count the groups that a pass takes, and how often a good model reaches it."""
    rows = []
    for limit in (0.05, 0.01, 0.005, 0.001):
        needed = [groups_needed(limit, CONFIDENCE, x) for x in (0, 1, 2)]
        rows.append((percent(limit), *(f"{n:,}" for n in needed)))
    return _table(("limit", "0 extracted", "1 extracted", "2 extracted"), rows)


def passes() -> str:
    """Give the probability that the rate case passes at 1 %, by true rate and number of groups."""
    rates = (0.0, 0.0005, 0.001, 0.002, 0.005)
    rows = [
        (f"{n:,}", *(percent(pass_probability(n, rate, 0.01)) for rate in rates)) for n in (320, 473, 1_000)
    ]
    return _table(("groups", *(f"true rate {percent(rate)}" for rate in rates)), rows)


def pass_probability(n: int, rate: float, limit: float) -> float:
    """Return the probability that n groups at this true rate pass the limit."""
    most = max((x for x in range(n) if binomial_upper(x, n, CONFIDENCE) <= limit), default=-1)
    return float(binom.cdf(most, n, rate))


def power() -> str:
    """Give the probability of a flag by protocol and replicating share, and each protocol's blind spot."""
    shares = (0.01, 0.02, 0.05, 0.10, 0.25, 0.50, 0.75)
    rows = []
    for name, test in PROTOCOLS.items():
        chances = [_chance(float(p)) for p in flag_power(shares, test)]
        cliques = ", ".join(map(str, test.flag_at))
        rows.append((name, cliques, *chances, f"**{percent(blind_spot(test))}**"))
    head = ("generations a prompt", "clique that flags", *(percent(share) for share in shares), "blind spot")
    return _table(head, rows)


def _chance(p: float) -> str:
    return "> 99.9 %" if p > 0.999 else "< 0.1 %" if p < 0.001 else percent(p)


def exclusions() -> str:
    """Give the share that no edge among n generations excludes."""
    counts = (4, 8, 16, 32, 64, 128)
    rows = [("excludes shares above", *(percent(binomial_upper(1, n, CONFIDENCE)) for n in counts))]
    return _table(("no two alike among", *map(str, counts)), rows)


def negatives() -> str:
    """Count the negatives that a false alarm rate takes."""
    rows = [(percent(alpha), f"{negatives_needed(alpha):,}") for alpha in (0.10, 0.05, 0.02, 0.01)]
    return _table(("`--alpha`", "negative prompts, at least"), rows)


def costs() -> str:
    """Count network evaluations of an audit of 320 prompts at 50 guided steps."""
    rows = []
    for name, n in (
        ("`default`, every prompt stops after 4", 4),
        ("`default`, every prompt goes on to 32", 32),
        ("`--memex-generations 64`", 64),
        ("`carlini-2023`", 500),
    ):
        rows.append((name, f"{n:,}", f"{320 * n:,}", f"{320 * n * 50 * 2:,}"))
    return _table(("protocol", "pictures a prompt", "pictures", "network evaluations"), rows)


def frames() -> str:
    """Bound a frame of 5,000 groups of which 5 % are audited whole, by the sample of the others."""
    census = Stratum(size=250, sampled=250, extracted=3)
    rows = []
    for n in (100, 300, 1_000, 4_750):
        samples = (Stratum(size=4_750, sampled=n, extracted=x) for x in (0, 1))
        seen = [bound_frame((census, sample), CONFIDENCE) for sample in samples]
        rows.append((f"{n:,} of 4,750", *(f"{b.upper_groups:,}, {percent(b.upper)}" for b in seen)))
    return _table(("sampled below the cut", "none extracted there", "one extracted there"), rows)


def frame_sizes() -> str:
    """Count the groups that a clean sample must have, by the size of the frame."""
    rows = []
    for limit in (0.01, 0.001):
        sizes = (groups_to_pass(limit, CONFIDENCE, frame_size=n) for n in (50, 320, 1_000, 5_000, 100_000))
        unknown = groups_needed(limit, CONFIDENCE)
        rows.append((percent(limit), *(f"{size:,}" for size in sizes), f"{unknown:,}"))
    return _table(("limit", "N = 50", "320", "1,000", "5,000", "100,000", "not known"), rows)


def screened() -> str:
    """Count the groups to sample below the cut, by what was extracted above it."""
    found = (0, 3, 10, 30, 49, 51)
    needed = [sample_needed(0.01, CONFIDENCE, above=250, below=4_750, extracted_above=x) for x in found]
    row = ("sampled below", *("no sample passes" if n is None else f"{n:,}" for n in needed))
    return _table(("extracted above the cut", *map(str, found)), [row])


def plans() -> str:
    """Give what a pass of a first run takes at 0.1 %, and how likely it is."""
    rows = []
    for plan in plan_audits(0.001, attempt_of(1, CONFIDENCE).confidence):
        chances = (f"{100 * chance:.0f} %" for chance in plan.chances)
        rows.append((str(plan.allowed), f"{plan.groups:,}", *chances))
    head = ("may be extracted", "groups", "true rate 0.01 %", "true rate 0.05 %", "true rate 0.1 %")
    return _table(head, rows)


def attempts() -> str:
    """Count the clean groups of a first run, and those that its one extension takes in all."""
    first = attempt_of(1, CONFIDENCE).confidence
    rows = []
    for limit in (0.05, 0.01, 0.001):
        n = groups_needed(limit, first)
        needed = (groups_needed(limit, CONFIDENCE), n, extension_needed(limit, CONFIDENCE, n))
        rows.append((percent(limit), *(f"{groups:,}" for groups in needed)))
    head = ("limit", "a single run at 95 %", "first run at 95.5 %", "with its extension, at 99.5 %")
    return _table(head, rows)


TABLES: Mapping[str, Callable[[], str]] = {
    "attempts": attempts,
    "frame sizes": frame_sizes,
    "frames": frames,
    "plans": plans,
    "screened": screened,
    "clean bounds": clean_bounds,
    "some bounds": some_bounds,
    "sizes": sizes,
    "passes": passes,
    "power": power,
    "exclusions": exclusions,
    "negatives": negatives,
    "costs": costs,
}


def fill(page: str) -> str:
    """Return the page with every table as it is now."""
    return BLOCK.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]()}\n\n{found[3]}", page)


def power_curves() -> str:
    """Draw the probability of a flag against the replicating share, an SVG."""
    shares = np.geomspace(SMALLEST_SHARE, 1, 120)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="13"><title>Probability that a prompt is flagged, by the share of its generations that '
        f'replicate</title><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        *_axes(),
    ]
    for number, (name, test) in enumerate(PROTOCOLS.items()):
        chances = flag_power(shares, test)
        line = " ".join(f"{_across(s):.1f},{_down(c):.1f}" for s, c in zip(shares, chances, strict=True))
        x, colour = LEFT + 178 * number, COLOURS[number]
        parts.append(f'<polyline points="{line}" stroke="{colour}" stroke-width="2.5" fill="none"/>')
        parts.append(f'<rect x="{x}" y="14" width="18" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{x + 24}" y="21" fill="#222">{_plain(name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _axes() -> list[str]:
    """Draw lines at some probabilities, and name these and some shares; 95 % is dashed."""
    parts = []
    for chance in (0, 0.25, 0.5, 0.75, 0.95, 1):
        y, quoted = _down(chance), chance == CONFIDENCE
        line = 'stroke="#c62828" stroke-dasharray="5 4"' if quoted else 'stroke="#ddd"'
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" {line}/>')
        below = 12 if quoted else 2  # 95 % and 100 % would lie over each other
        parts.append(
            f'<text x="{LEFT - 8}" y="{y + below:.1f}" text-anchor="end" fill="#444">{chance:.0%}</text>'
        )
    for share in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1):
        x = _across(share)
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - 30}" text-anchor="middle" fill="#444">{100 * share:g} %</text>'
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    label = "share of the prompt's generations that replicate one picture"
    parts.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle" fill="#444">{label}</text>')
    return parts


def _across(share: float) -> float:
    return LEFT + (1 - math.log(share) / math.log(SMALLEST_SHARE)) * (WIDTH - LEFT - RIGHT)


def _down(chance: float) -> float:
    return TOP + (1 - chance) * (HEIGHT - TOP - BOTTOM)


def _plain(name: str) -> str:
    return name.replace("`", "").replace("--memex-generations", "generations")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rows))


def main() -> None:
    """Write the tables and the curves."""
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        if (filled := fill(text)) != text:
            page.write_text(filled, encoding="utf-8")
    POWER_CURVES.write_text(power_curves(), encoding="utf-8")


if __name__ == "__main__":
    main()
