"""Read a file of an fsspec file system: whatever a server does wrong is an OSError, as on a disk."""

import io
from collections.abc import Callable
from typing import Any, TypeVar

from memex_audit.errors import first_line

T = TypeVar("T")
# Asked of the server at a time: members of a tar and columns of a row group lie side by side.
BLOCK_BYTES = 4 << 20


def open_remote(system: Any, path: str) -> io.BufferedReader:
    """Open a file of a file system.

    Raises:
        OSError: it is not there, or cannot be had.
    """
    return io.BufferedReader(_Reader(_asked(lambda: system.open(path, "rb", block_size=BLOCK_BYTES))))


def read_info(system: Any, path: str) -> dict[str, Any]:
    """Return what a file system knows of a file, asked anew; empty where it knows none."""
    try:
        _asked(system.invalidate_cache)
        found = _asked(lambda: system.info(path))
    except OSError:
        return {}
    return dict(found)


class _Reader(io.RawIOBase):
    """An open file of fsspec; a RawIOBase, so that what reads it need not know the errors of a client."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(_asked(lambda: self._file.seek(offset, whence)))

    def tell(self) -> int:
        return int(self._file.tell())

    def readinto(self, buffer: Any) -> int:
        data = _asked(lambda: self._file.read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _asked(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except OSError:
        raise
    except Exception as error:
        # A client raises what it likes: aiohttp.ClientError, botocore's ClientError, HfHubHTTPError.
        raise OSError(f"{type(error).__name__}: {first_line(error)}") from error
