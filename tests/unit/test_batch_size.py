"""Where memory runs out, fewer are drawn at once: nothing else changes."""

import weakref

import numpy as np
import pytest
import torch

from memex_audit.batch_size import BatchSize, is_out_of_memory
from memex_audit.errors import ConfigurationError, ModelError


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.05 GB, max allowed: 9.07 GB)."),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"
        ),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        ValueError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 68 bytes."),  # JAX
        np._core._exceptions._ArrayMemoryError((10**9,), np.dtype(np.float32)),
        MemoryError(),
    ],
    ids=lambda error: f"{type(error).__name__}: {str(error)[:20]}",
)
def test_memory_that_ran_out_is_known_on_every_device(error):
    size = BatchSize(8)
    assert size.halve_after(error, 8)
    assert size.at_once == 4


@pytest.mark.parametrize(
    "error",
    [RuntimeError("expected Half but found Float"), ConfigurationError("out of memory"), ValueError()],
)
def test_no_other_error_is_taken_for_it(error):
    size = BatchSize(8)
    assert not size.halve_after(error, 8)
    assert size.at_once == 8


def test_what_really_does_not_fit_is_known():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**61, dtype=torch.uint8)
    assert is_out_of_memory(raised.value)


def test_it_is_half_of_what_did_not_fit_and_not_of_what_was_asked_for():
    size = BatchSize(64)
    assert size.halve_after(MemoryError(), 5)  # the last batch of a prompt may be a short one
    assert size.at_once == 2


def test_it_is_noted_once_when_a_batch_was_drawn_again():
    notes = []
    size = BatchSize(8, notes.append)
    size.held()
    size.halve_after(MemoryError(), 8)
    size.halve_after(MemoryError(), 4)
    assert notes == []
    size.held()
    size.held()
    assert notes == [
        "memory did not hold 8 pictures at once: from then on 2 were drawn at once, which changes none of "
        "them but for rounding"
    ]


def test_one_picture_that_does_not_fit_is_one_line():
    with pytest.raises(
        ModelError, match=r"^a model must have memory for one picture at a time, got Out"
    ) as raised:
        BatchSize(1).halve_after(torch.OutOfMemoryError("CUDA out of memory.\nTried to"), 1)
    assert "\n" not in str(raised.value)
    assert "--memex-size" in str(raised.value)
    raised.value.redact()  # what the model said may quote a prompt
    assert "CUDA" not in str(raised.value)


def test_what_a_batch_held_in_memory_is_let_go_of():
    class Activations:
        pass

    held = []

    def network():
        activations = Activations()
        held.append(weakref.ref(activations))
        raise MemoryError

    def pipeline():
        try:
            network()
        except MemoryError as error:
            raise RuntimeError("CUDA out of memory") from error

    with pytest.raises(RuntimeError) as raised:
        pipeline()
    assert held[0]() is not None
    assert BatchSize(8).halve_after(raised.value, 8)
    assert held[0]() is None
