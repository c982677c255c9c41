"""The machine: device, packages, memory, the store's disk, the hub."""

import shutil
import socket
import threading
import time
from types import SimpleNamespace

import pytest
import torch

from memex_audit.config import Lora, Settings
from memex_audit.doctor import machine
from memex_audit.doctor.checks import State
from memex_audit.doctor.machine import (
    Device,
    check_device,
    check_memory,
    check_packages,
    check_store,
    find_device,
    free_memory,
    hub_answers,
)
from memex_audit.errors import ConfigurationError

CPU = Device(name="cpu", dtype="fp32")
GB = 1 << 30


def test_the_device_is_the_one_an_audit_takes():
    assert find_device(Settings(device="cpu")) == CPU
    with pytest.raises(ConfigurationError, match="`device` must be auto"):
        find_device(Settings(device="cuda:77"))


def test_half_precision_on_a_cpu_is_said_to_be_slow():
    assert check_device(CPU, n_cuda=0).state is State.OK
    check = check_device(Device(name="cpu", dtype="fp16"), n_cuda=0)
    assert check.state is State.WARNING
    assert "--memex-dtype" in check.advice


def test_devices_left_idle_are_named_where_nothing_shares_them_out(monkeypatch):
    device = Device(name="cuda:0", dtype="bf16")
    assert check_device(device, n_cuda=4).state is State.OK
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    check = check_device(device, n_cuda=4)
    assert check.state is State.WARNING
    assert "pytest -n 4" in check.advice
    assert check_device(device, n_cuda=1).state is State.OK


def test_a_package_that_is_needed_and_not_there_is_missing():
    check = check_packages(Settings(), find=lambda name: None if name in ("open_clip", "PIL") else name)
    assert check.state is State.MISSING
    assert check.said == "not installed: open_clip, PIL"


def test_peft_is_missing_only_where_there_is_a_lora():
    def without_peft(name):
        return None if name == "peft" else name

    assert check_packages(Settings(), find=without_peft).state is State.OK
    check = check_packages(Settings(lora=Lora(path="x")), find=without_peft)
    assert check.state is State.MISSING
    assert check.advice == "pip install 'memex-audit[lora]'"


def test_what_would_help_and_is_not_there_is_said():
    check = check_packages(Settings(), find=lambda name: None if name == "xdist" else name)
    assert check.state is State.OK
    assert "pytest-xdist" in check.said


@pytest.mark.parametrize(
    ("memory", "state"),
    [
        ((10 * GB, 16 * GB), State.OK),
        ((5 * GB, 16 * GB), State.WARNING),
        ((3 * GB, 3 * GB), State.MISSING),
        (None, State.OK),
    ],
)
def test_weights_are_compared_with_the_memory(memory, state):
    check = check_memory(GB, CPU, memory)
    assert check.state is state
    assert check.said.startswith("1,073,741,824 parameters take 4.0 GB in fp32")


def test_half_precision_takes_half_the_memory():
    check = check_memory(GB, Device(name="cuda:0", dtype="bf16"), (10 * GB, 16 * GB))
    assert "take 2.0 GB in bf16; 10.0 GB of 16.0 GB are free on cuda:0" in check.said


def test_the_free_memory_of_this_machine_is_less_than_all_of_it():
    free, total = free_memory("cpu")
    assert 0 < free <= total


def test_a_system_that_does_not_say_is_not_asked_further(monkeypatch):
    def refuse(name):
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(machine.os, "sysconf", refuse)
    assert free_memory("cpu") is None


def test_the_memory_of_a_cuda_device_is_asked_of_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (device.index, 99))
    assert free_memory("cuda:7") == (7, 99)


def test_a_store_with_room_is_fine_and_not_made(tmp_path):
    check = check_store(tmp_path / "a" / "store", (1000, 2000))
    assert check.state is State.OK
    assert "pictures take at most 2.0 KB" in check.said
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_too_small_is_missing_and_one_that_may_be_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5 * GB))
    assert check_store(tmp_path, (6 * GB, 9 * GB)).state is State.MISSING
    assert check_store(tmp_path, (4 * GB, 9 * GB)).state is State.WARNING
    assert check_store(tmp_path, (4 * GB, 5 * GB)).state is State.OK
    assert check_store(tmp_path, None).state is State.OK


def test_a_store_that_cannot_be_written_is_missing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    assert "is a file" in check_store(tmp_path / "file" / "store", None).said
    monkeypatch.setattr(machine.os, "access", lambda path, mode: False)
    check = check_store(tmp_path / "store", None)
    assert check.state is State.MISSING
    assert "cannot be written" in check.said


@pytest.fixture
def hub(monkeypatch):
    """A server that accepts and, unless told otherwise, never answers."""
    server = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield server
    server.close()


def test_a_hub_that_does_not_answer_is_given_up_in_time(hub):
    began = time.monotonic()
    assert not hub_answers(timeout_s=0.3)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("status", ["200 OK", "403 Forbidden", "503 Busy"])
def test_a_hub_that_answers_anything_can_be_reached(hub, status):
    def answer():
        connection, _ = hub.accept()
        connection.recv(1000)
        connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        connection.close()

    thread = threading.Thread(target=answer)
    thread.start()
    assert hub_answers(timeout_s=5)
    thread.join()


def test_nobody_is_asked_offline(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(machine.urllib.request, "urlopen", lambda *a, **k: pytest.fail("asked"))
    assert not hub_answers()


def test_a_refused_connection_is_no_answer(hub, monkeypatch):
    hub.close()
    assert not hub_answers(timeout_s=2)
