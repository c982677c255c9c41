"""Sets of 500 images to measure on: synthetic, as no photograph ships with this project."""

import numpy as np
from numpy.typing import NDArray

from memex_audit.extraction.distances import tile_l2_between

N = 500
DELTA = 0.1

Images = NDArray[np.uint8]


def one_over_f(random: np.random.Generator, side: int) -> NDArray[np.float32]:
    """One plane of random phases and an amplitude of 1 / frequency, as photographs have; mean 0, std 1."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)).astype(np.float32)
    frequency[0, 0] = np.inf
    phases = random.standard_normal((2, *frequency.shape), np.float32)
    plane = np.fft.irfft2((phases[0] + 1j * phases[1]) / frequency, s=(side, side))
    return (plane / plane.std()).astype(np.float32)


def picture(random: np.random.Generator, side: int) -> NDArray[np.float32]:
    """A colour image whose channels share most of their light; mean 0, std about 1 each."""
    light, blue_yellow, red_green = (one_over_f(random, side) for _ in range(3))
    return np.stack([light + 0.3 * red_green, light, light + 0.3 * blue_yellow], axis=-1)


def natural(random: np.random.Generator, side: int) -> Images:
    """Unrelated synthetic photographs; 40 of them five groups of near-copies at 0.9 to 1.1 delta."""
    images = np.empty((N, side, side, 3), np.uint8)
    for i in range(N):
        brightness, contrast = random.uniform(90, 160), random.uniform(35, 65)
        images[i] = np.clip(brightness + contrast * picture(random, side), 0, 255)
    for base in range(0, 40, 8):
        for copy in range(base + 1, base + 8):
            share = DELTA * random.uniform(0.9, 1.1) / tile_l2_between(images[base], images[copy])
            images[copy] = np.rint((1 - share) * images[base] + share * images[copy])
    return images


def low_contrast(random: np.random.Generator, side: int) -> Images:
    """One soft composition shared by all, each with a texture of its own: distances lie around delta."""
    images, shared = np.empty((N, side, side, 3), np.uint8), 128 + 12 * picture(random, side)
    for i in range(N):
        images[i] = np.clip(shared + random.uniform(12, 18) * picture(random, side), 0, 255)
    return images


def white_noise(random: np.random.Generator, side: int) -> Images:
    return random.integers(0, 256, (N, side, side, 3), dtype=np.uint8)


def identical(random: np.random.Generator, side: int) -> Images:
    image = np.clip(128 + 50 * picture(random, side), 0, 255).astype(np.uint8)
    return np.repeat(image[None], N, axis=0)


CASES = {f.__name__: f for f in (natural, low_contrast, white_noise, identical)}
