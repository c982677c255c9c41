"""What the installed plugin costs a project that does not audit: CPU time with it and without, side by side.

python benchmarks/plugin_cost.py
"""

import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

REPEATS = 15
WITHOUT = ("-p", "no:memex_audit")
SUITE = (
    "import pytest\n\n@pytest.mark.parametrize('n', range(1000))\ndef test_unrelated(n):\n    assert n >= 0\n"
)


def cpu_ms(folder: Path, *arguments: str) -> float:
    """Return user and system time of one pytest run, in milliseconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def main() -> None:
    """Print the median of each, and of the differences between neighbouring runs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_unrelated.py").write_text(SUITE)
        for what, arguments in (("pytest --version", ("--version",)), ("1,000 unrelated tests", ())):
            cpu_ms(folder, *arguments)  # warms the page cache
            pairs = [
                (cpu_ms(folder, *arguments), cpu_ms(folder, *WITHOUT, *arguments)) for _ in range(REPEATS)
            ]
            with_it, without = (statistics.median(side) for side in zip(*pairs, strict=True))
            cost = statistics.median(one - other for one, other in pairs)
            print(f"{what}: {with_it:.0f} ms with the plugin, {without:.0f} ms without, cost {cost:.0f} ms")


if __name__ == "__main__":
    main()
