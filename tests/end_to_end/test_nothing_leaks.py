"""No picture of the training set and, redacted, no caption is in any file that an audit writes for others.

Every file is searched through every wrapping: base64, URL escapes, JSON escapes, gzip. Each search is shown
to find what is planted.
"""

import base64
import gzip
import html
import io
import json
import re
import shutil
import urllib.parse
from functools import cache

import numpy as np
import pytest
from PIL import Image

from memex_audit.explain import prompt_slug
from memex_audit.reporting.figures import PANEL, mosaic_of

SIGNATURES = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8|RIFF....WEBP", re.DOTALL)
BASE64 = re.compile(rb"[A-Za-z0-9+/]{24,}={0,2}")
CROP = 16
CROPS_A_QUARTER = 2
# Grey levels by which a crop must differ from its own mosaic, so that a mosaic is not taken for it.
DETAIL = 30.0
# Root mean square over a crop: noise of the generator and JPEG stay below, everything else far above.
SAME = 14.0


def layers(data, depth=3):
    """Yield a file's bytes, and what is wrapped in them."""
    yield data
    if depth == 0:
        return
    plain = data.replace(b"\\/", b"/").replace(b"\\n", b"")
    if b"%" in plain:
        plain = urllib.parse.unquote_to_bytes(plain)
    for run in BASE64.findall(plain):
        text = run.rstrip(b"=")
        text = text[:-1] if len(text) % 4 == 1 else text
        yield from layers(base64.b64decode(text + b"=" * (-len(text) % 4)), depth - 1)
    if data[:2] == b"\x1f\x8b":
        yield from layers(gzip.decompress(data), depth - 1)


def pictures_in(data):
    """Yield every picture in a file, grey, float32 (h, w)."""
    for layer in layers(data):
        for found in SIGNATURES.finditer(layer):
            try:
                picture = Image.open(io.BytesIO(layer[found.start() :])).convert("L")
            except (OSError, SyntaxError, ValueError):
                continue
            if min(picture.size) >= CROP:
                yield np.asarray(picture, np.float32)


def crops_of(picture):
    """Return crops of a picture at its own scale and at the sheet's, float32 (n, 16 * 16).

    Taken are those that differ most from the mosaic: it may be shown, they may not.
    """
    mosaic = Image.fromarray(mosaic_of(np.asarray(picture)))
    crops = []
    for size in (picture.size, (PANEL, PANEL)):
        shown = np.asarray(picture.resize(size, Image.Resampling.BICUBIC).convert("L"), np.float32)
        cells = np.asarray(mosaic.resize(size, Image.Resampling.NEAREST).convert("L"), np.float32)
        for top, left in ((0, 0), (0, size[0] // 2), (size[1] // 2, 0), (size[1] // 2, size[0] // 2)):
            places = [
                (slice(y, y + CROP), slice(x, x + CROP))
                for y in range(top, top + size[1] // 2 - CROP + 1, 4)
                for x in range(left, left + size[0] // 2 - CROP + 1, 4)
            ]
            ranked = sorted(places, key=lambda place: -rms(shown[place] - cells[place]))
            crops += [
                shown[place].ravel()
                for place in ranked[:CROPS_A_QUARTER]
                if rms(shown[place] - cells[place]) > DETAIL
            ]
    return crops


def rms(difference):
    return float(np.sqrt(np.square(difference).mean()))


def least_difference(picture, crops):
    """Return the root mean square by which the nearest crop differs from the nearest place of a picture."""
    norms, least = np.square(crops).sum(axis=1), np.inf
    for top in range(0, picture.shape[0] - CROP + 1, 8):
        strip = picture[top : top + CROP + 7]
        windows = np.lib.stride_tricks.sliding_window_view(strip, (CROP, CROP)).reshape(-1, CROP * CROP)
        squares = np.square(windows).sum(axis=1)
        least = min(least, float((squares[:, None] - 2 * windows @ crops.T + norms).min()))
    return float(np.sqrt(max(least, 0) / CROP**2))


@pytest.fixture(scope="module")
def originals(project):
    return [Image.open(path).convert("RGB") for path in sorted((project.path / "images").glob("*.png"))]


@pytest.fixture(scope="module")
def find_pictures(originals):
    """Return the names of the files below a folder that show a part of an original."""
    crops = np.stack([crop for picture in originals for crop in crops_of(picture)])
    # Rows of 16 pixels, for pixels that stand in a file without a picture's format around them.
    rows = [np.asarray(picture)[row, 8:24].tobytes() for picture in originals for row in range(8, 88, 8)]
    rows = [row for row in rows if len(set(row)) > 16]
    numbers = [",".join(map(str, row[:24])).encode() for row in rows]
    assert len(crops) > 6 * len(originals)

    @cache
    def shown(data):
        if any(row in layer for layer in layers(data) for row in rows):
            return True
        compact = data.replace(b" ", b"").replace(b"\n", b"").replace(b"],[", b",")
        if any(number in compact for number in numbers):
            return True
        return any(least_difference(picture, crops) < SAME for picture in pictures_in(data))

    def find(folder):
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        assert files
        return [path.name for path in files if shown(path.read_bytes())]

    return find


@pytest.fixture(scope="module")
def outputs(project):
    return project.audit("searched", "--memex-evidence", "full:private")


def test_no_part_of_a_training_image_is_in_results_json_junit_or_markdown(outputs, find_pictures):
    names = {path.name.partition("-attachment")[2] or path.name for path in outputs.rglob("*.*")}
    assert {".jpg", ".svg", "result.json", "junit.xml", "report.md", "summary.md", "terminal.txt"} <= names
    assert find_pictures(outputs) == []


def test_the_sheets_were_among_what_was_searched(outputs):
    sheets = [path.read_bytes() for path in outputs.rglob("*.jpg")]
    assert len(sheets) == 3
    assert all(len(list(pictures_in(sheet))) == 1 and len(sheet) < 60 * 1024 for sheet in sheets)


@pytest.mark.browser
def test_no_part_of_a_training_image_is_in_the_built_pages(outputs, find_pictures, build_report, tmp_path):
    shutil.copytree(outputs / "allure-results", tmp_path / "allure-results")
    page = build_report(tmp_path, "awesome", "allure-results", "--single-file", "--output", "page")
    # The sheets are in the page, as base64: a search that does not see them there would find nothing at all.
    assert sum(picture.shape[1] > 300 for picture in pictures_in(page.read_bytes())) >= 3
    assert find_pictures(page.parent) == []


def encoded(picture, kind="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def sheet(picture):
    """Return a picture as a sheet that is no mosaic would show it."""
    page = Image.new("RGB", (400, 200), "white")
    page.paste(picture.resize((PANEL, PANEL), Image.Resampling.BICUBIC), (130, 44))
    return encoded(page, "JPEG", quality=75)


LEAKS = {
    "a copy": encoded,
    "a quarter": lambda picture: encoded(picture.crop((48, 0, 96, 48))),
    "a sheet": sheet,
    "in a page": lambda picture: b'<img src="data:;base64,' + base64.b64encode(encoded(picture)) + b'">',
    "in JSON": lambda picture: (
        json.dumps({"picture": base64.b64encode(sheet(picture)).decode()}).replace("/", "\\/").encode()
    ),
    "in a page in a page": lambda picture: base64.b64encode(
        b"<svg><image href='data:image/jpeg;base64," + base64.b64encode(sheet(picture)) + b"'/></svg>"
    ),
    "URL-escaped": lambda picture: urllib.parse.quote(base64.b64encode(encoded(picture))).encode(),
    "as bytes": lambda picture: b"\x93NUMPY" + np.asarray(picture).tobytes(),
    "as numbers": lambda picture: json.dumps(np.asarray(picture).tolist()).encode(),
    "compressed": lambda picture: gzip.compress(encoded(picture)),
}  # fmt: skip


@pytest.mark.parametrize("leak", LEAKS)
def test_the_search_finds_a_planted_picture(leak, originals, find_pictures, tmp_path):
    (tmp_path / "leak").write_bytes(LEAKS[leak](originals[3]))
    (tmp_path / "innocent.txt").write_text("nothing")
    assert find_pictures(tmp_path) == ["leak"]


def test_the_search_finds_the_originals_that_full_evidence_writes(project, outputs, find_pictures):
    assert outputs.exists()
    found = find_pictures(project.path / "private")
    assert any(name.startswith("generation-") for name in found)
    assert found.count("training-image.png") == 3


# -- captions

# One word of every caption that no other word of an output holds.
WORDS = ("zanzibar", "quokka", "narwhal", "façade", "pangolin")


def forms_of(text):
    """Return how a text may stand in a file."""
    plain = (
        text,
        json.dumps(text)[1:-1],
        html.escape(text),
        urllib.parse.quote(text),
        urllib.parse.quote_plus(text),
        prompt_slug(text),
        text.encode("ascii", "xmlcharrefreplace").decode(),
        text.encode("ascii", "backslashreplace").decode(),
    )
    # Bytes are compared, whose lower case leaves letters beyond ASCII as they are.
    return {form.encode().lower() for form in plain}


FORMS = frozenset().union(*(forms_of(form) for word in WORDS for form in (word, word.upper())))


def find_captions(folder):
    """Return the names of the files below a folder that hold a word of a caption, or whose names do."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert files
    return [
        path.name
        for path in files
        if any(form in path.name.lower().encode() for form in FORMS)
        or any(form in layer.lower() for layer in layers(path.read_bytes()) for form in FORMS)
    ]


@pytest.fixture(scope="module")
def redacted(project):
    return project.audit("redacted", "--memex-redact", "captions")


def test_with_captions_redacted_none_is_in_any_file(redacted):
    assert find_captions(redacted) == []


@pytest.mark.browser
def test_with_captions_redacted_none_is_in_the_built_pages(redacted, build_report, tmp_path):
    shutil.copytree(redacted / "allure-results", tmp_path / "allure-results")
    page = build_report(tmp_path, "awesome", "allure-results", "--single-file", "--output", "page")
    assert find_captions(page.parent) == []


def test_the_search_finds_captions_where_they_are_not_redacted(outputs):
    found = find_captions(outputs)
    assert {"result.json", "junit.xml", "report.md", "summary.md", "terminal.txt"} <= set(found)
    assert any(name.endswith("-result.json") for name in found)


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(
    "wrap",
    [
        str.upper,
        lambda text: json.dumps({"a": text}),
        html.escape,
        urllib.parse.quote,
        prompt_slug,
        lambda text: base64.b64encode(f"a caption: {text}, and more".encode()).decode(),
    ],
    ids=["capitals", "json", "html", "url", "slug", "base64"],
)
def test_the_search_finds_a_planted_caption(word, wrap, tmp_path):
    (tmp_path / "leak.txt").write_text("before " + wrap(f"a {word} at dusk") + " after")
    (tmp_path / "innocent.txt").write_text("a lighthouse at dusk")
    assert find_captions(tmp_path) == ["leak.txt"]
