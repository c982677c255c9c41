"""How a contract says that a rule is broken, and the pictures that it tries."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
import pytest

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")
Record = Callable[[str, object], None]
_MADE = pytest.StashKey[tuple[object, object]]()


def require(holds: bool, message: str) -> None:
    """Fail the test with this message alone: a traceback into the contract would explain nothing."""
    if not holds:
        pytest.fail(message, pytrace=False)


def require_attributes(subject: object, port: str, names: tuple[str, ...]) -> None:
    """Fail unless the object has each of these attributes."""
    missing = [name for name in names if not hasattr(subject, name)]
    require(
        not missing,
        f"{type(subject).__name__} must offer {', '.join(names)}, got none named "
        f"{', '.join(missing)}; see memex_audit.protocols.{port}.",
    )


def made_once(request: pytest.FixtureRequest, subject: object, make: Callable[[], T]) -> T:
    """Return what `make` gives, made once for all tests of a class that have the same subject."""
    stash = request.node.getparent(pytest.Class).stash
    kept_for, made = stash.get(_MADE, (None, None))
    if kept_for is not subject:
        made = make()
        stash[_MADE] = (subject, made)
    return cast("T", made)


def sample_pictures(n: int) -> "list[NDArray[np.uint8]]":
    """Make `n` pictures that share no subject, uint8 (h, w, 3) of different sizes: blobs of colour."""
    random = np.random.default_rng(2301)
    pictures = []
    for _ in range(n):
        height, width = random.integers(48, 120, 2)
        y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
        picture = np.ones((height, width, 3)) * random.integers(0, 256, 3)
        for _ in range(6):
            cy, cx, reach = random.random(), random.random(), random.uniform(0.1, 0.3)
            inside = ((y - cy) ** 2 + (x - cx) ** 2 < reach**2)[..., None]
            picture = np.where(inside, random.integers(0, 256, 3), picture)
        pictures.append(picture.astype(np.uint8))
    return pictures


def near_copy(picture: "NDArray[np.uint8]") -> "NDArray[np.uint8]":
    """Copy a picture as a mild re-encoding does: each value up to two levels off."""
    noise = np.random.default_rng(7).integers(-2, 3, picture.shape)
    copy: NDArray[np.uint8] = np.clip(picture + noise, 0, 255).astype(np.uint8)
    return copy
