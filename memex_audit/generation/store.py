"""What was drawn, kept in unit files: a prompt's pictures number `first` to `last` in one Parquet file.

    units/<model fingerprint>/<settings digest>/<prompt hash[:2]>/<prompt hash>/<first>-<last>.parquet

A unit is written under a temporary name and renamed, so a file with that name is whole. How many
pictures an audit wants is not part of the identity: a longer look adds a unit and replaces none.
"""

import hashlib
import io
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image

from memex_audit.errors import StoreError, StoreUnwritable
from memex_audit.generation.fingerprints import model_key
from memex_audit.generation.seeds import image_seed
from memex_audit.records import Generation, GenerationRequest

UNIT_VERSION = "1"
SCHEMA = pa.schema(
    [
        ("number", pa.int32()),
        ("seed", pa.int64()),
        ("reason", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("block_sums", pa.list_(pa.uint16())),
        ("pixels", pa.binary()),
    ],
    metadata={"memex_unit": UNIT_VERSION},
)

UNIT_NAME = re.compile(r"(\d+)-(\d+)")

Summary = Callable[[NDArray[np.uint8]], NDArray[np.uint16]]


def open_store_folder(root: Path) -> Path:
    """Create the store's folder, private to its owner and invisible to git, and return it.

    Raises:
        StoreError: the folder cannot be made or written.
    """
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        ignore = root / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
    except OSError as error:
        raise StoreError(
            f"the store must be a folder that can be written, got {root} ({_reason(error)}); "
            "name another with --memex-store."
        ) from error
    return root


class UnitStore:
    """The pictures of one model under one set of settings.

    `summarize` gives the block sums that are kept beside each picture. Nothing here knows how many
    pictures a prompt needs.
    """

    def __init__(
        self, root: Path, *, fingerprint: str, digest: str, root_seed: int, summarize: Summary
    ) -> None:
        self._units = open_store_folder(root) / "units" / model_key(fingerprint) / digest
        self._locks = root / "locks"
        self._root_seed = root_seed
        self._summarize = summarize

    def missing(self, prompt: str, n: int) -> list[int]:
        """Return which of the pictures 0 ... n - 1 are not there yet."""
        covered = {number for first, last, _ in self._unit_files(prompt) for number in range(first, last + 1)}
        return [number for number in range(n) if number not in covered]

    def request(self, prompt: str, number: int) -> GenerationRequest:
        """Return the request whose answer is the prompt's picture of that number."""
        return GenerationRequest(prompt=prompt, seed=image_seed(self._root_seed, prompt, number))

    def read(self, prompt: str, n: int) -> list[Generation]:
        """Return the first `n` pictures that are there, by number."""
        found: dict[int, Generation] = {}
        for _, _, path in self._unit_files(prompt):
            for row in self._read_unit(path):
                if row["number"] < n:
                    found[row["number"]] = _generation(prompt, row)
        return [found[number] for number in sorted(found)]

    def write(self, prompt: str, numbers: Sequence[int], generations: Sequence[Generation]) -> None:
        """Keep pictures with consecutive numbers as one unit.

        Raises:
            StoreError: the disk is full or the store cannot be written; nothing half-written remains.
        """
        rows = [
            self._row(number, generation) for number, generation in zip(numbers, generations, strict=True)
        ]
        folder = self._folder(prompt)
        target = folder / f"{numbers[0]:06d}-{numbers[-1]:06d}.parquet"
        partial = folder / f".{target.name}.{os.getpid()}.partial"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), partial, compression="zstd")
            partial.replace(target)
        except OSError as error:
            raise self._cannot_write(error) from error
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)

    @contextmanager
    def lock(self, prompts: Sequence[str]) -> Iterator[None]:
        """Hold the lock of a batch of prompts: who comes second waits, then finds the work done.

        Raises:
            StoreError: the store cannot be written.
        """
        key = hashlib.sha256("\0".join([str(self._units), *prompts]).encode()).hexdigest()[:32]
        lock = FileLock(self._locks / f"{key}.lock")
        try:
            self._locks.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except OSError as error:
            raise self._cannot_write(error) from error
        try:
            yield
        finally:
            lock.release()

    def _cannot_write(self, error: OSError) -> StoreUnwritable:
        return StoreUnwritable(
            f"the store {self._units} cannot be written ({_reason(error)}); free space or name "
            "another with --memex-store. What was generated before is kept."
        )

    def _folder(self, prompt: str) -> Path:
        digest = hashlib.sha256(unicodedata.normalize("NFC", prompt).encode()).hexdigest()
        return self._units / digest[:2] / digest

    def _unit_files(self, prompt: str) -> list[tuple[int, int, Path]]:
        folder = self._folder(prompt)
        if not folder.is_dir():
            return []
        named = ((UNIT_NAME.fullmatch(path.stem), path) for path in sorted(folder.glob("*.parquet")))
        return [(int(name[1]), int(name[2]), path) for name, path in named if name]  # no stray copies

    def _read_unit(self, path: Path) -> list[dict[str, Any]]:
        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(
                f"the unit file {path} cannot be read ({error}); delete it and run again: only its "
                "pictures are generated anew."
            ) from error
        version = (table.schema.metadata or {}).get(b"memex_unit", b"").decode()
        if version != UNIT_VERSION:
            raise StoreError(
                f"the unit file {path} must be of version {UNIT_VERSION}, got {version!r}; "
                "name another store with --memex-store."
            )
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows

    def _row(self, number: int, generation: Generation) -> dict[str, object]:
        row: dict[str, object] = {
            "number": number,
            "seed": generation.request.seed,
            "reason": generation.reason,
        }
        if generation.pixels is not None:
            row["height"], row["width"] = generation.pixels.shape[:2]
            row["block_sums"] = self._summarize(generation.pixels).ravel()
            row["pixels"] = _png(generation.pixels)
        return row


def _generation(prompt: str, row: dict[str, Any]) -> Generation:
    request = GenerationRequest(prompt=prompt, seed=row["seed"])
    pixels = None
    if row["pixels"] is not None:
        with Image.open(io.BytesIO(row["pixels"])) as image:
            pixels = np.asarray(image)
    return Generation(request=request, pixels=pixels, reason=row["reason"])


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    # Level 1: a third of the time of the default for a tenth more bytes.
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
