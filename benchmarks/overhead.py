"""What an audit costs whose findings are all stored: beside bare pytest, and at a hundred thousand prompts.

python benchmarks/overhead.py [--quick] [--write-docs]

The store is filled by a script with what `memex generate --memex-keep none` and a first `pytest audits/`
leave there: a unit of four reduced pictures a prompt, and its finding. Measured is `pytest audits/`, all
cases of the suite that have something to audit, the rate and the comparison with a baseline among them, with
the JSON and the Markdown; the generator must not be asked for a picture. Beside it runs pytest without the
plugin on as many trivial parametrized cases.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "benchmarks.md"
MARK = "<!-- benchmarks/overhead.py -->"
REPEATS = 3
GOALS = {"judged_10k_vs_bare": 1.5, "batches_100k_s": 30.0, "batches_100k_mib": 500.0}
INTRODUCTION = """
## An audit whose findings are stored

`python benchmarks/overhead.py --write-docs` on {machine}.
CPU time of `pytest audits/` with the JSON and the Markdown report, over prompts whose pictures and findings
are in the store, against `pytest -p no:memex_audit` on as many trivial parametrized cases; medians of
{repeats} runs side by side, with start-up. By default a case is a batch of prompts above 5,000. One finding
of a thousand is flagged. Rate, comparison with a baseline, and both controls are among the cases.

"""
BARE = """
import pytest


@pytest.mark.parametrize("prompt", [f"a-picture-of-{{n}}-things-{{n:012x}}" for n in range({n})])
def test_trivial(prompt):
    assert prompt
"""
CONFTEST = '''
from pathlib import Path

import numpy as np
import pytest

from memex_audit.records import Generation


class Noise:
    """Gives noise of 8 x 8 pixels, and writes down that it did."""

    fingerprint = "f" * 64
    settings = {"kind": "noise"}
    seeded = shareable = True
    evaluations_per_image = 1

    def generate(self, requests):
        with Path("drawn.log").open("a") as log:
            print(len(requests), file=log)
        for request in requests:
            pixels = np.random.default_rng(request.seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            yield Generation(request=request, pixels=pixels)


@pytest.fixture(scope="session")
def memex_generator():
    return Noise()
'''
# One finding in so many is flagged.
FLAGGED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one process: seconds of CPU and of the clock, and its largest memory."""

    cpu_s: float
    wall_s: float
    mib: float


def options(n: int) -> dict[str, str]:
    """Return the options of every audit here, by name."""
    return {"model": "none", "prompts": "prompts.txt", "max_prompts": str(n), "store": ".memex"}


def audit(folder: Path, n: int, *others: str) -> Cost:
    """Run the whole suite, and see that it audited everything and drew nothing new for it."""
    given = [
        part for name, text in options(n).items() for part in (f"--memex-{name.replace('_', '-')}", text)
    ]
    reports = ("--memex-json", "result.json", "--memex-report", "result.md", "--memex-baseline", "base.json")
    cost = run(folder, "audits", *given, *reports, *others)
    result = json.loads((folder / "result.json").read_text())
    if result["verdict"] != "pass" or len(result["findings"]) != n:
        sys.exit(
            f"{folder}: verdict {result['verdict']} of {len(result['findings'])} findings; no measurement."
        )
    return cost


def run(folder: Path, *arguments: str) -> Cost:
    """Run pytest in a process of its own."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} exited with {process.returncode} in {folder}.")
    wall = time.perf_counter() - began
    return Cost(cpu_s=used.ru_utime + used.ru_stime, wall_s=wall, mib=used.ru_maxrss / 1024)


def make_project(folder: Path, n: int) -> None:
    """Write a project with n prompts, fill its store in a process of its own, and run its audit once."""
    shutil.copytree(ROOT / "audits", folder / "audits", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "prompts.txt").write_text("".join(f"a picture of {k} things, {k % 7} red\n" for k in range(n)))
    subprocess.run([sys.executable, __file__, "--fill", str(n)], cwd=folder, check=True)
    # Draws what the controls ask for, and writes the baseline.
    audit(folder, n, "--memex-baseline-policy", "create")


def fill(n: int) -> None:
    """Put a unit of reduced pictures, and a finding, into the store for each prompt of the current folder."""
    from memex_audit.config import read_settings  # noqa: PLC0415 - only this process needs it
    from memex_audit.judging import Judgement  # noqa: PLC0415
    from memex_audit.workbench import Workbench  # noqa: PLC0415

    names: dict[str, object] = {}
    exec(compile(CONFTEST, "conftest.py", "exec"), names)  # the generator of the project
    bench = Workbench(read_settings(options(n)), Path.cwd())
    noise = bench.load_generator = names["Noise"]
    store, judged, protocol = bench.unit_store, bench.judged, bench.protocol
    for place, prompt in enumerate(bench.prompts_as_read.prompts):
        requests = [store.request(prompt.text, number) for number in range(protocol.looks[0])]
        pictures = [store.reduce(picture) for picture in noise().generate(requests)]
        store.write(prompt.text, range(len(pictures)), pictures)
        finding = finding_of(prompt, [request.seed for request in requests], flagged=place % FLAGGED == 0)
        judged.keep(prompt, protocol, Judgement(finding=finding, seeds_near={}))
    judged.flush()


def finding_of(prompt: object, seeds: list[int], *, flagged: bool) -> object:
    """Return what is found where no two pictures agree, or where all of them do."""
    from memex_audit.records import Finding, Verdict  # noqa: PLC0415

    agree = seeds if flagged else []
    return Finding(
        prompt_id=prompt.prompt_id,
        prompt=prompt.text,
        duplication_count=prompt.duplication_count,
        group_id=prompt.group_id,
        verdict=Verdict.FLAGGED if flagged else Verdict.NOT_FLAGGED,
        near_miss=False,
        generations=len(seeds),
        set_aside=0,
        network_evaluations=len(seeds),
        clique_size=len(agree),
        clique_seeds=tuple(agree),
        replicas=0,
        replica_seeds=(),
        blind_spot=0.7513961968879779,
        match=None,
    )


def beside_bare(folder: Path, n: int, repeats: int) -> dict[str, float]:
    """Return CPU seconds of an audit of n prompts, by granularity, and of bare pytest; medians, in turn."""
    bare = folder / "bare"
    bare.mkdir()
    (bare / "test_bare.py").write_text(BARE.format(n=n))
    runs = [
        {
            "bare": run(bare, "-p", "no:memex_audit").cpu_s,
            "batches": audit(folder, n, "--memex-granularity", "batch").cpu_s,
            "prompts": audit(folder, n, "--memex-granularity", "prompt").cpu_s,
        }
        for _ in range(repeats)
    ]
    return {kind: statistics.median(one[kind] for one in runs) for kind in runs[0]}


def measure(n: int, large: int, repeats: int) -> tuple[dict[str, float], Cost, dict[str, float]]:
    """Return CPU seconds beside bare pytest, the cost of the large audit, and the MiB of what it writes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "beside")
        make_project(folder, n)
        drawn = (folder / "drawn.log").read_text()
        cpu = beside_bare(folder, n, repeats)
        if (folder / "drawn.log").read_text() != drawn:
            sys.exit("a measured audit drew pictures; no measurement.")
        if large != n:
            folder = Path(name, "large")
            make_project(folder, large)
        cost = audit(folder, large, "--memex-granularity", "batch")
        sizes = {file: (folder / file).stat().st_size / 2**20 for file in ("result.json", "result.md")}
    return cpu, cost, sizes


def table(n: int, cpu: dict[str, float], large: int, cost: Cost, sizes: dict[str, float]) -> list[str]:
    """Return the figures as Markdown."""
    said = {
        "bare": "bare pytest, trivial cases",
        "batches": "audit, batches",
        "prompts": "audit, case a prompt",
    }
    return [
        f"| {n:,} | CPU s | against bare pytest |",
        "|---|---|---|",
        *(f"| {said[kind]} | {cpu[kind]:.2f} | {cpu[kind] / cpu['bare']:.2f} |" for kind in said),
        "",
        f"| {large:,} prompts, batches | |",
        "|---|---|",
        f"| CPU | {cost.cpu_s:.1f} s |",
        f"| clock, on a busy machine | {cost.wall_s:.1f} s |",
        f"| largest memory | {cost.mib:.0f} MiB |",
        f"| JSON, a line a finding | {sizes['result.json']:.0f} MiB |",
        f"| Markdown | {1024 * sizes['result.md']:.0f} KiB |",
    ]


def write_docs(lines: list[str]) -> None:
    """Put the section between its marks, and leave what other benchmarks wrote."""
    before, mark, rest = DOCS.read_text().partition(MARK)
    after = rest.partition(MARK)[2] if mark else "\n"
    DOCS.write_text(f"{before.rstrip()}\n\n" + "\n".join([MARK, *lines, MARK]) + after)


def machine() -> str:
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "")
    return f"{cpu.partition(': ')[2]}, Python {platform.python_version()}"


def main() -> int:
    """Measure, print, and say by the exit code whether the goals were met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2,000 prompts, under other keys")
    parser.add_argument("--write-docs", action="store_true", help=f"put the tables into {DOCS.name}")
    parser.add_argument("--fill", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.fill:
        fill(chosen.fill)
        return 0
    n, large, repeats = (2_000, 2_000, 1) if chosen.quick else (10_000, 100_000, REPEATS)
    cpu, cost, sizes = measure(n, large, repeats)
    lines = table(n, cpu, large, cost, sizes)
    summary = {
        f"judged_{n // 1000}k_vs_bare": round(cpu["batches"] / cpu["bare"], 2),
        f"judged_{n // 1000}k_by_prompt_vs_bare": round(cpu["prompts"] / cpu["bare"], 2),
        f"batches_{large // 1000}k_s": round(cost.cpu_s, 1),
        f"batches_{large // 1000}k_wall_s": round(cost.wall_s, 1),
        f"batches_{large // 1000}k_mib": round(cost.mib),
    }
    print("\n".join(lines))
    if chosen.write_docs:
        introduction = INTRODUCTION.format(machine=machine(), repeats=repeats).splitlines()
        write_docs([*introduction, *lines, "", f"    {json.dumps(summary)}", ""])
    missed = [goal for goal, most in GOALS.items() if goal in summary and summary[goal] > most]
    print(f"goals missed: {', '.join(missed) or 'none'}")
    print(json.dumps(summary))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
