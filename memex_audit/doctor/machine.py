"""Look at the machine: device, memory, packages, the store's disk, the hub."""

import os
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

from memex_audit.config import Settings
from memex_audit.doctor.checks import Check, missing, ok, warning
from memex_audit.generation.devices import choose_dtype, device_of_worker

HUB_TIMEOUT_S = 3.0
NEEDED = ("allure", "diffusers", "open_clip", "PIL", "pyarrow", "safetensors", "scipy", "transformers")
HELPFUL = {
    "xdist": "pytest-xdist (several devices at once)",
    "accelerate": "accelerate (loads in less memory)",
}
# What the weights may take of the memory that is free, if there is to be room for pictures.
SHARE_FOR_WEIGHTS = 0.7
UNITS = ((1 << 40, "TB"), (1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Where pictures are drawn, and the number format of the weights there."""

    name: str
    dtype: str

    @property
    def bytes_per_number(self) -> int:
        return 4 if self.dtype == "fp32" else 2


def find_device(settings: Settings) -> Device:
    """Return what an audit of one process would draw on.

    Raises:
        ConfigurationError: there is no such device or format here.
    """
    device = device_of_worker(settings.device)
    return Device(name=device, dtype=choose_dtype(settings.dtype, device))


def check_device(device: Device, n_cuda: int) -> Check:
    """Say what is drawn on, and what is left idle."""
    said = f"{device.name}, {device.dtype}"
    if device.name == "cpu" and device.dtype != "fp32":
        return warning("device", said, "half precision is slower on a CPU: leave --memex-dtype out")
    if n_cuda > 1 and device.name.startswith("cuda") and find_spec("xdist") is None:
        advice = f"use them all: pip install pytest-xdist, and pytest -n {n_cuda}"
        return warning("device", f"{said}; {n_cuda} are here", advice)
    return ok("device", said)


def check_packages(settings: Settings, find: Callable[[str], object] = find_spec) -> Check:
    """Look for the packages that these settings need, and for those that help."""
    lacking = [name for name in NEEDED if find(name) is None]
    if lacking:
        return missing("packages", f"not installed: {', '.join(lacking)}", "pip install memex-audit")
    if settings.lora and find("peft") is None:
        said = "--memex-lora needs peft, which is not installed"
        return missing("packages", said, "pip install 'memex-audit[lora]'")
    left_out = [said for name, said in HELPFUL.items() if find(name) is None]
    return ok("packages", f"all there; optional and not installed: {', '.join(left_out) or 'none'}")


def free_memory(device: str) -> tuple[int, int] | None:
    """Return the free and all bytes of a device's memory; None where nobody says."""
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(torch.device(device))
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        total = page * os.sysconf("SC_PHYS_PAGES")
        free = page * os.sysconf("SC_AVPHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():  # counts what the page cache would give back
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        free = int(fields.get("MemAvailable", f"{free // 1024} kB").split()[0]) * 1024
    return free, total


def check_memory(n_parameters: int, device: Device, memory: tuple[int, int] | None) -> Check:
    """Compare the weights with the device's memory."""
    needed = n_parameters * device.bytes_per_number
    weights = f"{n_parameters:,} parameters take {size_text(needed)} in {device.dtype}"
    if memory is None:
        return ok("memory", f"{weights}; how much {device.name} has is unknown")
    free, total = memory
    said = f"{weights}; {size_text(free)} of {size_text(total)} are free on {device.name}"
    if needed > total:
        return missing("memory", said, "take --memex-dtype fp16 or bf16, or a larger device")
    if needed > SHARE_FOR_WEIGHTS * free:
        return warning("memory", said, "end what else uses it, or draw fewer at once with --memex-batch-size")
    return ok("memory", said)


def check_store(store: Path, needed: tuple[int, int] | None) -> Check:
    """Look whether the store can be written and holds what is drawn: so many bytes at least, and at most."""
    place = next(folder for folder in (store, *store.absolute().parents) if folder.exists())
    if not place.is_dir():
        return missing("store", f"{place} is a file", "name a folder with --memex-store")
    if not os.access(place, os.W_OK):
        return missing("store", f"{place} cannot be written", "name another folder with --memex-store")
    free = shutil.disk_usage(place).free
    said = f"{store}: {size_text(free)} free"
    if needed is None:
        return ok("store", f"{said}; how much is needed is unknown, as the pictures' size is")
    least, most = needed
    said += f"; pictures take at most {size_text(most)}"
    if least > free:
        return missing("store", said, "free space, or name another disk with --memex-store")
    if most > free:
        advice = "free space: it does not suffice if every prompt is looked at to the end"
        return warning("store", said, advice)
    return ok("store", said)


def hub_answers(timeout_s: float = HUB_TIMEOUT_S) -> bool:
    """Whether the Hugging Face hub can be reached in time: a name that is not resolved can take minutes."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    answers: list[bool] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(constants.ENDPOINT, timeout=timeout_s):  # noqa: S310 - the client's own
                answers.append(True)
        except urllib.error.HTTPError:
            answers.append(True)
        except (OSError, ValueError):
            answers.append(False)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout_s)
    return answers == [True]


def size_text(n_bytes: float) -> str:
    """Write a number of bytes.

    >>> size_text(1536), size_text(3 * 2**30), size_text(12)
    ('1.5 KB', '3.0 GB', '12 bytes')
    """
    for unit, name in UNITS:
        if n_bytes >= unit:
            return f"{n_bytes / unit:.1f} {name}"
    return f"{int(n_bytes)} bytes"
