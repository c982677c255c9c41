import os
import re

import pytest
import torch

from memex_audit.errors import ConfigurationError
from memex_audit.generation.devices import device_of_worker, share_out
from memex_audit.work_units import ALONE, Worker


@pytest.mark.parametrize(
    ("wanted", "n_cuda", "mps", "device"),
    [
        ("auto", 1, True, "cuda:0"), ("auto", 2, False, "cuda:0"), ("auto", 0, True, "mps"),
        ("auto", 0, False, "cpu"), ("cpu", 1, True, "cpu"), ("cuda", 1, False, "cuda:0"),
        ("cuda:1", 2, False, "cuda:1"), ("mps", 0, True, "mps"), ("mps", 1, True, "mps"),
    ],
)  # fmt: skip
def test_the_best_device_there_is_is_taken_unless_one_is_wanted(wanted, n_cuda, mps, device):
    assert share_out(wanted, ALONE, n_cuda=n_cuda, mps=mps) == device


@pytest.mark.parametrize(
    ("wanted", "n_cuda"),
    [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2), ("mps", 1), ("gpu", 1), ("", 0), ("xpu", 0)],
)
def test_a_device_that_is_not_here_is_refused(wanted, n_cuda):
    with pytest.raises(ConfigurationError, match=rf"`device` must be auto, .*got device='{wanted}'; leave"):
        share_out(wanted, ALONE, n_cuda=n_cuda, mps=False)


@pytest.mark.parametrize("wanted", ["auto", "cuda"])
def test_every_worker_has_a_device_of_its_own(wanted):
    taken = [share_out(wanted, Worker(slot=slot, count=3), n_cuda=4, mps=False) for slot in range(3)]
    assert taken == ["cuda:0", "cuda:1", "cuda:2"]


@pytest.mark.parametrize(
    ("wanted", "n_cuda", "mps", "said"),
    [
        ("auto", 2, False, "got 3 workers for cuda:0, cuda:1; run with -n2"),
        ("cuda:1", 2, False, "got 3 workers for cuda:1; run with -n1"),
        ("mps", 0, True, "got 3 workers for mps; run with -n1"),
    ],
)
def test_more_workers_than_devices_are_refused_each_of_them(wanted, n_cuda, mps, said):
    for slot in range(3):
        with pytest.raises(ConfigurationError, match=re.escape(said)):
            share_out(wanted, Worker(slot=slot, count=3), n_cuda=n_cuda, mps=mps)


def test_a_cpu_is_shared_unless_the_generator_may_not_be():
    many = Worker(slot=6, count=7)
    assert share_out("auto", many, n_cuda=0, mps=False) == "cpu"
    with pytest.raises(
        ConfigurationError, match=r"got 7 workers for cpu; run with -n1 \(memex: --workers 1\)"
    ):
        share_out("auto", many, n_cuda=0, mps=False, share_cpu=False)


def test_workers_on_one_cpu_share_its_threads():
    before = torch.get_num_threads()
    try:
        device_of_worker("cpu", Worker(slot=0, count=2))
        assert torch.get_num_threads() == max(1, os.cpu_count() // 2)
    finally:
        torch.set_num_threads(before)
