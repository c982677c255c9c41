"""What one picture costs at each stage, for the arithmetic of docs/scaling.md: CPU time, bytes, operations.

python benchmarks/unit_costs.py [--quick] [--write-docs]

512 x 512 pictures, synthetic: random phases under a 1 / frequency spectrum, as photographs have. One thread.
Operations are those of a Stable Diffusion 1 network and of CLIP ViT-B/32, counted on tensors without data.
"""

import argparse
import io
import json
import platform
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
from image_sets import picture
from numpy.typing import NDArray
from operations import count_operations
from PIL import Image

from memex_audit.extraction.block_sums import block_sums
from memex_audit.generation.store import UnitStore
from memex_audit.records import Generation
from memex_audit.specimen.measure import write_between
from memex_audit.training_set import open_training_set

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
DATA = ROOT / "benchmarks" / "data" / "unit_costs.json"
BEGIN, END = "<!-- benchmarks/unit_costs.py: begin -->", "<!-- benchmarks/unit_costs.py: end -->"
SIDE, LOOK = 512, 4
# What the table says of each cost.
ROWS = {
    "read_image_s": "read a training image: JPEG in a tar, decoded, CPU s",
    "prepare_image_s": "prepare it for CLIP ViT-B/32, CPU s",
    "jpeg_bytes": "its JPEG, bytes",
    "write_picture_s": "write a picture with its pixels, CPU s",
    "read_picture_s": "read it back, CPU s",
    "picture_bytes": "of it in the store, bytes",
    "write_reduced_s": "write a picture reduced to its block sums, CPU s",
    "read_reduced_s": "read it back, CPU s",
    "reduced_bytes": "of it in the store, bytes",
    "evaluation_flop": "a network evaluation of Stable Diffusion 1, operations",
    "decoding_flop": "its decoder, operations",
    "embedding_flop": "CLIP ViT-B/32, operations",
}


def pictures(n: int) -> NDArray[np.uint8]:
    """Return n unrelated synthetic photographs, uint8 (n, 512, 512, 3)."""
    random = np.random.default_rng(0)
    return np.stack([np.clip(128 + 50 * picture(random, SIDE), 0, 255).astype(np.uint8) for _ in range(n)])


def cpu_s(work: Callable[[], object], times: int) -> float:
    """Return the CPU seconds of one of `times` items, the better of two runs."""
    best = np.inf
    for _ in range(2):
        before = time.process_time()
        work()
        best = min(best, time.process_time() - before)
    return float(best / times)


def of_training_images(images: NDArray[np.uint8], folder: Path) -> dict[str, float]:
    """Measure reading from a tar and preparing for the embedder."""
    tar, n_bytes = folder / "00000.tar", 0
    with tarfile.open(tar, "w") as archive:
        for i, image in enumerate(images):
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "JPEG", quality=90)
            for name, data in ((f"{i:05d}.jpg", buffer.getvalue()), (f"{i:05d}.txt", b"a caption")):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
            n_bytes += len(buffer.getvalue())
    prepare = open_clip.transform.image_transform_v2(open_clip.transform.PreprocessCfg(), is_train=False)
    opened = [Image.fromarray(image) for image in images]
    return {
        "read_image_s": cpu_s(lambda: list(open_training_set(tar).examples()), len(images)),
        "prepare_image_s": cpu_s(lambda: [prepare(image) for image in opened], len(images)),
        "jpeg_bytes": n_bytes / len(images),
    }


def of_the_store(images: NDArray[np.uint8], folder: Path, *, reduced: bool) -> tuple[float, float, float]:
    """Return CPU seconds to write and to read a picture, and its bytes in the store."""
    sums = block_sums(images).sums
    stores = iter(range(2))

    def opened(name: str) -> UnitStore:
        return UnitStore(
            folder / name, fingerprint="0" * 64, digest="0" * 16, root_seed=0,
            summarize=lambda pixels: block_sums(pixels[None]).sums[0],
        )  # fmt: skip

    def answer(store: UnitStore, first: int, number: int) -> Generation:
        request, i = store.request(str(first), number), first + number
        return Generation(
            request=request, pixels=None if reduced else images[i],
            sums=sums[i] if reduced else None, size=(SIDE, SIDE) if reduced else None,
        )  # fmt: skip

    def write() -> None:
        store = opened(f"{reduced}-{next(stores)}")
        for first in range(0, len(images), LOOK):
            with store.lock([str(first)]):
                store.write(str(first), range(LOOK), [answer(store, first, i) for i in range(LOOK)])

    def read() -> None:
        store = opened(f"{reduced}-0")
        for first in range(0, len(images), LOOK):
            store.read(str(first), LOOK)

    written = cpu_s(write, len(images))
    n_bytes = sum(path.stat().st_size for path in (folder / f"{reduced}-0").rglob("*") if path.is_file())
    return written, cpu_s(read, len(images)), n_bytes / len(images)


def measure(n: int) -> dict[str, float]:
    """Return every cost by its name."""
    images = pictures(n)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        costs = of_training_images(images, folder)
        for kind, reduced in (("picture", False), ("reduced", True)):
            written, read, n_bytes = of_the_store(images, folder, reduced=reduced)
            costs |= {f"write_{kind}_s": written, f"read_{kind}_s": read, f"{kind}_bytes": n_bytes}
    return {name: float(f"{value:.3g}") for name, value in (costs | count_operations()).items()}


def main() -> None:
    """Measure, print, and write where asked."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--quick", action="store_true", help="48 pictures instead of 400")
    options.add_argument("--write-docs", action="store_true", help=f"write {PAGE.name} and {DATA.name}")
    arguments = options.parse_args()
    n = 48 if arguments.quick else 400
    costs = measure(n)
    lines = [
        "## What a picture costs at each stage", "",
        f"`python benchmarks/unit_costs.py --write-docs` on {platform.machine()}, Python "
        f"{platform.python_version()}, NumPy {np.__version__}.",
        f"{n} synthetic pictures of {SIDE} x {SIDE}, one thread, {LOOK} pictures a prompt.", "",
        "| | |", "|---|---|",
        *(f"| {ROWS[name]} | {value:.2g} |" if name.endswith("_s") else f"| {ROWS[name]} | {value:,.0f} |"
          for name, value in costs.items()),
    ]  # fmt: skip
    print("\n".join(lines))
    if arguments.write_docs:
        write_between(PAGE, BEGIN, "\n" + "\n".join(lines) + "\n", END)
        DATA.write_text(json.dumps({"n": n, "costs": costs}, indent=1) + "\n")
    print(json.dumps(costs))


if __name__ == "__main__":
    main()
