"""Measure an embedder: which near-duplicates it finds, and which different images it takes for them.

Rows and pictures are split by their id or name: a tenth is held out, a tenth is for validation (chooses the
similarity). The embedder trains on none of the rows, and on no picture of these two tenths but the captions
of the training set, which it sees in other rows.
"""

import hashlib
import io
import math
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from PIL import Image

from memex_audit.specimen.embedder_images import CROPS_PER_SCENE, KINDS, scene_crops, to_array
from memex_audit.specimen.pictures import read_pictures
from memex_audit.specimen.training_rows import render, rng

SHIPPED = Path(__file__).parent / "data"
TRAINING_SET = "training-set.parquet"
TARGET_RECALL, TOLERATED_SHARE = 0.995, 1e-3
BATCH = 256
N_SCENES, ROWS_PER_PICTURE = 250, 16
CROPS_PER_SHORT_SIDE = 4
# Standard deviation, of 255: crops of a clear sky or a black background are duplicates in earnest.
LEAST_CONTRAST = 6.0

README = """# Embedder

A small CLIP for `--memex-embedder specimen`: open_clip loads it as `local-dir:` with no hub. Trained from
scratch by `python -m memex_audit.specimen.embedder train`; this page is written by `evaluate --readme`.

Images at a cosine of at least {tau} are called near-duplicates. Columns jpeg to rescaled: share of
near-duplicates found; false pairs: pairs of different images of one caption, scene or photograph that were
called duplicates. JPEG has quality 60 to 95, `resized` changes the side by 3 or 6 %, `resized_jpeg` both,
`shifted` moves by 3 % (one pixel of 32) in one of eight directions and repeats the border, `rescaled` stores
at 0.75 to 4 times the side.

{table}

Mining the whole training set, copies included:

{mined}

Limits: the embedder sees a blurred 32 x 32 picture. What differs only in finer detail (plain or dark areas,
star fields, pages of text) can be taken for a duplicate; crops with a standard deviation under
{contrast:.0f} of 255 are left out above. Mirrored copies, and crops that take a tenth off each side, are
mostly missed. For sets of photographs use a large CLIP where a hub is reachable. The rows, scenes and
pictures above were never trained on and did not choose the similarity; the photographs were never trained
on either, but were looked at while the recipe was chosen.

Photographs: {photographs}
"""

Embed = Callable[[Sequence[Image.Image]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """The training set by row; `splits` is training, validation or held-out, copies with their original."""

    captions: tuple[str, ...]
    images: tuple[Image.Image, ...]
    families: tuple[str, ...]
    splits: tuple[str, ...]
    originals: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Similarities:
    """Cosines of each image with its near-duplicates by kind, and with different images of its group."""

    n_images: int
    near_duplicates: dict[str, NDArray[np.float32]]
    different: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Recall by kind, and how many of the pairs of different images of one group were called duplicates."""

    images: int
    recall: dict[str, float]
    pairs: int
    false_pairs: int
    false_share: float


def read_examples(path: Path) -> Examples:
    """Read the training set with its ground truth."""
    rows = pq.read_table(path).to_pylist()
    families = tuple(row["copy_of"] or row["id"] for row in rows)
    return Examples(
        captions=tuple(row["text"] for row in rows),
        images=tuple(Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB") for row in rows),
        families=families,
        splits=tuple(split(family) for family in families),
        originals=tuple(i for i, row in enumerate(rows) if row["copy_of"] is None),
    )


def split(row_id: str) -> str:
    """Return training, validation or held-out: a tenth each for the latter two, by SHA-256 of the id."""
    tenth = int.from_bytes(hashlib.sha256(b"embedder\0" + row_id.encode()).digest()[:8], "big") % 10
    return {0: "held-out", 1: "validation"}.get(tenth, "training")


def load_embedder(folder: Path) -> Embed:
    """Load a folder through open_clip as a user would, and return images -> unit vectors (n, d)."""
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()

    @torch.inference_mode()
    def embed(images: Sequence[Image.Image]) -> NDArray[np.float32]:
        batches = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
        tensors = (torch.stack([preprocess(image) for image in batch]) for batch in batches)
        return np.concatenate([model.encode_image(tensor, normalize=True).numpy() for tensor in tensors])

    return embed


def near_duplicate_similarities(
    embed: Embed, images: Sequence[Image.Image], vectors: NDArray[np.float32], *, draws: int = 3
) -> dict[str, NDArray[np.float32]]:
    """Return by kind the cosine of each image with `draws` near-duplicates of it."""
    random = rng("embedder", "near-duplicates")
    found = {}
    for kind, change in KINDS.items():
        changed = [embed([change(image, random) for image in images]) for _ in range(draws)]
        found[kind] = np.concatenate([(vectors * copies).sum(axis=1) for copies in changed])
    return found


def measure_rows(embed: Embed, examples: Examples, which: str, *, draws: int = 3) -> Similarities:
    """Measure the rows of one split; different: pairs of such a row with any other row of its caption."""
    captions = np.array(examples.captions)[list(examples.originals)]
    chosen = [n for n, i in enumerate(examples.originals) if examples.splits[i] == which]
    images = [examples.images[i] for i in examples.originals]
    vectors = embed(images)
    # A pair of two rows of the split counts once: the later one leaves the earlier ones out.
    usable = (captions[chosen][:, None] == captions[None]) & _not_counted_yet(chosen, len(captions))
    own = [images[n] for n in chosen]
    return Similarities(
        n_images=len(chosen),
        near_duplicates=near_duplicate_similarities(embed, own, vectors[chosen], draws=draws),
        different=(vectors[chosen] @ vectors.T)[usable],
    )


def measure_groups(embed: Embed, images: Sequence[Image.Image], groups: Sequence[int]) -> Similarities:
    """Measure images all of which are unseen; different: pairs within one group."""
    vectors, names = embed(images), np.array(groups)
    first, second = np.triu_indices(len(names), 1)
    same = names[first] == names[second]
    return Similarities(
        n_images=len(images),
        near_duplicates=near_duplicate_similarities(embed, images, vectors, draws=1),
        different=(vectors @ vectors.T)[first[same], second[same]],
    )


def choose_similarity(measured: Similarities) -> float:
    """Return the similarity, in hundredths, midway between the near-duplicates and the others.

    Midway between the one that finds TARGET_RECALL of the hardest kind, and the one that calls
    TOLERATED_SHARE of the different pairs duplicates: a margin on both sides for other images.
    """
    lowest = min(np.quantile(values, 1 - TARGET_RECALL) for values in measured.near_duplicates.values())
    highest = np.quantile(measured.different, 1 - TOLERATED_SHARE)
    return math.floor(50 * float(lowest + highest)) / 100


def judge(measured: Similarities, tau: float) -> Figures:
    """Apply the similarity `tau`."""
    false_pairs, pairs = int((measured.different >= tau).sum()), len(measured.different)
    recall = {kind: round(float((v >= tau).mean()), 4) for kind, v in measured.near_duplicates.items()}
    return Figures(
        images=measured.n_images, recall=recall, pairs=pairs, false_pairs=false_pairs,
        false_share=round(false_pairs / pairs, 6),
    )  # fmt: skip


def mining_figures(embed: Embed, examples: Examples, tau: float) -> dict[str, float]:
    """Mine the whole set at `tau` and compare with its ground truth, over pairs and over rows."""
    vectors, families = embed(examples.images), np.array(examples.families)
    found = vectors @ vectors.T >= tau
    true = families[:, None] == families[None]
    np.fill_diagonal(found, val=True)
    counts, wanted = found.sum(axis=1), true.sum(axis=1)
    off_diagonal = ~np.eye(len(families), dtype=bool)
    return {
        "rows": len(families),
        "copy_pairs_found": round(float(found[true & off_diagonal].mean()), 4),
        "other_pairs_found_per_million": round(1e6 * float(found[~true].mean()), 2),
        "unique_rows_counted_as_unique": round(float((counts[wanted == 1] == 1).mean()), 4),
        "largest_count_of_a_unique_row": int(counts[wanted == 1].max()),
    }


def evaluate_embedder(
    folder: Path, examples: Examples, *, pictures: Path | None, photographs: Path | None
) -> dict[str, Any]:
    """Measure everything that can be measured with what is given, at the folder's own similarity."""
    settings = tomllib.loads((folder / "memex.toml").read_text())
    tau = float(settings["embedder"]["duplicate_similarity"])
    embed = load_embedder(folder)
    sets = {
        "held-out rows of the training set": measure_rows(embed, examples, "held-out"),
        "synthetic scenes": measure_groups(embed, *draw_scenes(examples)),
    }
    if pictures:
        sets["pictures never trained on"] = measure_groups(embed, *draw_pictures(pictures, examples))
    if photographs:
        crops, groups = cut_photographs(photographs)
        sets["crops of photographs"] = measure_groups(embed, crops, groups)
        small = [Image.fromarray(to_array(crop)) for crop in crops]
        sets["the same crops at 32 x 32"] = measure_groups(embed, small, groups)
    return {
        "duplicate_similarity": tau,
        "sets": {name: asdict(judge(measured, tau)) for name, measured in sets.items()},
        "photographs": sorted(path.name for path in photographs.iterdir()) if photographs else [],
        "mining": mining_figures(embed, examples, tau),
    }


def draw_scenes(examples: Examples) -> tuple[list[Image.Image], list[int]]:
    """Draw synthetic scenes with collages of held-out rows; a group is a scene."""
    rows = [i for i in examples.originals if examples.splits[i] == "held-out"]
    pictures = np.stack([np.asarray(examples.images[i]) for i in rows])
    crops = scene_crops(rng("embedder", "scenes"), pictures, N_SCENES)
    return [Image.fromarray(crop) for crop in crops], [i // CROPS_PER_SCENE for i in range(len(crops))]


def draw_pictures(package: Path, examples: Examples) -> tuple[list[Image.Image], list[int]]:
    """Render rows of pictures that the embedder never saw; a group is a picture."""
    unseen = [
        picture
        for picture in read_pictures(package)
        if picture.name not in examples.captions and split(picture.name) == "held-out"
    ]
    rows = [(group, i) for group in range(len(unseen)) for i in range(ROWS_PER_PICTURE)]
    images = [render(unseen[group].image, rng("embedder", unseen[group].name, i)) for group, i in rows]
    return images, [group for group, _ in rows]


def cut_photographs(folder: Path) -> tuple[list[Image.Image], list[int]]:
    """Cut photographs into square crops that do not overlap; a group is a photograph."""
    crops, groups = [], []
    for group, path in enumerate(sorted(folder.iterdir())):
        photograph = Image.open(path).convert("RGB")
        side = min(photograph.size) // CROPS_PER_SHORT_SIDE
        for top in range(0, photograph.height - side + 1, side):
            for left in range(0, photograph.width - side + 1, side):
                crop = photograph.crop((left, top, left + side, top + side))
                if to_array(crop).std(axis=(0, 1)).mean() >= LEAST_CONTRAST:
                    crops.append(crop)
                    groups.append(group)
    return crops, groups


def write_readme(figures: dict[str, Any], path: Path) -> None:
    """Write the figures of `evaluate_embedder` as a short page."""
    header = ["images", "n", *KINDS, "pairs", "false pairs", "false share"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for name, row in figures["sets"].items():
        recalls = [f"{row['recall'][kind]:.4f}" for kind in KINDS]
        cells = [name, row["images"], *recalls, row["pairs"], row["false_pairs"], f"{row['false_share']:.1e}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    mined = [f"- {name.replace('_', ' ')}: {value}" for name, value in figures["mining"].items()]
    page = README.format(
        tau=figures["duplicate_similarity"],
        table="\n".join(lines),
        mined="\n".join(mined),
        contrast=LEAST_CONTRAST,
        photographs=", ".join(figures["photographs"]) or "none",
    )
    path.write_text(page)


def _not_counted_yet(chosen: Sequence[int], n: int) -> NDArray[np.bool_]:
    usable = np.ones((len(chosen), n), dtype=bool)
    for position in range(len(chosen)):
        usable[position, list(chosen[: position + 1])] = False
    return usable
