"""Run the tests of the kernel with its images as NumPy arrays, and again as torch tensors."""

from contextlib import contextmanager
from functools import wraps

import numpy as np
import pytest
import torch

LIBRARIES = ("numpy", "torch")
# Functions that take images.
KERNEL = (
    "l2", "l2_between", "l2_to_many", "tile_l2", "tile_l2_between", "block_sums", "near_duplicate_graph",
)  # fmt: skip


def in_each_library(names=KERNEL):
    """Make the fixture that runs every test of a module with its images in one library, then the other."""

    @pytest.fixture(scope="module", params=LIBRARIES, autouse=True)
    def _library(request):
        with images_of(request.param, request.module, names):
            yield

    return _library


@contextmanager
def images_of(library, module, names):
    """Let a test module's functions of these names get their images as arrays of a library."""
    originals = {name: getattr(module, name) for name in names if hasattr(module, name)}
    assert originals
    if library == "torch":
        for name, function in originals.items():
            setattr(module, name, _with_tensors(function))
    try:
        yield
    finally:
        for name, function in originals.items():
            setattr(module, name, function)


def _with_tensors(function):
    @wraps(function)
    def called(*arguments, **options):
        return function(*map(_as_tensor, arguments), **options)

    return called


def _as_tensor(argument):
    if callable(argument):  # loads images
        return lambda rows: _as_tensor(argument(rows))
    if isinstance(argument, np.ndarray) and argument.dtype != bool:
        return torch.from_numpy(np.ascontiguousarray(argument))
    return argument
