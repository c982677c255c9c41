"""What a case costs with Allure on, at 2,000 and at 8,000 prompts: it must not grow with their number.

python benchmarks/allure_cases.py [--write-docs]

allure-pytest lists, with every session fixture that a test names, all tests that named it: that is quadratic.
The cases here are the shipped ones, over prompts whose pictures cost nothing to draw.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "benchmarks.md"
MARK = "<!-- benchmarks/allure_cases.py -->"
SIZES = (2_000, 8_000)
# A quadratic part would make this 4; what else a machine does makes it wobble.
LARGEST_RATIO = 1.3
INTRODUCTION = """
## Cases of an audit with Allure on

`python benchmarks/allure_cases.py --write-docs` on {machine}.
CPU time of the shipped case over prompts whose pictures (8 x 8 pixels of noise, four a prompt) were drawn
before, less that of collecting them. A cost that grows with the number of cases would show as a ratio of up
to 4; a case takes one function-scoped fixture and the prompt, and no session fixture. The last line is the
difference of the two above it, and as uncertain as both.

"""

CONFTEST = '''
import numpy as np
import pytest

from memex_audit.records import Generation


class Noise:
    """Gives noise of 8 x 8 pixels."""

    fingerprint = "f" * 64
    settings = {"kind": "noise"}
    seeded = shareable = True
    evaluations_per_image = 1

    def generate(self, requests):
        for request in requests:
            pixels = np.random.default_rng(request.seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            yield Generation(request=request, pixels=pixels)


@pytest.fixture(scope="session")
def memex_generator():
    return Noise()
'''


def cpu_s(folder: Path, prompts: int, *arguments: str) -> float:
    """Return user and system time of one audit of so many prompts."""
    command = [
        sys.executable, "-m", "pytest", "audits", "-q", "-p", "no:cacheprovider", "--memex-model", "none",
        "--memex-prompts", "prompts.txt", "--memex-max-prompts", str(prompts), "--memex-batch-size", "64",
        *arguments,
    ]  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def case_ms(prompts: int) -> dict[str, float]:
    """Return the CPU milliseconds of a case without Allure and with it; all is drawn beforehand."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "audits").mkdir()
        shutil.copy(ROOT / "audits" / "test_duplicated_prompts.py", folder / "audits")
        (folder / "conftest.py").write_text(CONFTEST)
        (folder / "prompts.txt").write_text("".join(f"a picture of {n} things\n" for n in range(prompts)))
        cpu_s(folder, prompts)
        nothing = cpu_s(folder, prompts, "--collect-only")
        without = cpu_s(folder, prompts)
        shown = cpu_s(folder, prompts, "--alluredir", "allure-results")
    return {
        "without": 1000 * (without - nothing) / prompts,
        "with Allure": 1000 * (shown - nothing) / prompts,
        "of Allure": 1000 * (shown - without) / prompts,
    }


def table(measured: dict[int, dict[str, float]]) -> list[str]:
    small, large = (measured[size] for size in SIZES)
    lines = [f"| CPU ms a case | {SIZES[0]:,} prompts | {SIZES[1]:,} prompts | ratio |", "|---|---|---|---|"]
    return lines + [
        f"| {name} | {small[name]:.2f} | {large[name]:.2f} | {large[name] / small[name]:.2f} |"
        for name in small
    ]


def write_docs(lines: list[str]) -> None:
    """Put the section between its marks, and leave what other benchmarks wrote."""
    before, mark, rest = DOCS.read_text().partition(MARK)
    after = rest.partition(MARK)[2] if mark else ""
    before = before if mark else before.rstrip() + "\n\n"
    DOCS.write_text(before + "\n".join([MARK, *lines, MARK]) + (after or "\n"))


def main() -> int:
    """Measure, print, and say by the exit code whether a case of many costs more than a case of few."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--write-docs", action="store_true", help=f"put the table into {DOCS.name}")
    chosen = options.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    measured = {size: case_ms(size) for size in SIZES}
    lines = table(measured)
    print("\n".join(lines))
    ratio = measured[SIZES[1]]["with Allure"] / measured[SIZES[0]]["with Allure"]
    if chosen.write_docs:
        machine = f"{platform.processor() or platform.machine()}, Python {platform.python_version()}"
        write_docs([*INTRODUCTION.format(machine=machine).splitlines(), *lines, ""])
    print(json.dumps({"ratio": round(ratio, 2)}))
    return 1 if ratio > LARGEST_RATIO else 0


if __name__ == "__main__":
    sys.exit(main())
