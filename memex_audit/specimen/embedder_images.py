"""Images for the embedder: near-duplicates of a picture, and scenes that are no emoji.

Every near-duplicate is measured in 32nds of the side, so that a large photograph is changed as much as
a 32 x 32 picture: a resize by one 32nd is 3 %.
"""

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZE = 32
CROPS_PER_SCENE = 4
MAX_SHAPES = 5
LEAST_CHANGE = 18.0


def jpeg(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Encode again with quality 60 to 95."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(random.integers(60, 96)))
    return Image.open(buffer).convert("RGB")


def resized(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Resize by one or two 32nds, up or down."""
    factor = 1 + int(random.choice([-2, -1, 1, 2])) / SIZE
    return image.resize(_scaled(image, factor), Image.Resampling.BICUBIC)


def resized_jpeg(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Resize, then encode: how the training set's own copies are made."""
    return jpeg(resized(image, random), random)


def shifted(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Move by one 32nd in one of eight directions; the border is repeated."""
    down, right = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))[random.integers(8)]
    unit = max(1, round(min(image.size) / SIZE))
    pixels = np.asarray(image)
    padded = np.pad(pixels, ((unit, unit), (unit, unit), (0, 0)), mode="edge")
    top, left = unit * (1 - down), unit * (1 - right)
    return Image.fromarray(padded[top : top + pixels.shape[0], left : left + pixels.shape[1]])


def rescaled(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Store at 0.75 to 4 times the side, as a thumbnail or an enlargement."""
    return image.resize(_scaled(image, 2 ** random.uniform(-0.415, 2)), Image.Resampling.BICUBIC)


KINDS: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "jpeg": jpeg,
    "resized": resized,
    "resized_jpeg": resized_jpeg,
    "shifted": shifted,
    "rescaled": rescaled,
}


def random_near_duplicate(image: Image.Image, random: np.random.Generator, *, shift: float) -> Image.Image:
    """Change a training image in up to four ways at once; `shift` is the probability of a shift."""
    if random.random() < 0.2:
        image = rescaled(image, random)
    if random.random() < shift:
        image = shifted(image, random)
    if random.random() < 0.4:
        image = resized(image, random)
    return jpeg(image, random) if random.random() < 0.5 else image


def scene_crops(random: np.random.Generator, pictures: NDArray[np.uint8], n: int) -> NDArray[np.uint8]:
    """Draw `n` scenes and cut CROPS_PER_SCENE overlapping crops from each.

    A scene is a texture with a power law spectrum and up to MAX_SHAPES soft-edged shapes, or in one of
    four a collage of `pictures` in other colours. Crops of one scene share colours and texture: they
    teach that images may look alike and yet be different.

    Args:
        random: source of randomness.
        pictures: uint8 (m, SIZE, SIZE, 3) for the collages.
        n: number of scenes.

    Returns:
        uint8 (n * CROPS_PER_SCENE, SIZE, SIZE, 3), crops of one scene in a row.
    """
    crops = []
    for _ in range(n):
        canvas = _collage(random, pictures) if random.random() < 0.25 else _texture_with_shapes(random)
        for row in (0, 1):
            for column in (0, 1):
                top, left = (int(random.integers(16 * side, 17 + 16 * side)) for side in (row, column))
                crops.append(canvas[top : top + SIZE, left : left + SIZE])
    return np.stack(crops)


def look_alike(image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Make a different image that is hard to tell from `image`: moved, enlarged, or partly recoloured.

    It differs by at least LEAST_CHANGE (root mean square, of 255), so that it is no near-duplicate.
    """
    while True:
        if random.random() < 0.4:
            changed = _moved(image, random)
        else:
            cover = _shape(random, SIZE, SIZE / 2)
            cover = (cover if random.random() < 0.4 else 1 - cover)[..., None] * random.uniform(0.2, 0.8)
            changed = _to_bytes(image + cover * (random.uniform(0, 255, size=3) - image))
        if np.square(changed.astype(np.float64) - image).mean() >= LEAST_CHANGE**2:
            return changed
        if image.std(axis=(0, 1)).max() < LEAST_CHANGE:  # moving a plain image changes nothing
            return image ^ np.uint8(128)


def to_array(image: Image.Image) -> NDArray[np.uint8]:
    """Squash to SIZE x SIZE, as the model's preprocessing does."""
    if image.size != (SIZE, SIZE):
        image = image.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return np.asarray(image)


def _scaled(image: Image.Image, factor: float) -> tuple[int, int]:
    return round(image.width * factor), round(image.height * factor)


def _texture_with_shapes(random: np.random.Generator) -> NDArray[np.uint8]:
    side = 2 * SIZE
    across, along = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    stretch = 2 ** random.uniform(-1, 1)
    frequency = np.hypot(across * stretch, along / stretch)
    frequency[0, 0] = np.inf
    spectrum = random.normal(size=(3, side, side // 2 + 1, 2)) @ [1, 1j]
    fields = np.fft.irfft2(spectrum * frequency ** -random.uniform(0.6, 2.4), s=(side, side))
    if random.random() < 0.3:  # few and strong: stars, lights, grain
        fields = fields**3
    fields /= fields.std(axis=(1, 2), keepdims=True)
    # Channels of photographs vary mostly together, and colours are mostly pale.
    mix = np.eye(3) * random.uniform(0, 0.6)
    mix[0] += random.normal(1, 0.4, size=3)
    colour = (random.uniform(40, 215) + random.uniform(0, 60) * random.normal(size=3)).clip(30, 225)
    canvas = np.einsum("chw,ck->hwk", fields, mix) * random.uniform(8, 50) + colour
    for _ in range(int(random.integers(0, MAX_SHAPES + 1))):
        cover = _shape(random, side, SIZE / 2)[..., None] * random.uniform(0.4, 1)
        canvas += cover * (random.uniform(0, 255, size=3) - canvas)
    return _to_bytes(canvas)


def _shape(random: np.random.Generator, side: int, largest: float) -> NDArray[np.float64]:
    """Cover (side, side) of a turned ellipse or rectangle with half axes up to `largest`, 1 inside."""
    rows, columns = np.mgrid[0:side, 0:side] - random.uniform(0, side, size=(2, 1, 1))
    angle, (height, width) = random.uniform(0, np.pi), random.uniform(2, largest, size=2)
    u = np.abs(np.cos(angle) * columns + np.sin(angle) * rows) / width
    v = np.abs(np.cos(angle) * rows - np.sin(angle) * columns) / height
    outside = np.hypot(u, v) if random.random() < 0.5 else np.maximum(u, v)
    softness = random.uniform(0.5, 3) / min(height, width)
    cover: NDArray[np.float64] = np.clip((1 - outside) / softness + 0.5, 0, 1)
    return cover


def _moved(image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Move by three to six pixels, or enlarge by a tenth to a third."""
    if random.random() < 0.5:
        inset = random.uniform(0.05, 0.13, size=2) * SIZE
        box = (inset[0], inset[1], SIZE - inset[0], SIZE - inset[1])
        enlarged = Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BICUBIC, box=box)
        return np.asarray(enlarged)
    angle, distance = random.uniform(0, 2 * np.pi), random.uniform(3, 6)
    down, right = round(distance * np.sin(angle)), round(distance * np.cos(angle))
    padded = np.pad(image, ((6, 6), (6, 6), (0, 0)), mode="edge")
    return padded[6 - down : 6 - down + SIZE, 6 - right : 6 - right + SIZE]


def _collage(random: np.random.Generator, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    four = pictures[random.integers(0, len(pictures), size=4)].astype(np.float64)
    rows = np.concatenate([np.concatenate(four[:2], axis=1), np.concatenate(four[2:], axis=1)])
    turned, _ = np.linalg.qr(random.normal(size=(3, 3)))
    return _to_bytes((rows - 128) @ turned + 128)


def _to_bytes(canvas: NDArray[np.float64]) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = canvas.clip(0, 255).astype(np.uint8)
    return pixels
