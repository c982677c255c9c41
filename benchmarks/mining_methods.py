"""One way of finding near-copies, in a process of its own: python mining_methods.py METHOD FOLDER N OUT.

Prints CPU seconds of the method alone, and the peak of the resident set over what the process held before it
read the embeddings (Linux). Writes the number of near-copies of each image to OUT. imagededup and cleanvision
may be in another environment than this project: nothing of it is imported for them.
"""

import json
import sys
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIMILARITY = 0.95
Method = Callable[[], NDArray[np.int64]]
Prepare = Callable[[Path, int], Method]


def memex(join: str | None) -> Prepare:
    def prepare(folder: Path, _n: int) -> Method:
        from memex_audit.training_set.duplicates import find_duplicates  # noqa: PLC0415 - only where it runs
        from memex_audit.training_set.embedded_set import ShardVectors  # noqa: PLC0415 - only where it runs

        lengths = [len(np.load(path, mmap_mode="r")) for path in shards(folder)]

        def run() -> NDArray[np.int64]:
            vectors = ShardVectors(folder, lengths, 512)
            found = find_duplicates(vectors, SIMILARITY, join=join)  # type: ignore[arg-type]
            print(found.recall or "every pair was compared", file=sys.stderr)
            return found.counts - 1

        return run

    return prepare


def faiss_flat(folder: Path, n: int) -> Method:
    """Bare FAISS: a flat index and range searches by blocks, of which only the counts are kept.

    Of more than 50,000 a tenth is searched for, since each costs the same; the others have -1 near-copies.
    """
    import faiss  # noqa: PLC0415 - only where it runs

    def run() -> NDArray[np.int64]:
        vectors = read(folder)
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        counts = np.full(n, -1, np.int64)
        for start in range(0, n // share(n), 256):
            limits = index.range_search(vectors[start : start + 256], SIMILARITY - 1e-5)[0]
            counts[start : start + len(limits) - 1] = np.diff(limits).astype(np.int64) - 1
        return counts

    return run


def share(n: int) -> int:
    """Return how many vectors there are for each that FAISS searches for."""
    return 10 if n > 50_000 else 1


def imagededup_cosine(folder: Path, _n: int) -> Method:
    """CNN.find_duplicates on given encodings: what it does after its network has run."""
    from imagededup.methods import CNN  # noqa: PLC0415 - only where it runs
    from imagededup.utils.logger import return_logger  # noqa: PLC0415 - only where it runs

    # Not through __init__, which loads the network's weights.
    finder = CNN.__new__(CNN)
    finder.logger, finder.verbose = return_logger("imagededup"), False

    def run() -> NDArray[np.int64]:
        encodings = {f"{row:09}": vector for row, vector in enumerate(read(folder))}
        found = finder.find_duplicates(
            encoding_map=encodings, min_similarity_threshold=SIMILARITY, num_sim_workers=0
        )
        return np.array([len(copies) for copies in found.values()], np.int64)

    return run


def cleanvision_hash(_folder: Path, n: int) -> Method:
    """Hash of pictures (it knows no embeddings): n / 2 pictures, and each again at 90 % of the side."""
    from cleanvision.issue_managers.duplicate_issue_manager import get_hash  # noqa: PLC0415 - only where it runs
    from PIL import Image  # noqa: PLC0415 - only where it runs

    random = np.random.default_rng(0)

    def encode(image: Image.Image) -> bytes:
        buffer = BytesIO()
        image.save(buffer, "JPEG", quality=75)
        return buffer.getvalue()

    files = []
    for _ in range(n // 2):
        coarse = Image.fromarray(random.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        image = coarse.resize((256, 256), Image.Resampling.BICUBIC)
        files += [encode(image), encode(image.resize((230, 230)))]

    def run() -> NDArray[np.int64]:
        asked = {"hash_type": "phash", "hash_size": 8}
        hashes = [get_hash(Image.open(BytesIO(file)), asked) for file in files]
        _, places, times = np.unique(hashes, return_inverse=True, return_counts=True)
        return np.minimum(times[places] - 1, 1)

    return run


METHODS: dict[str, Prepare] = {
    "memex": memex(None),
    "memex exact": memex("exact"),
    "memex ivf": memex("ivf"),
    "faiss flat": faiss_flat,
    "imagededup": imagededup_cosine,
    "cleanvision": cleanvision_hash,
}


def shards(folder: Path) -> list[Path]:
    return sorted((folder / "shards").glob("*.npy"))


def read(folder: Path) -> NDArray[np.float32]:
    vectors = np.concatenate([np.load(path).astype(np.float32) for path in shards(folder)])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def resident_bytes(which: str) -> int:
    """Return VmRSS (now) or VmHWM (the peak) of this process."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(which))
    return 1024 * int(line.split()[1])


def main() -> None:
    """Measure one method."""
    method, folder, n, out = sys.argv[1:]
    run = METHODS[method](Path(folder), int(n))
    warm = np.ones((64, 64), np.float32)
    warm @ warm.T  # the BLAS library takes its buffers at the first call
    before = resident_bytes("VmRSS")
    started = time.process_time()
    counts = run()
    cpu_s = (time.process_time() - started) * (share(int(n)) if method == "faiss flat" else 1)
    peak = resident_bytes("VmHWM") - before
    np.save(out, counts)
    print(json.dumps({"cpu_s": cpu_s, "peak_gib": peak / 2**30}))


if __name__ == "__main__":
    main()
