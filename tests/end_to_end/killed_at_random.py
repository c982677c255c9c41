"""Work that is killed by SIGKILL at random moments and taken up again, until it is done.

    python tests/end_to_end/killed_at_random.py fill|mine|calibrate KILLS SEED FOLDER

Prints what was seen as JSON. Each round forks two processes that do the same work in another order, and kills
their process group; the last round is left alone.
"""

import io
import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from memex_audit.extraction.calibration_file import read_calibration, write_calibration
from memex_audit.generation import pack_files, packs
from memex_audit.generation.filling import draw, fill
from memex_audit.generation.store import UnitStore
from memex_audit.records import Calibration, Generation, GenerationRequest
from memex_audit.training_set import mine, open_training_set

WORKERS = 2


def kill_at_random(
    work: Callable[[int], None],
    kills: int,
    seed: int,
    *,
    longest: float,
    look: Callable[[], None],
    half_written: Callable[[], bool] = lambda: True,
) -> None:
    """Fork `work(worker)` and kill it after at most `longest` seconds, `kills` times; `look` after each.

    Every third time it is killed, if it comes to that within two seconds, when a file is half-written.
    """
    delays = random.Random(seed)
    for left in range(kills, -1, -1):
        group = 0
        workers = []
        for worker in range(WORKERS):
            pid = os.fork()
            if pid == 0:
                run_and_exit(work, worker)
            group = group or pid
            os.setpgid(pid, group)
            workers.append(pid)
        if left:
            time.sleep(delays.uniform(0, longest))
            deadline = time.monotonic() + 2
            while left % 3 == 0 and not half_written() and time.monotonic() < deadline:
                time.sleep(0.001)
            os.killpg(group, signal.SIGKILL)
        statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in workers]
        if not left and any(statuses):
            sys.exit(f"a worker that was left alone ended with {statuses}")
        look()


def run_and_exit(work: Callable[[int], None], worker: int) -> None:
    """Do the work of a forked process, and never come back into the caller's."""
    try:
        work(worker)
    except BaseException:  # noqa: BLE001 - whatever it was
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def slow_down_the_disk() -> None:
    """Write Parquet files, units and manifests in two halves, so that many kills find half of one."""
    write = pq.write_table

    def append_slowly(path: Path, data: bytes, *, make: bool) -> int:
        with path.open("ab" if make else "rb+", buffering=0) as file:
            file.seek(0, os.SEEK_END)
            offset = file.tell()
            file.write(data[: len(data) // 2])
            time.sleep(0.02)
            file.write(data[len(data) // 2 :])
        return offset

    def write_slowly(table: pa.Table, path: Path, **options: Any) -> None:
        whole = io.BytesIO()
        write(table, whole, **options)
        data = whole.getvalue()
        with path.open("wb", buffering=0) as file:
            file.write(data[: len(data) // 2])
            time.sleep(0.02)
            file.write(data[len(data) // 2 :])

    pq.write_table = write_slowly
    packs.append_to = append_slowly


def torn_packs(store: Path) -> int:
    """Count the packs that are longer than their manifests say: a unit or its line is half-written."""
    torn = 0
    for pack in store.rglob(f"*{pack_files.PACK}"):
        manifest = pack.with_suffix(pack_files.MANIFEST)
        text = manifest.read_text() if manifest.exists() else ""
        lines = map(json.loads, text[: text.rfind("\n") + 1].splitlines())
        ends = [line["offset"] + line["size"] for line in lines]
        torn += pack.stat().st_size > max(ends, default=0)
    return torn


# -- drawing


PROMPTS = [f"prompt {i}" for i in range(90)]
LOOKS = ((PROMPTS, 4), (PROMPTS[::3], 10))
BATCHES = (5, 8)


class Slow:
    """Draws a picture that is a function of its seed, and logs it."""

    def __init__(self, log: Path, pause: float) -> None:
        self._log, self._pause = log, pause

    def generate(self, requests: "tuple[GenerationRequest, ...]") -> Iterator[Generation]:
        for request in requests:
            time.sleep(self._pause)
            with self._log.open("a") as log:
                log.write(f"{request.prompt}\t{request.seed}\n")
            pixels = np.random.default_rng(request.seed).integers(0, 256, (48, 48, 3), dtype=np.uint8)
            yield Generation(request=request, pixels=pixels)


def open_store(root: Path) -> UnitStore:
    return UnitStore(
        root, fingerprint="f" * 64, digest="d" * 16, root_seed=0,
        summarize=lambda pixels: np.zeros((1, 3), np.uint16),
    )  # fmt: skip


def kill_drawing(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill two processes that draw the same pictures into one store, in other orders and batch sizes."""
    log = folder / "drawn.log"
    log.touch()
    seen = dict.fromkeys(("looks", "kills_at_work", "stored_and_drawn_again", "in_flight", "torn_packs"), 0)
    stored: set[tuple[str, int]] = set()
    n_read = n_torn = 0

    def work(worker: int) -> None:
        generator = Slow(log, pause=0.015)
        store, batch_size = open_store(folder / "store"), BATCHES[worker]
        for prompts, n in LOOKS:
            ordered = prompts if worker == 0 else prompts[::-1]
            # As an audit does: a batch of prompts at a time.
            for first in range(0, len(ordered), 2 + worker):
                batch = ordered[first : first + 2 + worker]
                fill(store, lambda: generator, batch, n, batch_size=batch_size)

    def look() -> None:
        nonlocal n_read, n_torn
        drawn = log.read_text().splitlines()
        new = [(prompt, int(seed)) for prompt, seed in (line.split("\t") for line in drawn[n_read:])]
        n_read = len(drawn)
        store = open_store(folder / "store")
        seen["looks"] += 1
        seen["stored_and_drawn_again"] += sum(picture in stored for picture in new)
        seen["torn_packs"] += torn_packs(folder / "store") > n_torn
        n_torn = torn_packs(folder / "store")
        # Reading checks every unit: a half file would be refused.
        stored.update((p, g.request.seed) for p in PROMPTS for g in store.read(p, 10))
        seen["in_flight"] += sum(picture not in stored for picture in new)
        seen["kills_at_work"] += any(store.missing(p, n) for prompts, n in LOOKS for p in prompts)

    def half_written() -> bool:
        return torn_packs(folder / "store") > n_torn

    kill_at_random(work, kills, seed, longest=0.15, look=look, half_written=half_written)

    store, undisturbed = open_store(folder / "store"), open_store(folder / "undisturbed")
    differing = 0
    for prompts, n in LOOKS:
        whole = draw(undisturbed, lambda: Slow(folder / "other.log", pause=0), prompts, n, batch_size=8)
        for prompt, expected in zip(prompts, whole, strict=True):
            found = store.read(prompt, n)
            same = [g.request for g in found] == [g.request for g in expected] and all(
                np.array_equal(a.pixels, b.pixels) for a, b in zip(found, expected, strict=True)
            )
            differing += not same
    return seen | {
        "pictures": len((folder / "other.log").read_text().splitlines()),
        "drawn": n_read,
        "differing_prompts": differing,
    }


# -- mining


class SlowEmbedder:
    name, dimension, duplicate_similarity = "pixels", 192, 0.9

    def embed(self, images: list[Any]) -> Any:
        time.sleep(0.05)
        vectors = np.stack([image.reshape(-1).astype(np.float32) - 127.5 for image in images])
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def half_made(cache: Path) -> list[Path]:
    """Return what is being made in the cache, or was when its process was killed."""
    return list(cache.rglob(".*partial*"))


def kill_mining(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill two processes that mine one training set, and each time see what a third finds in the cache."""
    images = folder / "images"
    images.mkdir()
    for i in range(300):
        pixels = np.random.default_rng(i // 2).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{i:03d}.png")
        (images / f"{i:03d}.txt").write_text(f"caption {i}")
    seen = dict.fromkeys(("looks", "kills_at_work", "half_made"), 0)
    selections = range(1, 200)

    def run(cache: Path, max_prompts: int = 1000) -> Any:
        return mine(
            open_training_set(images), SlowEmbedder, embedder_name="pixels", cache=cache,
            max_prompts=max_prompts, seed=0,
        )  # fmt: skip

    def embed(worker: int) -> None:
        run(folder / "cache")

    def select(worker: int) -> None:
        for max_prompts in selections:  # each is a file of its own
            run(folder / "cache", max_prompts)

    def look(wanted: int) -> None:
        made = len(list((folder / "cache").glob("*/audit-set-*.parquet")))
        seen["looks"] += 1
        seen["half_made"] += len(half_made(folder / "cache"))
        seen["kills_at_work"] += made < wanted

    kill_at_random(embed, kills // 2, seed, longest=0.3, look=partial(look, 1))
    kill_at_random(
        select, kills - kills // 2, seed, longest=0.3, look=partial(look, 1 + len(selections)),
        half_written=lambda: bool(half_made(folder / "cache")),
    )  # fmt: skip
    found, expected = run(folder / "cache"), run(folder / "undisturbed")
    return seen | {
        "prompts": len(found.prompts.prompts),
        "same_prompts": found.prompts == expected.prompts,
        "same_embeddings": bool(np.array_equal(found.load_embeddings(), expected.load_embeddings())),
        "left_half_made": len(half_made(folder / "cache")),
    }


# -- calibrating


CALIBRATION = Calibration(
    source="calibrated", edge_delta=0.12, match_delta=0.1, clique_size=4, protocol="default", negatives=60,
    flagged=3, upper=0.1243, model_fingerprint="f" * 64, settings_digest="d" * 16, looks=(4, 16),
)  # fmt: skip


def kill_calibration_writes(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill two processes that write one calibration again and again; it can be read at any time."""
    path = folder / "calibration.json"
    write_calibration(path, CALIBRATION)
    seen = dict.fromkeys(("looks", "readable"), 0)

    def work(worker: int) -> None:
        for i in range(1, 10_000):
            write_calibration(path, replace(CALIBRATION, edge_delta=i / 20_000))
            if (folder / "enough").exists():
                return

    def look() -> None:
        seen["looks"] += 1
        seen["readable"] += read_calibration(path).model_fingerprint == "f" * 64
        if seen["looks"] == kills:
            (folder / "enough").touch()

    kill_at_random(work, kills, seed, longest=0.03, look=look)
    return seen


def main() -> None:
    kind, kills, seed, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    slow_down_the_disk()
    kinds = {"fill": kill_drawing, "mine": kill_mining, "calibrate": kill_calibration_writes}
    print(json.dumps(kinds[kind](folder, kills, seed)))  # noqa: T201 - its result


if __name__ == "__main__":
    main()
