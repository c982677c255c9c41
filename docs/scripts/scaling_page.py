"""The tables of docs/scaling.md: what the study's audit costs, by arithmetic from measured unit costs.

`python docs/scripts/scaling_page.py` reads what benchmarks/unit_costs.py measured and counted, and writes the
page between its marks; a test fails where it is stale. Nothing here was run on a GPU: what one does a second
is an assumption.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from memex_audit.specimen.measure import write_between

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "scaling.md"
UNIT_COSTS = ROOT / "benchmarks" / "data" / "unit_costs.json"
# benchmarks/decision_cost.py: 83 evaluations of 20 a picture. The default of --memex-max-prompts.
GENERATIONS, PROMPTS = 83 / 20, 320
# CPU seconds: of the near-copies of a million images (benchmarks/mining.py), growing with n^1.5; of the graph
# of 500 pictures (tile_l2.py, natural); of looking at a picture by its block sums (kernel_cost.py, a look of
# 4); of a prompt whose finding is kept (overhead.py, 100,000 prompts).
JOIN_1M, GRAPH_500, LOOK, RECALLED = 94.8, 0.164, 0.0036, 22.2 / 100_000
# Bytes of an example: 512 values in half precision, and its id and caption as they are, say 120.
EXAMPLE = 1024 + 120
ONE = "one process"
BEGIN, END = "<!-- scaling_page.py: begin -->", "<!-- scaling_page.py: end -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """The audit of Carlini et al. 2023, sections 4.2 and 5: sizes, and what its text leaves open."""

    prompts: int = 350_000
    generations: int = 500
    images: int = 160_000_000
    steps: int = 50
    evaluations_a_step: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a machine is assumed to do; nothing of it was measured.

    `peak_flops`: dense bf16 products of one H100 SXM by its data sheet; `share`: of it that a network
    reaches; `cores`: of the processor, beside each GPU.
    """

    peak_flops: float = 989e12
    share: float = 0.4
    cores: int = 16

    @property
    def flops(self) -> float:
        return self.peak_flops * self.share


def duration(seconds: float) -> str:
    """Write a time in the unit that a reader plans in.

    >>> [duration(s) for s in (40, 5_000, 400_000, 4e7)]
    ['40 s', '1.39 h', '4.63 days', '1.27 years']
    """
    for unit, size in (("years", 365.25 * 86_400), ("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} s"


def size(n_bytes: float) -> str:
    """Write a number of bytes, decimal.

    >>> [size(n) for n in (900, 2.5e9, 1.64e11, 7.2e13)]
    ['900 B', '2.5 GB', '164 GB', '72 TB']
    """
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= scale:
            return f"{n_bytes / scale:.3g} {unit}"
    return f"{n_bytes:.0f} B"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def main() -> None:
    """Write the page's tables."""
    costs: Mapping[str, float] = json.loads(UNIT_COSTS.read_text())["costs"]
    write_between(PAGE, BEGIN, f"\n{tables(costs)}\n", END)


def tables(costs: Mapping[str, float]) -> str:
    """Return the tables of the page: what is assumed, what the study's audit costs, what is stored."""
    study, machine = Study(), Machine()
    return "\n\n".join(
        (
            "What is assumed:",
            _table(("assumption", "value"), _assumptions(study, machine, costs)),
            "What it costs:",
            _table(("step", "how much of it", "1 H100", "64 H100"), _steps(study, machine, costs)),
            "What is stored:",
            _table(("what", "bytes of one", "the study's", "today's defaults"), _stored(study, costs)),
        )
    )


def _assumptions(study: Study, machine: Machine, costs: Mapping[str, float]) -> list[tuple[str, str]]:
    drawing = _flop_of_a_picture(study, costs)
    return [
        ("one H100 SXM, dense bf16 (data sheet)", f"{machine.peak_flops / 1e12:,.0f} TFLOP/s"),
        ("of which the networks reach", f"{machine.share:.0%}"),
        ("processor cores beside each GPU, as fast as this machine's", f"{machine.cores}"),
        ("network evaluations of a picture (the study does not state its sampler)",
         f"{study.steps} steps x {study.evaluations_a_step} for guidance"),
        ("operations of an evaluation of Stable Diffusion 1 at 512 x 512, counted",
         f"{costs['evaluation_flop'] / 1e9:,.0f} GFLOP"),
        ("of its decoder", f"{costs['decoding_flop'] / 1e9:,.0f} GFLOP"),
        ("so a picture takes", f"{drawing / machine.flops:.2g} s of a GPU"),
        ("of CLIP ViT-B/32, counted", f"{costs['embedding_flop'] / 1e9:.2g} GFLOP"),
        ("generations a prompt that the default protocol draws, measured (benchmarks/decision_cost.py)",
         f"{GENERATIONS:.3g}"),
        ("groups that the default audits of a large frame", f"{PROMPTS}"),
    ]  # fmt: skip


def _flop_of_a_picture(study: Study, costs: Mapping[str, float]) -> float:
    return study.steps * study.evaluations_a_step * costs["evaluation_flop"] + costs["decoding_flop"]


def _steps(study: Study, machine: Machine, costs: Mapping[str, float]) -> list[tuple[str, ...]]:
    drawing = _flop_of_a_picture(study, costs) / machine.flops
    reading = (costs["read_image_s"] + costs["prepare_image_s"]) / machine.cores
    join = JOIN_1M * (study.images / 1e6) ** 1.5 / machine.cores
    of_prompt = {"the study's protocol": study.generations, "today's default protocol": GENERATIONS}
    drawings = [
        (f"GPU: draw, {name}", study.prompts * generations, drawing)
        for name, generations in of_prompt.items()
    ]
    rows = [
        ("processor: read and prepare the training set", study.images, reading),
        ("GPU: embed it", study.images, costs["embedding_flop"] / machine.flops),
        ("processor: its near-copies, by lists", 1, join),
        *drawings,
        ("GPU: draw, default protocol, default number of groups", PROMPTS * GENERATIONS, drawing),
        ("processor: graph and clique of 500, a prompt", study.prompts, GRAPH_500 / machine.cores),
        (
            "processor: look at what the default protocol drew",
            study.prompts * GENERATIONS,
            LOOK / machine.cores,
        ),
        (
            "processor: encode all pixels of it (`--memex-keep all`)",
            study.prompts * GENERATIONS,
            costs["write_picture_s"] / machine.cores,
        ),
        (f"{ONE}: pytest over findings that are kept", study.prompts, RECALLED),
    ]
    return [
        (name, "once" if n == 1 else f"{n:,.0f}", duration(n * s), duration(n * s / machines))
        for name, n, s in rows
        for machines in [1 if name.startswith(ONE) else 64]
    ]


def _stored(study: Study, costs: Mapping[str, float]) -> list[tuple[str, ...]]:
    full, default = study.prompts * study.generations, study.prompts * GENERATIONS
    rows = [
        ("an embedding, with id and caption", EXAMPLE, study.images, study.images),
        ("near-copies and group of an image", 16.0, study.images, study.images),
        ("a picture with its pixels (`--memex-keep all`)", costs["picture_bytes"], full, default),
        ("a picture reduced to its block sums (`--memex-keep evidence`, nearly all)", costs["reduced_bytes"],
         full, default),
    ]  # fmt: skip
    return [(name, size(one), size(one * n), size(one * m)) for name, one, n, m in rows]


if __name__ == "__main__":
    main()
