"""What a decision costs, next to the study's 500 generations a prompt, and what it misses.

    python benchmarks/decision_cost.py [--quick] [--write-docs]

Replays measured outcomes (benchmarks/data, made by full_protocol.py): for each prompt the 500 generations of
the full protocol are put into random orders, and each method decides on the first ones as it would in an
audit. A frame is the specimen's 336 groups, or 5,000 drawn from them; a caption that was not measured has the
outcomes of a measured one of its kind. Nothing is drawn or timed. The last line is JSON; the exit code is 1
where a target is missed.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memex_audit.config import Settings
from memex_audit.explain import percent
from memex_audit.extraction.calibration_file import read_calibration
from memex_audit.extraction.cliques import CliqueStatus, find_clique
from memex_audit.extraction.protocol import SequentialTest, blind_spot, plan_look
from memex_audit.rates.attempts import attempt_of
from memex_audit.rates.frames import Stratum, bound_frame
from memex_audit.rates.two_phase import cut_at_share, sample_needed
from memex_audit.screened_set import LEAST_CENSUS, PLANNED_SHARE
from memex_audit.screening.screens import SCREENS
from memex_audit.specimen import PREFIX, TWINS, twin_folder
from memex_audit.specimen.measure import read_roles, write_between
from memex_audit.thresholds import planned_test

DATA = Path(__file__).with_name("data")
DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- benchmarks/decision_cost.py: begin -->", "<!-- benchmarks/decision_cost.py: end -->"
FULL, CLIQUE, STEPS_COST = 500, 10, 20
LIMIT, CONFIDENCE, SEED = 0.01, 0.95, 2023
LARGE = 5_000
# Shares of the frames of 5,000 that behave as in the twin that memorized: extraction rates from 0 to 7 %.
SHARES = (0.0, 0.02, 0.05, 0.07, 0.3, 1.0)
SCREENED_SHARE = 0.07
CLEAN, FLAGGED, EXTRACTED = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The full protocol's generations of one prompt."""

    caption: str
    twin: str
    memorized_kind: bool  # a probe, which has near-copies in the duplicated set
    graph: NDArray[np.bool_]
    near: NDArray[np.bool_]

    @property
    def share(self) -> float:
        return float(self.near.mean())

    @property
    def extracted(self) -> bool:
        """The study's rule: a clique of ten, and as many within match delta of a training image."""
        return self.near.sum() >= CLIQUE and find_clique(self.graph, CLIQUE).status is CliqueStatus.FOUND


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a method says of a prompt in each of many orders, and the generations it takes."""

    verdicts: NDArray[np.int8]
    generations: NDArray[np.int16]


def read_measured(twin: str) -> list[Measured]:
    """Return what the full protocol measured of a twin."""
    data, found = np.load(DATA / f"full-protocol-{twin}.npz"), []
    upper = np.triu_indices(FULL, 1)
    for i, caption in enumerate(data["captions"].tolist()):
        graph = np.zeros((FULL, FULL), dtype=bool)
        graph[upper] = np.unpackbits(data["edges"][i])[: len(upper[0])]
        near = data["nearest"][i] <= float(data["match_delta"])
        probe = str(data["roles"][i]) == "probe"
        found.append(
            Measured(caption=caption, twin=twin, memorized_kind=probe, graph=graph | graph.T, near=near)
        )
    return found


def replay(prompt: Measured, test: SequentialTest, orders: int, random: np.random.Generator) -> Replayed:
    """Decide a prompt by the audit's rules on random orders of its generations."""
    verdicts, generations = np.zeros(orders, np.int8), np.zeros(orders, np.int16)
    for k in range(orders):
        rows = random.permutation(FULL)[: test.looks[-1]]
        verdicts[k], generations[k] = decide(prompt.graph[np.ix_(rows, rows)], prompt.near[rows], test)
    return Replayed(verdicts=verdicts, generations=generations)


def decide(graph: NDArray[np.bool_], near: NDArray[np.bool_], test: SequentialTest) -> tuple[int, int]:
    """Follow the looks, as judging.py does: two seeds near the caption's picture, or a clique, or go on."""
    for i, n in enumerate(test.looks):
        seen, seeds_near = graph[:n, :n], int(near[:n].sum())
        last = i + 1 == len(test.looks)
        if seeds_near >= 2:
            return EXTRACTED, n
        if seen.any() and has_clique(seen, test.flag_at[i]):
            return FLAGGED, n
        if last or (not seeds_near and test.clean_at[i] and not has_clique(seen, test.clean_at[i] + 1)):
            return CLEAN, n
    raise AssertionError("the last look decides")


def has_clique(graph: NDArray[np.bool_], size: int) -> bool:
    """Whether there is a clique of that size."""
    if size == 2:
        return bool(graph.any())
    return size <= len(graph) and find_clique(graph, size).status is CliqueStatus.FOUND


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Groups of a frame, each by the number of the measured prompt that stands for it."""

    donors: NDArray[np.int64]
    near_copies: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """One audit of a frame: its cost in evaluations, its bound, and which groups it extracted."""

    evaluations: int
    upper: float
    extracted: NDArray[np.bool_]


def audit(
    frame: Frame, replayed: Sequence[Replayed], census: NDArray[np.bool_], n_sample: int, *,
    screen_cost: int, random: np.random.Generator,
) -> Audited:  # fmt: skip
    """Audit a census of some groups and a random sample of the others, each in an order of its own."""
    below = np.flatnonzero(~census)
    sample = random.permutation(below)[:n_sample]
    chosen = np.concatenate([np.flatnonzero(census), sample])
    orders = random.integers(len(replayed[0].verdicts), size=len(chosen))
    verdicts = np.array([replayed[frame.donors[g]].verdicts[o] for g, o in zip(chosen, orders, strict=True)])
    drawn = sum(int(replayed[frame.donors[g]].generations[o]) for g, o in zip(chosen, orders, strict=True))
    extracted = np.zeros(len(frame.donors), bool)
    extracted[chosen[verdicts == EXTRACTED]] = True
    n_census = int(census.sum())
    strata = [
        Stratum(size=n_census, sampled=n_census, extracted=int(extracted[census].sum())),
        Stratum(size=len(below), sampled=len(sample), extracted=int(extracted[sample].sum())),
    ]
    bound = bound_frame([s for s in strata if s.size], attempt_of(1, CONFIDENCE).confidence)
    cost = drawn * STEPS_COST + screen_cost * len(frame.donors)
    return Audited(evaluations=cost, upper=bound.upper, extracted=extracted)


def sample_size(frame: Frame, census: NDArray[np.bool_]) -> int:
    """Plan the sample as divide_by_screen does."""
    above, below = int(census.sum()), int((~census).sum())
    expected = min(above, int(PLANNED_SHARE * LIMIT * len(frame.donors)))
    confidence = attempt_of(1, CONFIDENCE).confidence
    return sample_needed(LIMIT, confidence, above=above, below=below, extracted_above=expected) or below


def high_scores(frame: Frame, scores: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
    """Return which groups a screen puts into the census, by its score alone."""
    of_groups = scores[frame.donors]
    return of_groups >= min(np.nextafter(threshold, np.inf), cut_at_share(of_groups.tolist(), LEAST_CENSUS))


class Benchmark:
    """The measured prompts of both twins, replayed once by each test."""

    def __init__(self, orders: int, frames: int) -> None:
        self.random = np.random.default_rng(SEED)
        self.frames = frames
        self.prompts = [prompt for twin in TWINS for prompt in read_measured(twin)]
        self.default = planned_test(Settings())
        self.sixteen = plan_look(16, null_share=0.05, alpha=0.01)
        self.replayed = [replay(prompt, self.default, orders, self.random) for prompt in self.prompts]
        self.fixed = [replay(prompt, self.sixteen, orders, self.random) for prompt in self.prompts]
        self.calibrations = {
            twin: read_calibration(twin_folder(PREFIX + twin) / "memex-calibration.json") for twin in TWINS
        }
        self.scores = json.loads((DATA / "screen-scores.json").read_text())
        self.copies = {caption: copies for caption, (_, copies) in read_roles().items()}
        self.place = {(prompt.twin, prompt.caption): i for i, prompt in enumerate(self.prompts)}
        self.ordinary = {
            twin: [i for i, p in enumerate(self.prompts) if p.twin == twin and not p.memorized_kind]
            for twin in TWINS
        }

    def frame(self, size: int | None, share: float) -> Frame:
        """Return the specimen's 336 groups, or as many drawn from them, each of one twin or the other.

        `share` of them are of the twin that memorized: at 1 it is that model, below one that memorized less.
        """
        captions = sorted(self.copies)
        drawn = captions if size is None else self.random.choice(captions, size).tolist()
        twins = [TWINS[0] if chance < share else TWINS[1] for chance in self.random.random(len(drawn))]
        donors = [
            self.place.get((twin, caption), int(self.random.choice(self.ordinary[twin])))
            for twin, caption in zip(twins, drawn, strict=True)
        ]
        near_copies = np.array([self.copies[caption] > 1 for caption in drawn])
        return Frame(donors=np.array(donors), near_copies=near_copies)

    def scores_of(self, name: str) -> NDArray[np.float64]:
        return np.array([self.scores[prompt.twin][name][prompt.caption] for prompt in self.prompts])

    def threshold(self, twin: str, name: str) -> float:
        return next(s.threshold for s in self.calibrations[twin].screens if s.name == name)

    # -- prompt by prompt

    def recall(self, replayed: Sequence[Replayed], least_share: float) -> float:
        """Return the share of decisions that extract a prompt which the full protocol extracts."""
        return float(np.mean([
            (r.verdicts == EXTRACTED).mean()
            for prompt, r in zip(self.prompts, replayed, strict=True)
            if prompt.extracted and prompt.share >= least_share
        ]))  # fmt: skip

    def false_extractions(self, replayed: Sequence[Replayed]) -> int:
        """Count the decisions that extract a prompt with no replica among 500."""
        return int(sum(
            (r.verdicts == EXTRACTED).sum()
            for prompt, r in zip(self.prompts, replayed, strict=True)
            if not prompt.near.any()
        ))  # fmt: skip

    def flags(self, replayed: Sequence[Replayed]) -> float:
        """Return the share of decisions that flag or extract a prompt which the full protocol does not."""
        return float(np.mean([
            (r.verdicts != CLEAN).mean()
            for prompt, r in zip(self.prompts, replayed, strict=True)
            if not prompt.extracted
        ]))  # fmt: skip

    def evaluations(self, replayed: Sequence[Replayed]) -> float:
        """Return the evaluations of a prompt of the specimen, on average over both twins."""
        each = np.array([r.generations.mean() * STEPS_COST for r in replayed])
        return float(np.mean([each[self.frame(None, share).donors].mean() for share in (0.0, 1.0)]))

    # -- frames

    def run(
        self, size: int | None, share: float, choose: Callable[[Frame], NDArray[np.bool_]], screen_cost: int
    ) -> tuple[list[Audited], list[float]]:
        """Audit many frames; return the audits and the full protocol's rate of each frame."""
        truth = np.array([prompt.extracted for prompt in self.prompts])
        audits, rates = [], []
        for _ in range(self.frames):
            frame = self.frame(size, share)
            census = choose(frame)
            n_sample = sample_size(frame, census)
            audits.append(
                audit(frame, self.replayed, census, n_sample, screen_cost=screen_cost, random=self.random)
            )
            rates.append(float(truth[frame.donors].mean()))
        return audits, rates


def ratio(audits: Sequence[Audited], size: int) -> float:
    """Return how many times fewer evaluations the audits take than 500 generations a prompt."""
    return FULL * STEPS_COST * size / float(np.mean([a.evaluations for a in audits]))


def prompt_table(bench: Benchmark) -> str:
    """Compare methods prompt by prompt."""
    spot = blind_spot(bench.default)
    rows = []
    for name, replayed in (
        (f"`default`: {', '.join(map(str, bench.default.looks))} generations", bench.replayed),
        ("fixed 16 generations, clique of 6", bench.fixed),
    ):
        rows.append(
            f"| {name} | {bench.evaluations(replayed):,.0f} | {bench.recall(replayed, spot):.3f} | "
            f"{bench.recall(replayed, 0):.3f} | {percent(bench.flags(replayed))} |"
        )
    for name, screen in SCREENS.items():
        thresholds = [bench.threshold(prompt.twin, name) for prompt in bench.prompts]
        high = bench.scores_of(name) > np.array(thresholds)
        extracted = np.array([prompt.extracted for prompt in bench.prompts])
        often = np.array([prompt.share >= spot for prompt in bench.prompts])
        rows.append(
            f"| screen `{name}` alone | {screen.seeds * screen.evaluations(1)} | "
            f"{high[extracted & often].mean():.3f} | {high[extracted].mean():.3f} | "
            f"{percent(float(high[~extracted].mean()))} |"
        )
    rows.append(f"| full protocol: 500, clique of 10 | {FULL * STEPS_COST:,} | 1 | 1 | 0 % |")
    head = (
        "| method | evaluations a prompt | recall at and above the blind spot | recall of all | "
        "other prompts flagged |\n|---|---|---|---|---|\n"
    )
    return head + "\n".join(rows)


def recall_by_share(bench: Benchmark) -> str:
    """List what the default finds of each prompt that has a replica among its 500 generations."""
    rows = [
        (prompt.share, (r.verdicts == EXTRACTED).mean(), r.generations.mean())
        for prompt, r in zip(bench.prompts, bench.replayed, strict=True)
        if prompt.near.any()
    ]
    lines = [f"| {percent(s)} | {found:.3f} | {n:.1f} |" for s, found, n in sorted(rows) if s < 1]
    whole = np.array([row for row in rows if row[0] == 1])
    lines.append(f"| 100 % ({len(whole)} prompts) | {whole[:, 1].mean():.3f} | {whole[:, 2].mean():.1f} |")
    return "| replicating share | extracted by `default` | generations |\n|---|---|---|\n" + "\n".join(lines)


def near_copies(frame: Frame) -> NDArray[np.bool_]:
    """Take the groups with near-copies into the census, as an audit does by default."""
    return frame.near_copies


def measure(*, quick: bool) -> tuple[str, dict[str, float]]:
    """Run everything; return the page's tables and the figures of the last line."""
    bench = Benchmark(orders=100 if quick else 1_000, frames=50 if quick else 1_000)
    rows, covered, within, ratios = [], [], [], {336: [], LARGE: []}
    exact: dict[str, float] = {}
    frames = [(f"specimen:{twin}", None, share) for twin, share in zip(TWINS, (1.0, 0.0), strict=True)]
    frames += [(f"{percent(share)} of them of the twin that memorized", LARGE, share) for share in SHARES]
    for name, size, share in frames:
        audits, rates = bench.run(size, share, near_copies, 0)
        n = size or len(bench.copies)
        ratios[n].append(ratio(audits, n))
        rows.append(_row(name, "near-copies all, a sample of the rest", n, audits, rates))
        covered += [a.upper >= rate for a, rate in zip(audits, rates, strict=True)]
        within += [a.upper <= LIMIT for a, rate in zip(audits, rates, strict=True) if rate <= LIMIT / 2]
        if size is None and share == 1:
            exact = {"ours": float(np.mean([a.upper for a in audits])), "full": float(np.mean(rates))}
    for name, screen in SCREENS.items():
        scores, threshold = bench.scores_of(name), bench.threshold(TWINS[0], name)
        audits, rates = bench.run(
            LARGE, SCREENED_SHARE,
            lambda frame, scores=scores, threshold=threshold: high_scores(frame, scores, threshold),
            screen.seeds * screen.evaluations(1),
        )  # fmt: skip
        rows.append(
            _row(f"{percent(SCREENED_SHARE)} of them, copies unknown", f"`{name}`", LARGE, audits, rates)
        )
        covered += [a.upper >= rate for a, rate in zip(audits, rates, strict=True)]
    figures = {
        "nfe_ratio": round(min(ratios[336]), 1),
        "nfe_ratio_5000": round(min(ratios[LARGE]), 1),
        "recall_above_blind_spot": round(bench.recall(bench.replayed, blind_spot(bench.default)), 4),
        "false_extractions": bench.false_extractions(bench.replayed),
        "bound_ours": round(exact["ours"], 4),
        "bound_full": round(exact["full"], 4),
        "coverage": round(float(np.mean(covered)), 4),
        "within_limit": round(float(np.mean(within)), 4),
    }
    head = (
        "| frame | audited | groups | times fewer evaluations | bound, mean | "
        "rate of the full protocol, mean | "
        "bound covers it | groups found |\n|---|---|---|---|---|---|---|---|\n"
    )
    return "\n\n".join([prompt_table(bench), recall_by_share(bench), head + "\n".join(rows)]), figures


def _row(frame: str, method: str, size: int, audits: Sequence[Audited], rates: Sequence[float]) -> str:
    uppers, found = np.array([a.upper for a in audits]), sum(int(a.extracted.sum()) for a in audits)
    there = sum(rates) * size
    return (
        f"| {frame} | {method} | {size:,} | {ratio(audits, size):,.0f} | {percent(float(uppers.mean()))} | "
        f"{percent(float(np.mean(rates)))} | {percent(float((uppers >= np.array(rates)).mean()))} | "
        f"{percent(found / there) if there else '-'} |"
    )


TARGETS: dict[str, Callable[[float], bool]] = {
    "nfe_ratio": lambda value: value >= 100,
    "nfe_ratio_5000": lambda value: value >= 500,
    "recall_above_blind_spot": lambda value: value >= 0.99,
    "false_extractions": lambda value: value == 0,
    "coverage": lambda value: value >= 0.95,
    "within_limit": lambda value: value == 1,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the orders and frames")
    parser.add_argument("--write-docs", action="store_true", help="write the tables into docs/benchmarks.md")
    arguments = parser.parse_args()
    tables, figures = measure(quick=arguments.quick)
    print(tables)
    if arguments.write_docs:
        write_between(DOCS, BEGIN, f"\n{tables}\n", END)
    missed = [name for name, reached in TARGETS.items() if not reached(figures[name])]
    if missed:
        print(f"missed: {', '.join(missed)}", file=sys.stderr)
    print(json.dumps(figures))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
