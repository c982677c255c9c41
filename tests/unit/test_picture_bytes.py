import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from memex_audit.config import MAX_PIXELS, PILLOW_PIXELS, read_settings
from memex_audit.errors import ConfigurationError
from memex_audit.picture_bytes import PictureTooLargeError, decode_picture


@pytest.fixture
def picture():
    """Make the picture of a number: noise, uint8 (8, 8, 3)."""
    return lambda seed: np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)


@pytest.fixture
def png():
    """Encode pixels as PNG, or as another format."""
    return lambda pixels, kind="PNG": encode(Image.fromarray(pixels), kind)


def encode(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_rgb_pixels_come_back_exactly_and_may_be_written_to(picture, png):
    pixels = decode_picture(png(picture(0)))
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, picture(0))
    pixels[0, 0, 0] = 7


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("L", 40, (40, 40, 40)),
        ("1", 1, (255, 255, 255)),
        ("LA", (40, 255), (40, 40, 40)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
    ],
)
def test_every_mode_becomes_rgb_and_transparency_white(mode, value, expected):
    pixels = decode_picture(encode(Image.new(mode, (3, 2), value)))
    assert pixels.shape == (2, 3, 3)
    assert (pixels == expected).all()


def test_half_transparent_black_on_white_is_grey():
    # 255 * (1 - 128 / 255) = 127
    pixels = decode_picture(encode(Image.new("RGBA", (1, 1), (0, 0, 0, 128))))
    assert pixels.tolist() == [[[127, 127, 127]]]


def test_a_palette_is_looked_up_and_its_transparent_colour_is_white():
    image = Image.new("P", (2, 1))
    image.putpalette([9, 8, 7, 200, 100, 50])
    image.putpixel((1, 0), 1)
    assert decode_picture(encode(image)).tolist() == [[[9, 8, 7], [200, 100, 50]]]
    assert decode_picture(encode(image, transparency=0)).tolist() == [[[255, 255, 255], [200, 100, 50]]]


def test_cmyk_becomes_rgb():
    pixels = decode_picture(encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100))
    assert np.abs(pixels.astype(int) - (255, 0, 0)).max() <= 2


def test_sixteen_bits_are_scaled_and_not_clipped():
    grey = np.array([[0, 128, 129, 257, 32896, 65535]], dtype=np.uint16)
    pixels = decode_picture(encode(Image.fromarray(grey)))
    # 257 = 65535 / 255; 128 lies just below half a step, 129 above.
    assert pixels[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (6, 4)], ids=["RGB", "RGBA"])
def test_sixteen_bits_a_channel_keep_their_high_byte(colour, channels):
    # Pillow cannot write such a file: header, one row without a filter, end.
    samples = [0x1234, 0x8000, 0xFFFF, 0xFFFF][:channels]
    row = b"\0" + struct.pack(f">{channels}H", *samples)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, colour, 0, 0, 0)), (b"IDAT", zlib.compress(row))]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in [*parts, (b"IEND", b"")]
    )
    assert decode_picture(data).tolist() == [[[0x12, 0x80, 0xFF]]]


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_an_animated_gif_or_webp_gives_its_first_frame(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in [(255, 0, 0), (0, 255, 0)]]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], duration=40)
    assert np.abs(decode_picture(data).astype(int) - (255, 0, 0)).max() <= 3


def test_pillow_warnings_neither_lose_a_picture_nor_reach_the_user(picture, png, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)  # 8 x 8 is over it, and below twice as much
    np.testing.assert_array_equal(decode_picture(png(picture(0))), picture(0))


def test_exif_orientation_is_applied():
    image = Image.new("RGB", (2, 1), (0, 0, 0))
    image.putpixel((1, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view
    pixels = decode_picture(encode(image, exif=exif))
    assert pixels[:, :, 0].tolist() == [[0], [255]]


def test_an_animation_gives_its_first_frame(picture):
    frames = [Image.fromarray(picture(i)) for i in range(3)]
    data = encode(frames[0], save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode_picture(data), picture(0))


def test_no_bytes_are_an_empty_file():
    with pytest.raises(ValueError, match=r"^empty file$"):
        decode_picture(b"")


def test_other_bytes_are_no_known_format():
    with pytest.raises(ValueError, match=r"^no known image format$"):
        decode_picture(b"<html>not found</html>")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
def test_a_picture_cut_short_says_so_in_one_line(picture, png, kind):
    data = png(picture(0).repeat(16, axis=0).repeat(16, axis=1), kind)
    with pytest.raises(ValueError, match=r"^cannot be decoded: [^\n]+$|^no known image format$"):
        decode_picture(data[: len(data) // 2])


def claiming(width, height):
    """Return a PNG of one pixel whose header says that it has width x height."""
    data = bytearray(encode(Image.new("L", (1, 1))))
    # Width and height of the header, and its checksum.
    data[16:24] = struct.pack(">2I", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


@pytest.mark.parametrize(
    ("width", "height", "said"),
    [
        (8_001, 8_000, r"8,001 x 8,000 pixels are 64,008,000"),
        (10_000, 10_000, r"10,000 x 10,000 pixels are 100,000,000"),  # Pillow warns from 89 million on
        (20_000, 20_000, r"400,000,000 pixels"),  # and refuses from 179 million on
    ],
)
def test_a_picture_of_too_many_pixels_is_refused_by_its_header(width, height, said, recwarn):
    refusal = rf"^too large: {said}, over the limit of 64,000,000 \(--memex-max-pixels\)$"
    with pytest.raises(PictureTooLargeError, match=refusal):
        decode_picture(claiming(width, height))
    assert not recwarn.list


def test_a_picture_as_large_as_the_limit_is_read_and_the_limit_can_be_moved(picture, png):
    assert decode_picture(png(picture(0)), max_pixels=64).shape == (8, 8, 3)
    with pytest.raises(PictureTooLargeError, match="8 x 8 pixels are 64, over the limit of 63"):
        decode_picture(png(picture(0)), max_pixels=63)


@pytest.mark.parametrize("data", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", b"\0\0\1\0\1\0"])
def test_a_program_for_ghostscript_and_a_file_of_icons_are_no_pictures(data):
    with pytest.raises(ValueError, match=r"^no known image format$"):
        decode_picture(data)


def test_the_limit_is_an_option_and_goes_no_further_than_pillow():
    assert read_settings({}).max_pixels == MAX_PIXELS == 64_000_000
    assert read_settings({"max_pixels": "1000"}).max_pixels == 1000
    # Twice what Pillow warns at is what it refuses.
    assert int(2 * Image.MAX_IMAGE_PIXELS) == PILLOW_PIXELS
    with pytest.raises(ConfigurationError, match=r"--memex-max-pixels must be at most 178956970: Pillow"):
        read_settings({"max_pixels": "178956971"})
