"""Minimal triggers of the specimen's memorized captions, and what a screen before the generations would do.

`python benchmarks/triggers.py` prints the tables of docs/how-to/triggers.md. A text that a screen's
calibrated threshold does not flag would be skipped: `triggers lost` are texts that do give the image back.
"""

from dataclasses import replace
from pathlib import Path

import click

from memex_audit.config import Settings
from memex_audit.records import ScreenScore
from memex_audit.screening.screens import SCREENS, screen_prompts
from memex_audit.specimen.measure import read_roles
from memex_audit.triggers.search import find_shortest
from memex_audit.triggers.triggering import TriggerTest
from memex_audit.workbench import Workbench

BUDGET = 200
# Probes that stand so often in the training set are memorized.
COPIES = 16


@click.command()
@click.option("--store", type=click.Path(path_type=Path), default=Path(".memex"), show_default=True)
def main(store: Path) -> None:
    """Search the trigger of every memorized caption, then screen every text that was tried."""
    bench = Workbench(Settings(model="specimen:duplicated", store=str(store)), Path.cwd())
    roles = read_roles()
    memorized = [
        p for p in bench.prompts.prompts if roles[p.text][0] == "probe" and roles[p.text][1] >= COPIES
    ]
    audit = bench.audit(replace(bench.prompts, prompts=tuple(memorized)))
    tried: list[tuple[str, bool, int]] = []
    print("| caption | shortest prompt | words | replaced | generations |\n|---|---|---|---|---|")
    for prompt in memorized:
        finding = audit.finding(prompt)
        assert finding.match is not None
        test = TriggerTest(bench, finding.match.example_id, BUDGET)

        def passes(text: str, test: TriggerTest = test) -> bool | None:
            before = test.generations
            answer = test(text)
            tried.append((text, bool(answer), test.generations - before))
            return answer

        found = find_shortest(prompt.text.split(), passes)
        n_words = len(prompt.text.split())
        print(
            f"| {prompt.text} | {found.text} | {len(found.kept)} of {n_words} | {found.replaced} | "
            f"{test.generations} |"
        )
    print_screens(bench, tried)


def print_screens(bench: Workbench, tried: list[tuple[str, bool, int]]) -> None:
    """Print what each screen would have skipped, and lost."""
    cost = bench.generator.evaluations_per_image
    triggers = [text for text, answer, _ in tried if answer]
    spent = sum(generations for _, _, generations in tried) * cost
    print(f"\n{len(tried)} texts tried, {len(triggers)} triggered, {spent:,} network evaluations\n")
    print("| screen | triggers lost | others skipped | evaluations saved | evaluations spent |")
    print("|---|---|---|---|---|")
    thresholds = {screen.name: screen.threshold for screen in bench.calibration.screens}
    for name in SCREENS:
        scores = scores_of(bench, name, [text for text, _, _ in tried])
        skipped = [entry for entry in tried if scores[entry[0]].score <= thresholds[name]]
        lost = sum(answer for _, answer, _ in skipped)
        saved = sum(generations for _, answer, generations in skipped if not answer) * cost
        own = sum(scores[text].network_evaluations for text, _, _ in tried)
        print(
            f"| {name} | {lost} of {len(triggers)} | {len(skipped) - lost} of {len(tried) - len(triggers)} | "
            f"{saved:,} | {own:,} |"
        )


def scores_of(bench: Workbench, name: str, texts: list[str]) -> dict[str, ScreenScore]:
    """Return a screen's score of each text."""
    taken = screen_prompts(
        lambda: bench.generator, name, texts, request=bench.unit_store.request, batch_size=32,
        kept=bench.screen_scores,
    )  # fmt: skip
    return dict(zip(texts, taken, strict=True))


if __name__ == "__main__":
    main()
