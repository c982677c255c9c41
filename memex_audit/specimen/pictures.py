"""Read the Noto pictures that the specimen's training set is rendered from.

The pictures come from the npm package `emoji-datasource-google` 16.0.0, unpacked into a folder:
64 x 64 RGBA PNGs with a name each. Pictures: Apache-2.0 (see data/NOTICE).
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

# Many of these look alike at 32 x 32 (a dozen clock faces, forty families): one picture would then
# stand under several captions, and "unique" would not be true.
SCENERY_CATEGORIES = (
    "Activities",
    "Animals & Nature",
    "Food & Drink",
    "Objects",
    "Smileys & Emotion",
    "Travel & Places",
)
LOOK_ALIKES = ("time", "emotion", "heart", "cat-face", "monkey-face")
NEVER_CAPTIONS = ("Component", "Flags")


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A named picture: `name` is its caption, `image` is RGBA, `trainable` whether it may be drawn."""

    name: str
    image: Image.Image
    trainable: bool


def read_pictures(package: Path) -> list[Picture]:
    """Return the pictures of an unpacked emoji-datasource-google package, ordered by name.

    Raises:
        FileNotFoundError: `package` holds no emoji.json.
    """
    entries = json.loads((package / "emoji.json").read_text())
    folder = package / "img" / "google" / "64"
    pictures: dict[str, Picture] = {}
    for entry in entries:
        name = entry["name"].lower()
        if entry["category"] in NEVER_CAPTIONS or not entry["has_img_google"] or name in pictures:
            continue
        with Image.open(folder / entry["image"]) as image:
            rgba = image.convert("RGBA")
        trainable = entry["category"] in SCENERY_CATEGORIES and entry["subcategory"] not in LOOK_ALIKES
        pictures[name] = Picture(name=name, image=rgba, trainable=trainable)
    return [pictures[name] for name in sorted(pictures)]


def select_distinct(pictures: list[Picture], n: int) -> list[Picture]:
    """Choose `n` trainable pictures that differ most, by farthest-point search on 8 x 8 thumbnails."""
    candidates = [picture for picture in pictures if picture.trainable]
    thumbnails = np.stack([_thumbnail(picture.image) for picture in candidates])
    chosen = [0]
    distance = ((thumbnails - thumbnails[0]) ** 2).sum(axis=1)
    while len(chosen) < n:
        farthest = int(distance.argmax())
        chosen.append(farthest)
        distance = np.minimum(distance, ((thumbnails - thumbnails[farthest]) ** 2).sum(axis=1))
    return [candidates[i] for i in sorted(chosen)]


def _thumbnail(image: Image.Image) -> np.ndarray:
    backdrop = Image.new("RGBA", image.size, (128, 128, 128, 255))
    flat = Image.alpha_composite(backdrop, image).convert("RGB").resize((8, 8), Image.Resampling.BOX)
    return np.asarray(flat, dtype=np.float32).ravel() / 255
