"""A process that is killed loses the answer it waits for, and none that was paid for before."""

import os
import signal
import subprocess
import sys
import threading

import numpy as np
from images_api_server import draw, noise

from memex_audit.generation.black_box.endpoint import parse_endpoint
from memex_audit.generation.packs import Packs
from memex_audit.generation.store import UnitStore

ASK = """
import sys
from pathlib import Path

from memex_audit.batch_size import BatchSize
from memex_audit.black_boxes import Surroundings, open_black_box
from memex_audit.config import Settings
from memex_audit.generation.filling import fill
from memex_audit.generation.packs import Packs
from memex_audit.generation.store import UnitStore

model, folder = sys.argv[1], Path(sys.argv[2])
around = Surroundings(rootdir=folder, store_folder=lambda: folder, api_key=lambda: None, note=lambda _: None)
api = open_black_box(Settings(model=model), around)
store = UnitStore(
    folder, fingerprint=api.fingerprint, digest="d", root_seed=0, summarize=lambda p: p[0, :1].astype("u2"),
    note=lambda _: None,
)
fill(store, lambda: api, ["a lighthouse", "a red bicycle"], 4, batch_size=BatchSize.of(api.batch_size))
"""


def test_what_was_answered_before_a_kill_is_kept_and_asked_for_once(server, tmp_path):
    waiting = threading.Event()

    def stall(handler, _):
        waiting.set()
        handler.server.released.wait(30)
        handler.close_connection = True

    server.script = [draw] * 3 + [stall]
    command = [sys.executable, "-c", ASK, server.model(), str(tmp_path)]
    with subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}) as process:
        try:
            assert waiting.wait(60)
        finally:
            process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL

    (folder,) = tmp_path.glob("units/*/*")
    packs = Packs(folder)
    packs.refresh()
    assert sorted((place.first, place.last) for place in packs.all_places()) == [(0, 0), (1, 1), (2, 2)]
    subprocess.run(command, check=True, timeout=60)
    prompts = [fields["prompt"] for fields in server.asked]
    # The fourth was asked for, and the kill lost its answer.
    assert prompts == ["a lighthouse"] * 5 + ["a red bicycle"] * 4
    store = UnitStore(
        tmp_path,
        fingerprint=parse_endpoint(server.model().removeprefix("openai+")).fingerprint,
        digest="d",
        root_seed=0,
        summarize=lambda pixels: pixels[0, :1],
        note=lambda _: None,
    )
    for number, generation in enumerate(store.read("a lighthouse", 4)):
        np.testing.assert_array_equal(generation.pixels, noise(number))
