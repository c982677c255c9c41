"""What the distance kernel asks of an array library: NumPy arrays and torch tensors through one code path.

Pixels stay where they are; what leaves a device are integers, small ones. No float64 is made there (MPS has
none), no uint16 (torch hardly knows it), and products of float32 are exact: TF32 and autocast, which round
their factors or sums, are off while they are taken.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from memex_audit.errors import ConfigurationError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    Images = NDArray[np.uint8] | torch.Tensor
else:
    Images = Any

# The longest sum of products of bytes centred by 128 that float32 holds exactly: 1024 * 128^2 = 2^24.
EXACT_TERMS = 1024


class Arrays(Protocol):
    """The operations that NumPy and torch name otherwise; all else they share."""

    def exact(self) -> AbstractContextManager[object]:
        """Take products of float32 as IEEE 754 has them."""
        ...

    def float32(self, values: Any) -> Any:
        """Convert."""
        ...

    def int64(self, values: Any) -> Any:
        """Convert."""
        ...

    def rows(self, images: Any, rows: "NDArray[np.intp]") -> Any:
        """Return some of the images."""
        ...

    def brought(self, images: Images) -> Any:
        """Return images as an array of this library, on its device."""
        ...

    def block_sums(self, images: Any, rows: Sequence[int], columns: Sequence[int]) -> "NDArray[np.uint16]":
        """Sum uint8 (n, h, w, 3) between these edges into (n, rows - 1, columns - 1, 3)."""
        ...

    def numpy(self, values: Any) -> "NDArray[Any]":
        """Return values in main memory."""
        ...


class NumPyArrays:
    """Arrays in main memory."""

    def exact(self) -> AbstractContextManager[object]:
        return nullcontext()

    def float32(self, values: "NDArray[Any]") -> "NDArray[np.float32]":
        return values.astype(np.float32)

    def int64(self, values: "NDArray[Any]") -> "NDArray[np.int64]":
        return values.astype(np.int64)

    def rows(self, images: "NDArray[np.uint8]", rows: "NDArray[np.intp]") -> "NDArray[np.uint8]":
        return images[rows]

    def brought(self, images: Images) -> Any:
        return images

    def block_sums(
        self, images: "NDArray[np.uint8]", rows: Sequence[int], columns: Sequence[int]
    ) -> "NDArray[np.uint16]":
        sums = np.empty((len(images), len(rows) - 1, len(columns) - 1, 3), dtype=np.uint16)
        for y, (top, bottom) in enumerate(pairwise(rows)):
            # Rows first: contiguous additions, and what is left for the slower reduceat is 16 times less.
            band = np.add.reduce(images[:, top:bottom], axis=1, dtype=np.uint16)
            np.add.reduceat(band, columns[:-1], axis=1, out=sums[:, y])
        return sums

    def numpy(self, values: "NDArray[Any]") -> "NDArray[Any]":
        return values


@dataclass(frozen=True, slots=True)
class TorchArrays:
    """Tensors on one device."""

    device: "torch.device"

    def exact(self) -> AbstractContextManager[object]:
        _check_products(str(self.device))
        return _exact_products(self.device.type)

    def float32(self, values: "torch.Tensor") -> "torch.Tensor":
        return values.float()

    def int64(self, values: "torch.Tensor") -> "torch.Tensor":
        return values.long()

    def rows(self, images: "torch.Tensor", rows: "NDArray[np.intp]") -> "torch.Tensor":
        import torch

        return images[torch.from_numpy(rows).to(self.device)]

    def brought(self, images: Images) -> "torch.Tensor":
        import torch

        return torch.as_tensor(images, device=self.device)

    def block_sums(
        self, images: "torch.Tensor", rows: Sequence[int], columns: Sequence[int]
    ) -> "NDArray[np.uint16]":
        import torch

        blocks = torch.from_numpy(np.repeat(np.arange(len(columns) - 1), np.diff(columns))).to(self.device)
        sums = torch.zeros(
            (len(images), len(rows) - 1, len(columns) - 1, 3), dtype=torch.int32, device=self.device
        )
        for y, (top, bottom) in enumerate(pairwise(rows)):
            band = images[:, top:bottom].sum(dim=1, dtype=torch.int32)
            sums[:, y].index_add_(1, blocks, band)
        return self.numpy(sums).astype(np.uint16)

    def numpy(self, values: "torch.Tensor") -> "NDArray[Any]":
        brought: NDArray[Any] = values.cpu().numpy()
        return brought


def arrays_of(*images: Images) -> Arrays:
    """Return the library of these images: torch's where one of them is a tensor, else NumPy's."""
    torch = sys.modules.get("torch")  # where it was never imported nothing is a tensor
    tensors = [one for one in images if torch and isinstance(one, torch.Tensor)]
    return TorchArrays(tensors[0].device) if tensors else NumPyArrays()


@contextmanager
def _exact_products(device_type: str) -> Iterator[None]:
    """Switch off what rounds float32 products: TF32 and bfloat16 passes, and autocast; then as it was."""
    import torch

    backends = _switches()
    before = [backend.fp32_precision for backend in backends]
    precision = None if backends else torch.get_float32_matmul_precision()
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        if precision:
            torch.set_float32_matmul_precision("highest")
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        for backend, was in zip(backends, before, strict=True):
            backend.fp32_precision = was
        if precision:
            torch.set_float32_matmul_precision(precision)


def _switches() -> list[Any]:
    """Return torch's switches of float32 products; none before torch 2.9, which has one for all.

    That one cannot be read any more once somebody has used these.
    """
    import torch

    found = [torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None)]
    return found if all(hasattr(switch, "fp32_precision") for switch in found) else []


@cache
def _check_products(device: str) -> None:
    """Take the largest products there are once on a device, and compare them with integers.

    Raises:
        ConfigurationError: they are not exact.
    """
    import torch

    values = np.random.default_rng(0).integers(-128, 128, (64, EXACT_TERMS))
    values[0], values[1] = -128, 127
    place = torch.device(device)
    with _exact_products(place.type):
        tensor = torch.from_numpy(values).to(torch.int32).to(place).float()
        products = (tensor @ tensor.T).long().cpu().numpy()
    if not np.array_equal(products, values @ values.T):
        raise ConfigurationError(
            f"products of small integers must be exact in float32, got rounded ones on {device}; bring the "
            "images to the CPU (images.cpu().numpy()), or switch off what makes the device faster than exact."
        )
