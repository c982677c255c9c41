"""Draw what a terminal shows of an audit: docs/terminal-pass.png, -fail.png and -inconclusive.png.

    python docs/scripts/terminal_pictures.py [--store FOLDER] [--out FOLDER]

Audits the specimen three times in a pseudo-terminal of 80 columns and draws its screen, cell by cell.
A full audit takes minutes on a CPU where the store does not hold its pictures. Needs pyte and a
monospaced font (DejaVu Sans Mono).
"""

import argparse
import fcntl
import os
import pty
import shutil
import struct
import sys
import tempfile
import termios
from pathlib import Path

import pyte
from PIL import Image, ImageDraw, ImageFont

AUDITS = Path(__file__).parents[2] / "audits"
COLUMNS, ROWS = 80, 2000
RUNS = {
    "pass": ["pytest", "audits/"],
    "fail": ["pytest", "audits/", "--memex-model", "specimen:duplicated"],
    "inconclusive": ["pytest", "audits/", "--memex-max-prompts", "100"],
}
SIZE, LINE, MARGIN = 15, 19, 16
PAPER, INK = "#1e1f29", "#d8d9e0"
COLOURS = {"red": "#ff6b6b", "green": "#5fd68b", "brown": "#f0c862", "cyan": "#6cc7e8", "blue": "#7aa2f7"}
CUT = "[...]"


def main() -> None:
    """Run the audits and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, default=Path(tempfile.mkdtemp()), help="memex store to use")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1], help="folder to write to")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(AUDITS, Path(folder, "audits"), ignore=shutil.ignore_patterns("__pycache__"))
        # Without the header, which names paths and versions of the machine.
        settings = ("[pytest]", "addopts = --no-header", f"memex_store = {given.store.resolve()}", "")
        Path(folder, "pytest.ini").write_text("\n".join(settings))
        for name, command in RUNS.items():
            rows = shortened(screen_of(command, Path(folder)))
            target = given.out / f"terminal-{name}.png"
            drawn(rows, command).save(target, optimize=True)
            sys.stdout.write(f"{target}: {len(rows)} lines, {target.stat().st_size / 1024:.0f} KiB\n")


def screen_of(command: list[str], folder: Path) -> list[dict[int, pyte.screens.Char]]:
    """Run a command in a pseudo-terminal and return the lines of its screen."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.environ |= {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
        os.environ.pop("CI", None)
        os.execvp(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    try:
        while chunk := os.read(terminal, 65536):
            stream.feed(chunk)
    except OSError:
        pass  # Linux ends the reading of a closed pseudo-terminal with an error.
    os.waitpid(process, 0)
    return [screen.buffer[row] for row in range(screen.cursor.y)]


def text_of(row: dict[int, pyte.screens.Char]) -> str:
    """Return the text of one line of a screen."""
    return "".join(row[column].data for column in range(COLUMNS)).rstrip()


def shortened(rows: list[dict[int, pyte.screens.Char]]) -> list[dict[int, pyte.screens.Char] | None]:
    """Leave out, with None in its place, what lies between the first failure and the verdict."""
    texts = [text_of(row) for row in rows]
    verdict = next(n for n, text in enumerate(texts) if "= memex: " in text)
    failures = [n for n, text in enumerate(texts) if "= FAILURES =" in text]
    warnings = [n for n, text in enumerate(texts) if "= warnings summary =" in text]
    shown = min([*warnings, verdict])
    if failures:
        shown = 1 + next(n for n in range(failures[0], verdict) if texts[n].startswith("audits/"))
    return [*rows[:shown], *([None] if shown < verdict else []), *rows[verdict:]]


def drawn(rows: list[dict[int, pyte.screens.Char] | None], command: list[str]) -> Image.Image:
    """Draw lines of a screen under the command that gave them."""
    regular = ImageFont.truetype("DejaVuSansMono.ttf", SIZE)
    bold = ImageFont.truetype("DejaVuSansMono-Bold.ttf", SIZE)
    cell = regular.getlength("M")
    size = round(COLUMNS * cell) + 2 * MARGIN, (len(rows) + 1) * LINE + 2 * MARGIN
    picture = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, MARGIN), f"$ {' '.join(command)}", fill=INK, font=bold)
    for number, row in enumerate(rows, start=1):
        top = MARGIN + number * LINE
        if row is None:
            draw.text((MARGIN, top), CUT, fill=COLOURS["cyan"], font=regular)
            continue
        for column in range(COLUMNS):
            character = row[column]
            ink, paper = COLOURS.get(character.fg, INK), PAPER
            if character.reverse:
                ink, paper = paper, ink
            left = MARGIN + column * cell
            if paper != PAPER:
                draw.rectangle((left, top, left + cell, top + LINE - 1), fill=paper)
            draw.text((left, top + 1), character.data, fill=ink, font=bold if character.bold else regular)
    return picture.quantize(96, dither=Image.Dither.NONE)


if __name__ == "__main__":
    main()
