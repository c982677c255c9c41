"""Turn the bytes of an image file into uint8 RGB pixels, whatever its mode."""

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def decode_picture(data: bytes) -> "NDArray[np.uint8]":
    """Decode an image file.

    The first frame of an animation; turned as its EXIF orientation says; transparency composited on
    white, as img2dataset does for LAION (a trainer that drops the alpha channel saw other pixels there);
    16-bit grey scaled to 8 bits; colour profiles ignored, as trainers do.

    Args:
        data: the bytes of a file in any format that Pillow reads.

    Returns:
        uint8 (h, w, 3), its own memory.

    Raises:
        ValueError: these bytes are no picture; the message is the reason, in one line.
    """
    if not data:
        msg = "empty file"
        raise ValueError(msg)
    try:
        # Pillow warns of odd metadata and of pictures over 89 megapixels: not the user's code to mend, and
        # where warnings are errors a good picture would be lost.
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data)) as image:
            ImageOps.exif_transpose(image, in_place=True)
            return np.array(_to_rgb(image))
    except UnidentifiedImageError as error:
        # Pillow's own message names a BytesIO object by its address.
        msg = "no known image format"
        raise ValueError(msg) from error
    except Exception as error:
        # Fed with broken bytes a decoder raises what it likes: OSError, SyntaxError, struct.error, a
        # decompression bomb. One bad picture must lose nothing else.
        reason = " ".join(str(error).split()) or type(error).__name__
        msg = f"cannot be decoded: {reason}"
        raise ValueError(msg) from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow's own conversion of 16-bit grey clips at 255: nearly everything would turn white.
        grey = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        image = Image.fromarray(((grey + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        canvas = Image.new("RGBA", image.size, "white")
        canvas.alpha_composite(image.convert("RGBA"))
        image = canvas
    return image.convert("RGB")
