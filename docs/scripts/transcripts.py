"""Run the commands of the tutorial and paste what they print: `python docs/scripts/transcripts.py`.

Commands run one after another in a fresh clone of the last commit, and with its code. A block between
`<!-- transcripts.py: NAME -->` and `<!-- end -->` of a page gets the command of that name with the pieces of
its output that are kept; `[...]` stands for what was left out.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

DOCS = Path(__file__).parents[1]
BLOCK = re.compile(r"(<!-- transcripts.py: ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)
SHOWN_FOLDER = "/home/you/memex-audit"
LEFT_OUT = "[...]"

# The first line of a piece, and the line before which it ends; an empty pattern is the end of the output.
Piece = tuple[str, str]
HEADER = (r"^=+ test session", r"^$")
SUMMARY = (r"^=+ memex: ", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A command, its exit code, and which pieces of its output are shown; none is all of it."""

    command: str
    exit_code: int = 0
    pieces: tuple[Piece, ...] = ()


RUNS: Mapping[str, Run] = {
    "pass": Run(command="pytest audits/", pieces=(HEADER, SUMMARY)),
    "fail": Run(
        command="pytest audits/ --memex-model specimen:duplicated --memex-json result.json",
        exit_code=1,
        pieces=(SUMMARY,),
    ),
    "verdict": Run(command="memex verdict result.json; echo exit code $?"),
    "case": Run(
        command="pytest audits/ -k hot-pepper --memex-model specimen:duplicated",
        exit_code=1,
        pieces=((r"^=+ FAILURES", r"^=+ short test summary"), SUMMARY),
    ),
    "evidence": Run(
        command="pytest audits/ -q -k hot-pepper --memex-model specimen:duplicated "
        "--memex-evidence full:private >log.txt\n"
        "find private -type f | sort",
    ),
    "inconclusive": Run(command="pytest audits/ --memex-max-prompts 100", exit_code=1, pieces=(SUMMARY,)),
    "lora": Run(command="pytest audits/ --memex-lora specimen:lora", exit_code=1, pieces=(SUMMARY,)),
    "mine": Run(
        command="memex mine memex_audit/specimen/data/training-set.parquet --embedder specimen "
        "--out prompts.parquet"
    ),
    "calibrate": Run(
        command="head -n 300 memex_audit/specimen/data/held-out-captions.txt >negatives.txt\n"
        "memex calibrate --model specimen:duplicated --reference specimen:deduplicated "
        "--negatives negatives.txt --out calibration.json",
    ),
}  # fmt: skip


def kept(output: str, pieces: tuple[Piece, ...]) -> str:
    """Return the pieces of an output, in order.

    Raises:
        ValueError: a piece is not there.
    """
    if not pieces:
        return output.strip("\n")
    lines, at, shown = output.splitlines(), 0, []
    for first, end in pieces:
        start = _find(lines, first, at)
        stop = _find(lines, end, start + 1) if end else len(lines)
        shown += [LEFT_OUT] * (start > at) + lines[start:stop]
        at = stop
    return "\n".join(shown + [LEFT_OUT] * (at < len(lines))).strip("\n")


def _find(lines: list[str], pattern: str, start: int) -> int:
    for number in range(start, len(lines)):
        if re.search(pattern, lines[number]):
            return number
    raise ValueError(f"the output must have a line like {pattern!r}, got:\n" + "\n".join(lines[-60:]))


def run_all(names: tuple[str, ...], folder: Path) -> Iterator[tuple[str, str]]:
    """Run the commands in a clone below the folder; yield each name with its transcript."""
    clone = folder / "memex-audit"
    subprocess.run(["git", "clone", "--quiet", "--local", str(DOCS.parent), str(clone)], check=True)
    environment = os.environ | {"COLUMNS": "80", "PYTHONPATH": str(clone)}
    for name in names:
        run = RUNS[name]
        done = subprocess.run(
            run.command,
            shell=True,
            cwd=clone,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode != run.exit_code:
            raise RuntimeError(
                f"{run.command} must exit {run.exit_code}, got {done.returncode}:\n{done.stdout}"
            )
        output = done.stdout.replace(str(clone), SHOWN_FOLDER)
        yield name, f"```console\n{run.command}\n```\n\n```text\n{kept(output, run.pieces)}\n```"


def fill(name: str, transcript: str) -> None:
    """Put a transcript into every block of that name."""
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        filled = BLOCK.sub(
            lambda found: f"{found[1]}\n{transcript}\n\n{found[3]}" if found[2] == name else found[0], text
        )
        if filled != text:
            page.write_text(filled, encoding="utf-8")


@click.command()
@click.argument("names", nargs=-1)
def main(names: tuple[str, ...]) -> None:
    """Run the commands of these NAMES (default: all, in their order) and write what they print."""
    with tempfile.TemporaryDirectory() as folder:
        for name, transcript in run_all(names or tuple(RUNS), Path(folder)):
            fill(name, transcript)
            click.echo(name)


if __name__ == "__main__":
    main()
