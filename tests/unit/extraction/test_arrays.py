"""The kernel on tensors: the same bits, nothing that a device may lack, and products that nobody rounds."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from memex_audit.errors import ConfigurationError
from memex_audit.extraction import arrays
from memex_audit.extraction.arrays import EXACT_TERMS, NumPyArrays, TorchArrays, arrays_of
from memex_audit.extraction.block_sums import block_sums
from memex_audit.extraction.distances import l2_between, l2_to_many, near_duplicate_graph, tile_l2


def images(n=6, height=70, width=52):
    random = np.random.default_rng(7)
    drawn = random.integers(0, 256, (n, height, width, 3), dtype=np.uint8)
    drawn[1] = np.clip(drawn[0] + random.integers(-9, 10, drawn[0].shape), 0, 255)
    drawn[2], drawn[3] = 0, 255
    return drawn


class Seen(TorchDispatchMode):
    """Notes the dtype of every tensor that is made."""

    def __init__(self):
        super().__init__()
        self.dtypes = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for one in made if isinstance(made, (list, tuple)) else [made]:
            if isinstance(one, torch.Tensor):
                self.dtypes.add(one.dtype)
        return made


def kernel(drawn, others):
    return (
        block_sums(drawn).sums,
        tile_l2(drawn),
        l2_between(drawn, others),
        l2_to_many(drawn[0], drawn),
        near_duplicate_graph(drawn, 0.2),
    )


def test_tensors_give_the_bits_of_arrays():
    drawn = images()
    for one, other in zip(kernel(drawn, drawn[:2]), kernel(torch.from_numpy(drawn), drawn[:2]), strict=True):
        assert type(other) is np.ndarray
        assert (one.dtype, one.tobytes()) == (other.dtype, other.tobytes())


def test_training_images_in_main_memory_are_brought_to_the_generations():
    drawn = images()
    expected = l2_between(drawn, drawn[:2])
    assert l2_between(torch.from_numpy(drawn), drawn[:2]).tolist() == expected.tolist()
    assert l2_between(drawn, torch.from_numpy(drawn[:2])).tolist() == expected.tolist()


def test_no_tensor_is_of_a_type_that_a_device_may_lack():
    drawn = torch.from_numpy(images())
    arrays._check_products.cache_clear()
    with Seen() as seen:
        kernel(drawn, images()[:2])
    assert seen.dtypes <= {torch.uint8, torch.int32, torch.int64, torch.float32}
    assert torch.float32 in seen.dtypes


def switches():
    return [switch.fp32_precision for switch in arrays._switches()]


def test_what_rounds_products_is_off_while_they_are_taken_and_then_as_it_was():
    at_first = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        before = switches()
        with TorchArrays(torch.device("cpu")).exact():
            rounding = [switch for switch in switches() if switch != "ieee"]
            assert rounding == [] if before else torch.get_float32_matmul_precision() == "highest"
        assert switches() == before
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(at_first)


def test_before_torch_had_a_switch_a_library_its_only_one_is_used(monkeypatch):
    monkeypatch.setattr(arrays, "_switches", list)
    at_first = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        with TorchArrays(torch.device("cpu")).exact():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(at_first)


def test_autocast_around_an_audit_does_not_reach_the_kernel():
    drawn = torch.from_numpy(images())
    expected = tile_l2(images())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
        assert tile_l2(drawn).tolist() == expected.tolist()


def test_a_device_whose_products_are_rounded_is_refused(monkeypatch):
    arrays._check_products.cache_clear()
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda a, b: torch.matmul(a.bfloat16(), b.bfloat16()))
    with pytest.raises(ConfigurationError, match=r"exact in float32, got rounded ones on cpu; bring"):
        tile_l2(torch.from_numpy(images()))
    arrays._check_products.cache_clear()


def test_the_longest_sum_of_products_is_the_last_that_float32_holds():
    assert EXACT_TERMS * 128**2 == 2**24
    assert np.float32(2**24) + np.float32(1) == np.float32(2**24)


def test_a_tensor_of_another_type_is_refused_by_name():
    with pytest.raises(ConfigurationError, match=r"must be uint8 .*, got float32 of shape \(1, 8, 8, 3\)"):
        tile_l2(torch.zeros(1, 8, 8, 3))


def test_arrays_need_no_torch():
    code = (
        "import sys, numpy as np; from memex_audit.extraction.distances import tile_l2;"
        "tile_l2(np.zeros((2, 8, 8, 3), np.uint8)); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_array_is_numpys_and_one_tensor_makes_all_torchs():
    array = images()
    assert isinstance(arrays_of(array), NumPyArrays)
    assert arrays_of(array, torch.from_numpy(array)) == TorchArrays(torch.device("cpu"))
