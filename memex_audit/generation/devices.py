"""Which device a process draws on: the one asked for, and among several workers one each."""

import os

import torch

from memex_audit.errors import ConfigurationError
from memex_audit.work_units import ALONE, Worker

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def choose_dtype(wanted: str, device: str, *, bf16: bool | None = None) -> str:
    """Return the number format: the wanted one, or for "auto" bf16 or fp16 on cuda, else fp32.

    Half precision is slower than single on a CPU, and overflows to black pictures on some mps versions.

    Args:
        wanted: auto, fp32, fp16 or bf16.
        device: where the model lies.
        bf16: whether cuda has bf16; None to ask it.

    Raises:
        ConfigurationError: there is no such format.
    """
    if wanted in DTYPES:
        return wanted
    if wanted != "auto":
        raise ConfigurationError(f"`dtype` must be one of auto, {', '.join(DTYPES)}, got dtype={wanted!r}.")
    if not device.startswith("cuda"):
        return "fp32"
    if bf16 is None:
        bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return "bf16" if bf16 else "fp16"


def device_of_worker(wanted: str, worker: Worker = ALONE, *, share_cpu: bool = True) -> str:
    """Return the device of this process on this machine; see `share_out`.

    Several processes on one CPU get an equal part of its threads each.
    """
    n_cuda, mps = torch.cuda.device_count(), torch.backends.mps.is_available()
    device = share_out(wanted, worker, n_cuda=n_cuda, mps=mps, share_cpu=share_cpu)
    if device == "cpu" and worker.count > 1:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // worker.count))
    return device


def share_out(wanted: str, worker: Worker, *, n_cuda: int, mps: bool, share_cpu: bool = True) -> str:
    """Return the device that a worker takes.

    "auto" is the best of cuda, mps and cpu. Where that, or "cuda", means several devices, each worker
    takes one of them, in order.

    Args:
        wanted: auto, cpu, cuda, cuda:N or mps.
        worker: the place of this process.
        n_cuda: number of CUDA devices that can be seen.
        mps: whether there is an MPS device.
        share_cpu: any number of workers may draw on the CPU.

    Raises:
        ConfigurationError: the device is not on this machine, or there are more workers than devices.
    """
    devices = _devices(wanted, n_cuda=n_cuda, mps=mps)
    if devices == ("cpu",) and share_cpu:
        return "cpu"
    if worker.count > len(devices):
        raise ConfigurationError(
            f"each worker must have a device of its own, got {worker.count} workers for "
            f"{', '.join(devices)}; run with -n{len(devices)} (memex: --workers {len(devices)}), or give "
            "a generator that says it is `shareable` if several processes may use it at once."
        )
    return devices[worker.slot]


def _devices(wanted: str, *, n_cuda: int, mps: bool) -> tuple[str, ...]:
    cuda = tuple(f"cuda:{number}" for number in range(n_cuda))
    there = {"cuda": cuda, "mps": ("mps",) if mps else (), "cpu": ("cpu",)}
    best = next(filter(None, there.values()))
    there |= {"auto": best, **{device: (device,) for device in cuda}}
    chosen = there.get(wanted, ())
    if not chosen:
        raise ConfigurationError(
            f"`device` must be auto, cpu, cuda, cuda:N or mps and exist here, got device={wanted!r}; "
            "leave --memex-device out to take the best there is."
        )
    return chosen
