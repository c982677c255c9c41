"""Ray: what is said where there is none, and on a cluster of this machine an actor that is killed at work."""

import importlib.metadata
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner
from written_work import WrittenWork

from memex_audit.cli import main

PROMPTS = [f"prompt {i}" for i in range(120)]

MODEL = '''
import os
import time
from pathlib import Path

import numpy as np

from memex_audit.records import Generation

HERE = Path(__file__).parent


class Slow:
    """Noise, at its leisure; writes down what it drew, and in which process."""

    fingerprint, settings, seeded, shareable, evaluations_per_image = "s" * 64, {}, True, True, 1

    def generate(self, requests):
        with (HERE / "drawn.log").open("a") as log:
            log.writelines(f"{request.seed}\\t{os.getpid()}\\n" for request in requests)
        for request in requests:
            time.sleep(0.02)
            pixels = np.random.default_rng(request.seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
            yield Generation(request=request, pixels=pixels)
'''


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slow_model.py").write_text(MODEL)
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
    return tmp_path


GENERATE = (
    "generate",
    "prompts.txt",
    "--model",
    "python:slow_model:Slow",
    "--no-controls",
    "--runner",
    "ray",
)


def drawn(project):
    """Return seeds and processes, in the order of drawing."""
    log = project / "drawn.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return [(int(seed), int(pid)) for seed, pid in (line.split("\t") for line in lines)]


def test_without_ray_one_line_says_how_to_install_it(project, monkeypatch):
    for name in ("memex_audit.runners.ray_runner", "memex_audit.runners.ray_cluster"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    run = CliRunner().invoke(main, GENERATE)
    assert run.exit_code == 1
    assert run.stderr.splitlines()[-1] == (
        "Error: --runner ray must have Ray, got none installed; pip install 'memex-audit[ray]' on every "
        "machine of the cluster."
    )


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", r"must be a Ray cluster that can be reached, got 127.0.0.1:1 \(.*refused\)"),
        ("10.0.0.1", r"must be HOST:PORT of a Ray cluster, got 10.0.0.1; such as 10.0.0.1:6379."),
    ],
)
def test_a_cluster_that_cannot_be_reached_is_one_line_soon(project, address, said):
    began = time.monotonic()
    run = subprocess.run(
        [sys.executable, "-m", "memex_audit", *GENERATE, "--address", address],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert re.match(f"Error: --address {said}", run.stderr.splitlines()[-1])
    assert time.monotonic() - began < 60


ALONE = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def test_an_actor_that_sees_another_store_or_another_version_says_so(tmp_path):
    from memex_audit.runners.ray_runner import _Actor, _token_in

    (tmp_path / "store").mkdir()
    version = importlib.metadata.version("memex-audit")
    with _token_in(tmp_path / "store") as token:
        work = WrittenWork(tmp_path)
        assert _Actor().begin(work, token, version) is None
        said = _Actor().begin(work, token, "0.0.1")
        assert said.startswith(f"every machine must have memex-audit 0.0.1, got {version} on ")
    said = _Actor().begin(work, token, version)  # the folder is there, and is not the driver's
    assert said.startswith("the store must be a folder that every machine of the cluster sees, got ")
    assert not list((tmp_path / "store").iterdir())


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def head(tmp_path_factory, monkeypatch):
    """A head node of two CPUs, in a folder that is none of the tests'."""
    # A socket's path has 107 bytes: pytest's own folders are too long.
    folder, port = Path(f"/tmp/ray{os.getpid()}"), free_port()
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}",
        "--node-ip-address=127.0.0.1", "--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats",
        f"--temp-dir={folder}", "--object-store-memory=100000000",
    ]  # fmt: skip
    # On 127.0.0.1 only, and with a token that is not written into the home folder.
    for name, value in ALONE.items():
        monkeypatch.setenv(name, value)
    away = tmp_path_factory.mktemp("away")
    node = subprocess.Popen(command, cwd=away, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in node.stdout:
        if "Ray runtime started" in line:
            break
    yield f"127.0.0.1:{port}"
    node.terminate()
    node.communicate(timeout=60)
    subprocess.run(["rm", "-rf", folder], check=True)


@pytest.mark.ray
def test_an_actor_that_is_killed_is_replaced_and_its_unit_done_once(project, head):
    command = [sys.executable, "-m", "memex_audit", *GENERATE, "--address", head, "--workers", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and len({pid for _, pid in drawn(project)}) < 2:
        time.sleep(0.05)
    if process.poll() is None:
        os.kill(drawn(project)[-1][1], signal.SIGKILL)  # one of the two, at work
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert out.startswith("--shard 1/1: 120 prompts, "), out
    assert len({pid for _, pid in drawn(project)}) == 3
    # At most what one actor had drawn and not written, and one picture by which each checks the model.
    counted = Counter(seed for seed, _ in drawn(project))
    assert len(counted) == 4 * len(PROMPTS)
    assert sum(counted.values()) - len(counted) <= 8 + 3
    assert not list((project / ".memex").glob(".seen-*"))
    again = CliRunner().invoke(main, ["generate", *GENERATE[1:-2]])
    assert again.stdout.startswith("--shard 1/1: 120 prompts, 0 pictures drawn, 480 found there"), (
        again.output
    )


@pytest.mark.ray
def test_a_cluster_that_is_started_here_stays_on_this_machine_and_leaves_nothing_behind(project):
    before, token_before = set(Path("/tmp").iterdir()), (Path.home() / ".ray" / "auth_token").exists()
    command = [sys.executable, "-m", "memex_audit", *GENERATE, "--workers", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not drawn(project):
        time.sleep(0.05)
    # Ray's servers listen on the loopback alone where the node has its address, else on all networks.
    (server,) = [line for line in ray_processes() if b"gcs_server" in line.split(b"\0")[0]]
    assert b"--node-ip-address=127.0.0.1" in server.split(b"\0")
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert out.startswith("--shard 1/1: 120 prompts, 480 pictures drawn"), out
    assert not [path for path in set(Path("/tmp").iterdir()) - before if path.name.startswith("mx")]
    assert not (Path.home() / ".ray" / "auth_token").exists() or token_before
    assert not ray_processes()


def ray_processes():
    """Return the command lines of processes that write where a cluster that a command started does."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended meanwhile
            lines.append(path.read_bytes())
    return [line for line in lines if b"/tmp/mx" in line]
