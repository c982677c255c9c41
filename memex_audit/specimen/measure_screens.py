"""Measure what the screens tell apart on the twins, on captions that no calibration used.

`python -m memex_audit.specimen.measure_screens --write-docs` writes the tables of docs/screens.md and the
figure docs/assets/screens-roc.svg. Positives: probes of the duplicated twin with eight copies or more.
Negatives: captions without a word of a probe, the half whose prompt id is odd; the other half calibrated.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from memex_audit.config import Settings
from memex_audit.extraction.calibration_file import read_calibration
from memex_audit.rates.bounds import binomial_lower, binomial_upper
from memex_audit.rates.roc import area_interval, area_under_roc, roc_curve
from memex_audit.records import ScreenThreshold
from memex_audit.screening.screens import SCREENS, screen_prompts
from memex_audit.specimen import HELD_OUT_CAPTIONS, PREFIX, TWINS, twin_folder
from memex_audit.specimen.measure import BEGIN, END, is_published, read_roles, write_between
from memex_audit.specimen.screen_roc import draw_roc, found_at
from memex_audit.specimen.train import content_words
from memex_audit.training_set.prompts import prompt_id_of
from memex_audit.workbench import Workbench

# Screen, seeds, steps.
TAKEN = (
    ("guidance-difference", 1, 1), ("guidance-difference", 4, 1), ("guidance-difference", 1, 5),
    ("guidance-difference", 4, 5), ("anisotropy", 1, 1), ("anisotropy", 4, 1), ("one-step-clique", 4, 1),
)  # fmt: skip
MEMORIZED_FROM = 8
FALSE_POSITIVES = 0.01
CONFIDENCE = 0.95
PAGE, FIGURE = Path("docs/screens.md"), Path("docs/assets/screens-roc.svg")

Scores = Mapping[str, float]


@click.command()
@click.option("--store", type=click.Path(path_type=Path), default=Path(".memex"), show_default=True)
@click.option("--write-docs", is_flag=True, help="Write the tables and the figure of docs/screens.md.")
def main(store: Path, write_docs: bool) -> None:
    """Screen both twins and print what each screen tells apart."""
    benches = {twin: bench_of(twin, store) for twin in TWINS}
    probes = {caption: copies for caption, (role, copies) in read_roles().items() if role == "probe"}
    others = negatives()
    scores = {
        (twin, *taken): score(benches[twin], [*probes, *others], *taken) for twin in TWINS for taken in TAKEN
    }
    thresholds = {
        twin: read_calibration(twin_folder(PREFIX + twin) / "memex-calibration.json").screens
        for twin in TWINS
    }
    text = "\n\n".join(
        [
            summary_table(scores, probes, others),
            copies_table(scores, probes, others, thresholds),
        ]
    )
    click.echo(text)
    if write_docs:
        write_between(PAGE, BEGIN, text, END)
        FIGURE.write_text(figure(scores, probes, others))


def bench_of(twin: str, store: Path) -> Workbench:
    """Return what screens a twin, with the seeds of an audit."""
    return Workbench(Settings(model=PREFIX + twin, store=str(store)), Path.cwd())


def negatives() -> list[str]:
    """Return captions under which nothing was learned by heart, and that no calibration used."""
    roles = read_roles()
    ordinary = [caption for caption, (role, _) in roles.items() if role != "probe"]
    probed = {w for caption, (role, _) in roles.items() if role == "probe" for w in content_words(caption)}
    return sorted(
        caption
        for caption in {*ordinary, *HELD_OUT_CAPTIONS.read_text("utf-8").splitlines()}
        if is_published(prompt_id_of(caption)) and not content_words(caption) & probed
    )


def score(bench: Workbench, captions: Sequence[str], name: str, seeds: int, steps: int) -> Scores:
    """Return the score of each caption; what the store has is not taken again."""
    found = screen_prompts(
        lambda: bench.generator, name, captions, request=bench.unit_store.request, seeds=seeds, steps=steps,
        batch_size=bench.batch_size, kept=bench.screen_scores,
    )  # fmt: skip
    return {caption: entry.score for caption, entry in zip(captions, found, strict=True)}


def memorized(probes: Mapping[str, int]) -> list[str]:
    """Return the probes that the duplicated twin learned by heart."""
    return [caption for caption, copies in probes.items() if copies >= MEMORIZED_FROM]


def summary_table(
    scores: Mapping[tuple[str, str, int, int], Scores], probes: Mapping[str, int], others: Sequence[str]
) -> str:
    """Return the Markdown table of every screen taken: cost, area, and what 1 % false positives find."""
    lines = [
        "| screen | seeds | steps | NFE a prompt | AUC | negatives flagged | memorized prompts found "
        "| AUC against the clean twin |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for taken in TAKEN:
        name, seeds, steps = taken
        own, clean = scores["duplicated", *taken], scores["deduplicated", *taken]
        above = [own[caption] for caption in memorized(probes)]
        below = [own[caption] for caption in others]
        curve = roc_curve(above, below)
        allowed = int(FALSE_POSITIVES * len(below))
        found = found_at(curve, allowed)
        flagged = min(n for n, hits in curve if hits == found)
        cells = [
            name, seeds, steps, seeds * SCREENS[name].evaluations(steps), area(above, below),
            share(flagged, len(below)), share(found, len(above)),
            area(above, [clean[caption] for caption in memorized(probes)]),
        ]  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def copies_table(
    scores: Mapping[tuple[str, str, int, int], Scores],
    probes: Mapping[str, int],
    others: Sequence[str],
    thresholds: Mapping[str, Sequence[ScreenThreshold]],
) -> str:
    """Return the Markdown table of what each calibrated threshold flags, by copies, in both twins."""
    counts = sorted(set(probes.values()))
    lines = [
        "| twin | screen | "
        + " | ".join("1 copy" if count == 1 else f"{count} copies" for count in counts)
        + " | negatives |",
        "|---|---|" + "---|" * (len(counts) + 1),
    ]
    for twin in TWINS:
        for threshold in thresholds[twin]:
            found = scores[twin, threshold.name, threshold.seeds, threshold.steps]
            cells = [twin, threshold.name]
            for count in counts:
                those = [caption for caption, copies in probes.items() if copies == count]
                cells.append(f"{sum(found[c] > threshold.threshold for c in those)} of {len(those)}")
            cells.append(share(sum(found[c] > threshold.threshold for c in others), len(others)))
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def area(above: Sequence[float], below: Sequence[float]) -> str:
    """Return the area under the curve with its interval, in words of a table."""
    low, high = area_interval(above, below, CONFIDENCE)
    return f"{area_under_roc(above, below):.3f} [{low:.3f}, {high:.3f}]"


def share(x: int, n: int) -> str:
    """Return a count with the exact interval of its share, in words of a table."""
    one_side = (1 + CONFIDENCE) / 2
    return f"{x} of {n} [{binomial_lower(x, n, one_side):.1%}, {binomial_upper(x, n, one_side):.1%}]"


def figure(
    scores: Mapping[tuple[str, str, int, int], Scores], probes: Mapping[str, int], others: Sequence[str]
) -> str:
    """Return the ROC curves of the screens as they are taken by default, and anisotropy with four seeds."""
    shown = {}
    for name, seeds, steps in (
        ("guidance-difference", 4, 1),
        ("anisotropy", 4, 1),
        ("one-step-clique", 4, 1),
    ):
        own = scores["duplicated", name, seeds, steps]
        shown[name] = ([own[c] for c in memorized(probes)], [own[c] for c in others])
    said = (
        f"Duplicated twin, four seeds, one step: {len(memorized(probes))} probes with at least "
        f"{MEMORIZED_FROM} copies, {len(others)} negatives; bars: exact 95 % interval"
    )
    return draw_roc(shown, said=said)


if __name__ == "__main__":
    main()
