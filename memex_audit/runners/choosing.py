"""From the options of a command to a runner."""

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from memex_audit.errors import ConfigurationError, RunnerError
from memex_audit.runners.local import LocalRunner
from memex_audit.runners.work import Runner, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """How the user wants work shared: `kind` is local or ray; None of `workers` as many as there are GPUs,
    of `address` a cluster that is started for this."""

    kind: str = "local"
    workers: int | None = None
    address: str | None = None


def workers_here(device: str) -> int:
    """Return how many processes draw here, where nobody said: one for each GPU, else one."""
    if device not in ("auto", "cuda"):
        return 1
    import torch  # counting devices takes hold of none

    return max(1, torch.cuda.device_count())


def open_runner(
    sharing: Sharing,
    work: Work,
    *,
    workers: int | None,
    store: Path,
    on_gpu: bool,
    say: Callable[[str], None],
) -> Runner:
    """Return the runner of that kind.

    Args:
        sharing: which.
        work: what is done.
        workers: processes here or actors there; None lets a Ray cluster have one for each GPU, else CPU.
        store: a folder that all workers must see.
        on_gpu: take GPUs where there are any.
        say: writes a line for the user.

    Raises:
        ConfigurationError: an address is given, and the runner is not Ray.
        RunnerError: Ray is not installed, or its cluster cannot be reached.
    """
    if sharing.kind == "local":
        if sharing.address:
            raise ConfigurationError(
                f"--address must be a Ray cluster's, got {sharing.address} for --runner local; give --runner "
                "ray."
            )
        return LocalRunner(work, workers or 1)
    os.environ |= _read_by_ray(alone=sharing.address is None)
    try:
        from memex_audit.runners.ray_runner import RayRunner
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise RunnerError(
            "--runner ray must have Ray, got none installed; pip install 'memex-audit[ray]' on every machine "
            "of the cluster."
        ) from error
    return RayRunner(work, workers=workers, address=sharing.address, store=store, on_gpu=on_gpu, say=say)


def _read_by_ray(*, alone: bool) -> dict[str, str]:
    """Return what Ray must find in the environment when it is imported; `alone`: it starts a cluster here.

    That one is to stay on 127.0.0.1, where the address alone does not keep it on Linux: it would listen on
    every network of the machine. And it is to answer to this command only, with a token that is written
    nowhere; by itself Ray writes one into the home folder.
    """
    quiet = {"RAY_USAGE_STATS_ENABLED": "0"}
    if not alone:
        return quiet
    own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    return {**quiet, **own, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
