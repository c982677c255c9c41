"""Turn the bytes of an image file into uint8 RGB pixels, whatever its mode, and whoever sent them.

For pictures from outside: training sets, folders of generations, answers of a server. What the header says of
the size is looked at before anything is decoded.
"""

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from memex_audit.config import MAX_PIXELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Pillow knows more, of which one (EPS) is a program that it hands to Ghostscript, and others (ICO, ICNS) hold
# pictures whose size the header does not say. MPO, of telephones, is read as JPEG.
FORMATS = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")


def decode_picture(data: bytes, *, max_pixels: int = MAX_PIXELS) -> "NDArray[np.uint8]":
    """Decode an image file.

    The first frame of an animation; turned as its EXIF orientation says; transparency composited on
    white, as img2dataset does for LAION (a trainer that drops the alpha channel saw other pixels there);
    16-bit grey scaled to 8 bits; colour profiles ignored, as trainers do.

    Args:
        data: the bytes of a file in one of FORMATS.
        max_pixels: width x height above which it is refused unread.

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
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data), formats=FORMATS) as image:
            check_size(image.width, image.height, max_pixels)
            ImageOps.exif_transpose(image, in_place=True)
            return np.array(_to_rgb(image))
    except UnidentifiedImageError as error:
        # Pillow's own message names a BytesIO object by its address.
        msg = "no known image format"
        raise ValueError(msg) from error
    except PictureTooLargeError:
        raise
    except Image.DecompressionBombError as error:  # beyond what Pillow opens at all
        msg = f"too large: {_its_size(error)}, over the limit of {max_pixels:,} (--memex-max-pixels)"
        raise PictureTooLargeError(msg) from error
    except Exception as error:
        # Fed with broken bytes a decoder raises what it likes: OSError, SyntaxError, struct.error. One bad
        # picture must lose nothing else.
        reason = " ".join(str(error).split()) or type(error).__name__
        msg = f"cannot be decoded: {reason}"
        raise ValueError(msg) from error


class PictureTooLargeError(ValueError):
    """A picture of more pixels than may be decoded."""


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse a picture of this size, before it is decoded.

    Raises:
        PictureTooLargeError: it has more than `max_pixels`.
    """
    if width * height > max_pixels:
        msg = (
            f"too large: {width:,} x {height:,} pixels are {width * height:,}, over the limit of "
            f"{max_pixels:,} (--memex-max-pixels)"
        )
        raise PictureTooLargeError(msg)


def _its_size(error: Image.DecompressionBombError) -> str:
    # "Image size (400000000 pixels) exceeds limit of ..."
    digits = str(error).partition("(")[2].partition(" ")[0]
    return f"{int(digits):,} pixels" if digits.isdigit() else "more pixels than Pillow opens"


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
