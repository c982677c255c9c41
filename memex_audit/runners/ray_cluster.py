"""Connect to a Ray cluster, or start one here that leaves nothing behind."""

import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

from memex_audit.errors import RunnerError, first_line

CONNECT_S, ANSWER_S = 5.0, 30.0
# Receipts are all that is kept in it.
OBJECT_STORE_BYTES = 128 << 20
# Ray puts sockets some 60 characters below its folder, and the path of a socket has 107 bytes.
LONGEST_TEMPORARY = 40


@contextmanager
def connected(address: str | None, n_cpus: int | None) -> Iterator[None]:
    """Connect this process to a cluster.

    Args:
        address: HOST:PORT, or `auto` for one that runs on this machine; None starts one here, on 127.0.0.1,
            and ends it again.
        n_cpus: of the one that is started here; None for as many as there are.

    Raises:
        RunnerError: it cannot be reached or started.
    """
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        with _temporary() as folder:
            _init(
                address="local", num_cpus=n_cpus, include_dashboard=False, _node_ip_address="127.0.0.1",
                _temp_dir=str(folder), object_store_memory=OBJECT_STORE_BYTES, **quiet,
            )  # fmt: skip
            try:
                yield
            finally:
                ray.shutdown()
        return
    if address != "auto":
        _check_answers(address)
    _init(address=address, **quiet)
    try:
        yield
    finally:
        ray.shutdown()


def _init(**options: object) -> None:
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = options["address"]
        raise RunnerError(
            f"a Ray cluster must be there, got {where}: {first_line(error)}; start one by `ray start --head`."
        ) from error


def _check_answers(address: str) -> None:
    """Ask for a sign of life first: ray.init tries an address that nobody answers at for two minutes or more.

    Raises:
        RunnerError: there is none within the time.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        raise RunnerError(
            f"--address must be HOST:PORT of a Ray cluster, got {address}; such as 10.0.0.1:6379."
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, first_line(error)) from error
    # The very call, where it can be ended.
    call = f"import ray; ray.init({address!r}, log_to_driver=False, logging_level='ERROR')"
    try:
        tried = subprocess.run(  # noqa: S603 - this Python
            [sys.executable, "-c", call], capture_output=True, text=True, timeout=ANSWER_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _unreachable(address, f"no answer in {ANSWER_S:g} s") from error
    if tried.returncode:
        said = tried.stderr.strip().splitlines() or [f"exit code {tried.returncode}"]
        raise _unreachable(address, said[-1][:300])


def _unreachable(address: str, reason: str) -> RunnerError:
    return RunnerError(
        f"--address must be a Ray cluster that can be reached, got {address} ({reason}); start it by `ray "
        "start --head`, or leave --address out to start one here."
    )


@contextmanager
def _temporary() -> Iterator[Path]:
    """Give a folder with a short path for all that Ray writes, and remove it."""
    usual = tempfile.gettempdir()
    short = usual if len(usual) < LONGEST_TEMPORARY else "/tmp"  # noqa: S108 - a new folder, of this user
    folder = Path(tempfile.mkdtemp(prefix="mx", dir=short))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
