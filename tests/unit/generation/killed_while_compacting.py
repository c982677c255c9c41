"""Compact copies of a folder, killed at another moment each time, and print how many moments there were.

Killed is a process of its own each time, before the n-th change that it makes to a file in the folder. Before
and after it is compacted once more, the pictures must be what they were at first. With `1` as the third
argument every n is tried (a minute), else every 7th.
"""

import hashlib
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from memex_audit.generation.compacting import compact
from memex_audit.generation.older_units import older_files, read_older
from memex_audit.generation.packs import Packs
from memex_audit.generation.unit import reduced_in

CHANGES = ("os.remove", "os.rename", "os.utime", "os.rmdir", "os.mkdir", "os.truncate")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
# What is left: model.json, a pack and its manifest; a partial file may be of a process that lives.
FILES = 3


def compact_and_die(folder: Path, moment: int) -> None:
    left = moment

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        changes = event in CHANGES or (event == "open" and int(str(arguments[2])) & WRITES)
        if changes and str(folder) in str(arguments[0]):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    compact(folder, quiet=0)


def finish(folder: Path) -> None:
    compact(folder, quiet=0)


def digest(folder: Path) -> str:
    """Identify what is read: of each picture the unit that it comes from, by its bytes."""
    packs, found = Packs(folder), {}
    packs.refresh()
    units = [(place, packs.read(place)) for place in packs.all_places()]
    for place, unit in [*units, *map(read_older, older_files(folder))]:
        for number, reduced in zip(range(place.first, place.last + 1), reduced_in(unit), strict=True):
            if found.get((place.prompt, number), (True,))[0]:
                found[place.prompt, number] = (reduced, hashlib.sha256(unit).hexdigest())
    return hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()


def in_a_process_of_its_own(work: Callable[..., object], *arguments: object) -> tuple[int, str]:
    """Return how it ended, and what it gave back."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, str(work(*arguments)).encode())
        except Exception:  # noqa: BLE001 - the parent must hear of any
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        text = said.read()
    return os.waitpid(child, 0)[1], text


def main() -> None:
    original, folder = Path(sys.argv[1]), Path(sys.argv[2])
    step = int(sys.argv[3]) if len(sys.argv) > 3 else 7
    expected, kills, how = in_a_process_of_its_own(digest, original), 0, int(signal.SIGKILL)
    while how == signal.SIGKILL:
        shutil.copytree(original, folder)
        how, _ = in_a_process_of_its_own(compact_and_die, folder, step * kills)
        assert how in (0, signal.SIGKILL)
        assert in_a_process_of_its_own(digest, folder) == expected, kills
        kills += how == signal.SIGKILL
        assert in_a_process_of_its_own(finish, folder)[0] == 0
        assert in_a_process_of_its_own(digest, folder) == expected, kills
        assert sum(path.is_file() and path.suffix != ".partial" for path in folder.iterdir()) == FILES, kills
        shutil.rmtree(folder)
    sys.stdout.write(f"{kills}\n")


if __name__ == "__main__":
    main()
