"""What finding the near-copies of a training set costs, next to other ways, and what it misses.

    python benchmarks/mining.py [--quick] [--write-docs] [--python-imagededup PATH]

Embeddings are made from a seed and read from float16 shards, as `memex` keeps them. Every method runs in a
process of its own, on one thread. What a method misses is told by a random sample of the images, compared
with all in this process. The last line is JSON: our own figures at the largest size, and the ratios to
imagededup at 100,000 images, whose figures are scaled by the square from the largest size it was run at.
The exit code is 1 where a target is missed.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mining_methods import SIMILARITY, read
from mining_vectors import write_set
from numpy.typing import NDArray

from memex_audit.training_set.recall import lower_bound

DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- benchmarks/mining.py: begin -->", "<!-- benchmarks/mining.py: end -->"
METHODS = Path(__file__).with_name("mining_methods.py")
# Images compared with all: some one in seven has near-copies.
SAMPLED = 4096
COMPARED = 100_000
# Size, methods. What needs a matrix of all pairs runs up to 30,000; a flat search of a million takes hours.
FULL = {
    10_000: ["memex", "faiss flat", "imagededup", "cleanvision"],
    30_000: ["memex", "faiss flat", "imagededup"],
    100_000: ["memex", "memex ivf", "faiss flat"],
    1_000_000: ["memex"],
}
QUICK = {10_000: ["memex", "memex ivf", "faiss flat", "imagededup"]}
OTHERS = ("imagededup", "cleanvision")
# Hashing costs the same for every picture.
PICTURES = 2_000
INTRODUCTION = """
## Near-copies of a training set

`python benchmarks/mining.py --write-docs` on {machine}.
One thread; CPU seconds of the method alone, each in a process of its own; memory is the peak of the resident
set over what the process held before it read the embeddings, embeddings included.

Embeddings of 512 dimensions from a seed: cosines of unrelated ones from 0.2 to 0.5, 15 % with near-copies in
groups of 2 to 3,000 whose cosines lie around the threshold, 0.95. `memex` is the default: it compares all up
to 500,000 images, and beyond that each with the lists nearest to it. Recall: of a random sample of 4,096
images, compared with all, one near-copy each that has any was drawn; in brackets the lower bound (95 %).
imagededup is `CNN.find_duplicates` on these embeddings, without its network; it holds the cosines of all
pairs as float16, twice while they are joined. cleanvision hashes pictures, not embeddings: {pictures:,}
JPEGs of 256 pixels, half of them the others at 90 % of the side; its recall is the share of those with the
same hash. FAISS at 100,000 searches for a tenth of the images, times ten.

"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    n: int
    method: str
    cpu_s: float
    peak_gib: float
    found: int
    drawn: int

    @property
    def recall(self) -> float:
        return self.found / self.drawn if self.drawn else float("nan")

    @property
    def row(self) -> str:
        recall = f"{self.recall:.4f} ({lower_bound(self.found, self.drawn):.4f})"
        return f"| {self.n:,} | {self.method} | {self.cpu_s:,.1f} | {self.peak_gib:.2f} | {recall} |"


def count_sample(folder: Path, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of a random sample and how many near-copies each has, decided in float64."""
    vectors = read(folder)
    rows = np.sort(np.random.default_rng(seed).permutation(len(vectors))[:SAMPLED])
    sample, counts = vectors[rows], np.full(len(rows), -1)
    for start in range(0, len(vectors), 4096):
        block = vectors[start : start + 4096]
        scores = sample @ block.T
        i, j = np.nonzero(scores >= SIMILARITY - 1e-4)
        left, right = sample[i].astype(np.float64), block[j].astype(np.float64)
        cosines = (left * right).sum(axis=1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)
        counts += np.bincount(i[cosines >= SIMILARITY - 1e-9], minlength=len(rows))
    return rows, counts


def measure(
    method: str, folder: Path, n: int, python: str, truth: tuple[NDArray[np.int64], ...]
) -> Measurement:
    """Run a method in a process of its own, and draw one near-copy of each sampled image that has any."""
    out = folder / "counts.npy"
    size = PICTURES if method == "cleanvision" else n
    words = [python, str(METHODS), method, str(folder), str(size), str(out)]
    ran = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    cost = json.loads(ran.stdout.splitlines()[-1])
    found = np.load(out)
    if method == "cleanvision":
        return Measurement(n=size, method=method, found=int(found.sum()), drawn=size, **cost)
    rows, counts = truth
    several = (counts > 0) & (found[rows] >= 0)
    share = np.minimum(found[rows][several] / counts[several], 1)
    drawn = np.random.default_rng(n).random(len(share)) < share
    return Measurement(n=n, method=method, found=int(drawn.sum()), drawn=len(drawn), **cost)


def measure_size(n: int, methods: list[str], python: str | None) -> list[Measurement]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_set(folder, n, seed=n)
        truth = count_sample(folder, seed=n + 1)
        measured = []
        for method in methods:
            if method in OTHERS and python is None:
                continue
            interpreter = python if method in OTHERS and python else sys.executable
            measured.append(measure(method, folder, n, interpreter, truth))
            print(measured[-1].row, flush=True)
        return measured


def measure_template(n: int) -> Measurement:
    """Measure a set of near-copies of one picture: every pair is one."""
    with tempfile.TemporaryDirectory() as name:
        write_set(Path(name), n, template=True)
        measured = measure("memex", Path(name), n, sys.executable, (np.arange(n), np.full(n, n - 1)))
        print(measured.row, flush=True)
        return measured


def scaled(measured: list[Measurement]) -> tuple[float, float, int] | None:
    """Return imagededup's CPU seconds and GiB at the size compared, by the square, and from which size."""
    theirs = [x for x in measured if x.method == "imagededup"]
    if not theirs:
        return None
    largest = max(theirs, key=lambda x: x.n)
    times = (COMPARED / largest.n) ** 2
    return largest.cpu_s * times, largest.peak_gib * times, largest.n


def summarise(measured: list[Measurement]) -> dict[str, float | int | None]:
    ours = [x for x in measured if x.method == "memex"]
    largest, near = max(ours, key=lambda x: x.n), min(ours, key=lambda x: abs(x.n - COMPARED))
    cpu = peak = None
    if (other := scaled(measured)) and near.n == COMPARED:
        cpu, peak = round(other[0] / near.cpu_s, 1), round(other[1] / near.peak_gib, 1)
    return {
        "n": largest.n,
        "cpu_s": round(largest.cpu_s, 1),
        "recall": round(largest.recall, 4),
        "recall_lower": round(lower_bound(largest.found, largest.drawn), 4),
        "peak_gib": round(largest.peak_gib, 2),
        "cpu_vs_imagededup": cpu,
        "peak_vs_imagededup": peak,
    }


def targets_missed(measured: list[Measurement], summary: dict[str, float | int | None]) -> list[str]:
    """Return the targets that were missed of those that were measured (--quick: not the ratios)."""
    largest = max((x for x in measured if x.method == "memex"), key=lambda x: x.n)
    cpu, peak = summary["cpu_vs_imagededup"], summary["peak_vs_imagededup"]
    met = {
        "under 15 CPU minutes": largest.cpu_s < 900,
        "recall of at least 0.99": lower_bound(largest.found, largest.drawn) >= 0.99,
        "under 4 GiB": largest.peak_gib < 4,
        "3 times less CPU than imagededup": cpu is None or cpu >= 3,
        "20 times less memory than imagededup": peak is None or peak >= 20,
    }
    return [target for target, reached in met.items() if not reached]


def report(measured: list[Measurement], template: Measurement | None) -> list[str]:
    lines = ["| images | method | CPU s | peak GiB | recall (at least) |", "|---|---|---|---|---|"]
    lines += [x.row for x in measured]
    if other := scaled(measured):
        cpu, gib, n = other
        lines += [
            "",
            f"Not run: imagededup at {COMPARED:,} images. Scaled by the square from {n:,} it would take "
            f"{cpu:,.0f} CPU seconds and {gib:,.0f} GiB.",
        ]
    if template:
        lines += [
            "",
            f"One picture {template.n:,} times ({template.n * (template.n - 1) // 2:,} pairs of "
            f"near-copies): {template.cpu_s:,.0f} CPU seconds, {template.peak_gib:.2f} GiB.",
        ]
    return lines


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--quick", action="store_true", help="10,000 images, under a minute")
    options.add_argument("--write-docs", action="store_true", help=f"put the table into {DOCS.name}")
    options.add_argument(
        "--python-imagededup", metavar="PATH", help="interpreter that has imagededup and cleanvision"
    )
    options.add_argument("--sizes", type=int, nargs="*", help="only these of the sizes")
    chosen = options.parse_args()
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    sizes = QUICK if chosen.quick else {n: FULL[n] for n in chosen.sizes or FULL}
    measured = [x for n in sizes for x in measure_size(n, sizes[n], chosen.python_imagededup)]
    template = None if chosen.quick else measure_template(COMPARED)
    summary = summarise(measured)
    missed = targets_missed(measured, summary)
    lines = [*report(measured, template), "", f"Targets missed: {', '.join(missed) or 'none'}."]
    print("\n".join(lines))
    if chosen.write_docs:
        write_docs([*lines, "", f"    {json.dumps(summary)}", ""])
    print(json.dumps(summary))
    return 1 if missed else 0


def write_docs(lines: list[str]) -> None:
    """Put the section between its marks, and leave what other benchmarks wrote."""
    text = DOCS.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2] or "\n"
    introduction = INTRODUCTION.format(machine=machine(), pictures=PICTURES).splitlines()
    section = "\n".join([BEGIN, *introduction, *lines, END])
    DOCS.write_text(f"{before.rstrip()}\n\n{section}{after}", encoding="utf-8")


def machine() -> str:
    cpu = next(x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("model name"))
    return f"{cpu.partition(': ')[2]}, Python {platform.python_version()}, NumPy {np.__version__}"


if __name__ == "__main__":
    sys.exit(main())
