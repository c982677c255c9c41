"""What it costs to decide a prompt, beside what it costs to draw for it.

    python benchmarks/kernel_cost.py [--quick] [--write-docs]

CPU seconds on one thread, the better of several runs, for looks of 4, 16, 32 and 500 pictures of 512 x 512: a
prompt that block sums settle, the same prompt pixel by pixel, and one whose pictures all agree. The pictures
are synthetic (random phases under a 1 / frequency spectrum, as photographs have). Beside it a picture of the
specimen, drawn here; and one of a model of Stable Diffusion's size, which is arithmetic: its network's FLOPs,
counted without weights, at the rate of this CPU's matrix products.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from image_sets import CASES, picture
from numpy.typing import NDArray
from operations import count_operations

from memex_audit.config import Settings
from memex_audit.extraction.altered import ALTERATIONS
from memex_audit.extraction.block_sums import BlockSums, block_sums
from memex_audit.extraction.distances import l2_between, near_duplicate_graph
from memex_audit.extraction.reduction import l2_lower_bounds, no_clique_possible, no_match_possible
from memex_audit.records import GenerationRequest
from memex_audit.specimen.measure import write_between
from memex_audit.workbench import Workbench

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- benchmarks/kernel_cost.py: begin -->", "<!-- benchmarks/kernel_cost.py: end -->"
SIDE, LOOKS = 512, (4, 16, 32, 500)
DELTAS = (0.1, 0.15)
# 50 steps with guidance, of Stable Diffusion 1: two evaluations a step on a latent of 4 x 64 x 64.
EVALUATIONS = 100

Images = NDArray[np.uint8]


def natural(n: int) -> Images:
    """Return unrelated synthetic photographs."""
    random = np.random.default_rng(0)
    drawn = np.empty((n, SIDE, SIDE, 3), np.uint8)
    for i in range(n):
        brightness, contrast = random.uniform(90, 160), random.uniform(35, 65)
        drawn[i] = np.clip(brightness + contrast * picture(random, SIDE), 0, 255)
    return drawn


def cpu_s(work: Callable[[], object], times: int) -> float:
    """Return the CPU seconds of one run, the best of several."""
    best = np.inf
    for _ in range(times):
        before = time.process_time()
        work()
        best = min(best, time.process_time() - before)
    return float(best)


def settled(sums: BlockSums, own: Images, delta: float) -> bool:
    """Decide by block sums: no two agree, and no training image came back, plain or altered."""
    if not no_clique_possible(sums, delta):
        return False
    if not no_match_possible(l2_lower_bounds(sums, block_sums(own)), delta):
        return False
    altered = (np.stack([alter(pixels) for pixels in own]) for alter in ALTERATIONS.values())
    return all(
        no_match_possible(l2_lower_bounds(sums, block_sums(images)), delta, at_least=2) for images in altered
    )


def by_pixels(images: Images, own: Images) -> None:
    """Decide the same pixel by pixel."""
    near_duplicate_graph(images, DELTAS[0])
    l2_between(images, own)
    for alter in ALTERATIONS.values():
        l2_between(images, np.stack([alter(pixels) for pixels in own]))


def kernel_costs(images: Images, own: Images, n: int) -> dict[str, float]:
    """Return CPU seconds of a look at n pictures, by what is done."""
    times = 3 if n > 100 else 10
    drawn, sums = images[:n], block_sums(images[:n])
    copies = np.repeat(images[:1], n, axis=0)
    return {
        "block sums": cpu_s(lambda: block_sums(drawn), times),
        "settled by block sums": cpu_s(lambda: settled(sums, own, DELTAS[0]), times),
        "the same by pixels": cpu_s(lambda: by_pixels(drawn, own), times),
        "all pictures agree": cpu_s(lambda: by_pixels(copies, own), max(1, times // 3)),
    }


def specimen_s(batches: int) -> float:
    """Return CPU seconds of a picture of the specimen, 32 x 32, drawn eight at a time."""
    bench = Workbench(Settings(model="specimen:duplicated", device="cpu"), Path.cwd())
    generator, requests = bench.generator, [GenerationRequest(prompt="a cat", seed=i) for i in range(8)]
    list(generator.generate(requests))
    return cpu_s(lambda: list(generator.generate(requests)), batches) / len(requests)


def product_rate(side: int = 2048) -> float:
    """Return the FLOPs a CPU second of float32 matrix products here."""
    a = np.random.default_rng(0).random((side, side), np.float32)
    return 2 * side**3 / cpu_s(lambda: a @ a, 3)


def settled_shares(n: int, case: str) -> dict[str, float]:
    """Return the share of n clean prompts that block sums settle: four pictures and a training image each."""
    images = CASES[case](np.random.default_rng(1), 256)[40:]  # the first 40 are near-copies of each other
    prompts = [images[5 * i : 5 * i + 5] for i in range(min(n, len(images) // 5))]
    shares = {}
    for delta in DELTAS:
        found = [settled(block_sums(prompt[:4]), prompt[4:], delta) for prompt in prompts]
        shares[f"{case}, delta {delta}"] = sum(found) / len(found)
    return shares


def table(costs: dict[int, dict[str, float]], specimen: float, large: float) -> list[str]:
    """Return the Markdown table: milliseconds a picture, and its share of what drawing costs."""
    rows = ["| pictures | what is done | CPU ms a picture | of a specimen picture | of a large model's |",
            "|---|---|---|---|---|"]  # fmt: skip
    for n, found in costs.items():
        for name, seconds in found.items():
            each = seconds / n
            rows.append(f"| {n} | {name} | {1000 * each:.2f} | {each / specimen:.2g} | {each / large:.1g} |")
    return rows


def main() -> None:
    """Measure, print, and write where asked."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--quick", action="store_true", help="looks of up to 32 pictures")
    options.add_argument("--write-docs", action="store_true", help=f"put the table into {PAGE.name}")
    chosen = options.parse_args()
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    looks = LOOKS[:-1] if chosen.quick else LOOKS
    images = natural(looks[-1] + 1)
    own, images = images[-1:], images[:-1]
    costs = {n: kernel_costs(images, own, n) for n in looks}
    del images
    specimen, flops, rate = specimen_s(3), count_operations()["evaluation_flop"], product_rate()
    large = EVALUATIONS * flops / rate
    n_prompts = 8 if chosen.quick else 90
    shares = settled_shares(n_prompts, "natural") | settled_shares(n_prompts, "low_contrast")
    lines = [
        "## What deciding a prompt costs, beside drawing for it", "",
        f"`python benchmarks/kernel_cost.py --write-docs` on {platform.machine()}, Python "
        f"{platform.python_version()}, NumPy {np.__version__}, one thread.",
        f"A look at pictures of {SIDE} x {SIDE}, with one training image of the caption, plain and in "
        f"{len(ALTERATIONS)} alterations. Block sums are made once, when a picture is drawn.",
        f"A picture of the specimen took {1000 * specimen:.0f} CPU ms here, at 32 x 32. A large model is an "
        f"assumption: {EVALUATIONS} evaluations of Stable Diffusion 1's U-Net, {flops / 1e9:.0f} GFLOP each "
        f"(counted from its shapes), at the {rate / 1e9:.0f} GFLOP/s of this CPU's matrix products: "
        f"{large:.0f} CPU s a picture. A device that draws k times as fast makes the last column k times as "
        "large.", "",
        *table(costs, specimen, large), "",
        "Clean prompts (four unrelated pictures, one training image, 256 x 256) that block sums settle: "
        + "; ".join(f"{name}: {100 * share:.0f} %" for name, share in shares.items())
        + ". In the low-contrast set all pictures share one composition, and their distances lie around 0.1.",
    ]  # fmt: skip
    print("\n".join(lines))
    if chosen.write_docs:
        write_between(PAGE, BEGIN, "\n" + "\n".join(lines) + "\n", END)
    last = max(n for n in looks if n < 100)
    print(json.dumps({
        "settled_ms": round(1000 * costs[4]["settled by block sums"] / 4, 3),
        "block_sums_ms": round(1000 * costs[4]["block sums"] / 4, 3),
        "pixels_ms": round(1000 * costs[4]["the same by pixels"] / 4, 3),
        "worst_ms": round(1000 * max(found["all pictures agree"] / n for n, found in costs.items()), 3),
        "specimen_ms": round(1000 * specimen, 1),
        "large_model_cpu_s": round(large, 1),
        "worst_of_large_model": float(f"{costs[last]['all pictures agree'] / last / large:.2g}"),
        "settled_share": {name: round(share, 3) for name, share in shares.items()},
    }))  # fmt: skip


if __name__ == "__main__":
    main()
