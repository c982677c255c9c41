"""Captions and file names of any kind, every output on: nothing breaks, and nothing is injected."""

import json
import re
import shutil
import unicodedata
import xml.etree.ElementTree as ET
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from markdown_it import MarkdownIt
from PIL import Image

from memex_audit.reporting.json_report import SCHEMA_FILE

AUDITS = Path(__file__).parents[2] / "audits"

EXTRACTED = (
    "line one\nline two\r\n# heading\n\n- item",
    "\x1b[31mred\x1b[0m \x07 bell \x9b1m",
    "emoji \U0001f600 \U0001f469\u200d\U0001f469\u200d\U0001f467 family",
    "\u05e2\u05d1\u05e8\u05d9\u05ea \u202eright to left\u202c \u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "long " + "x" * 10_000,
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "$(touch pwned); `touch pwned`; \"quoted\" 'single' | & > out < in \\",
    "nul \x00 inside",
    "../../escaped",
    "]]> & &amp; <!-- --> ?> <b>bold</b>",
    "| pipe | table |\n|---|---|\n[link](http://evil.example) ![i](http://evil.example/x.png)",
    "%s %d {0} {prompt} %(x)s ${x}",
    "--memex-limit 1 -k",
    "a::b[c]-d/e",
    "```\nfence\n``` <https://evil.example>",
    "\u2028line separator\u2029paragraph\u0085next line",
    "\ufdd0 \uffff noncharacters \ue000",
    "CON",
    "-",
)
# Long enough that lines are broken before the commands that GitHub's runner would obey at their start.
FLAGGED = (
    "words of a caption that go on and on " * 3 + " ::error::injected ::stop-commands::x",
    "\ufeff\u200b",
)
BLACK = ("::add-mask::black\n::error::black",)
CAPTIONS = EXTRACTED + FLAGGED + BLACK
NAMES = (
    "new\nline", "<b>", "a&'\"", "\u202ertl", "\U0001f600", "$(touch pwned)", "pipe|", "%s", "-k", "[x](y)",
    "a b", "caf\u00e9", "::error::", "#1", "`tick`", "back\\slash", "semi;colon",
)  # fmt: skip
CONFTEST = """
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from memex_audit.records import Generation

KINDS = {text: (kind, name) for text, kind, name in json.loads(Path("kinds.json").read_text())}


class Copier:
    fingerprint, settings, seeded, shareable, evaluations_per_image = "e" * 64, {}, True, True, 1

    def generate(self, requests):
        for request in requests:
            kind, name = KINDS[request.prompt]
            picture = Image.open("images/" + name)
            picture = picture if kind == "extracted" else picture.transpose(Image.Transpose.TRANSPOSE)
            pixels = np.asarray(picture).astype(int) * (kind != "black")
            noise = np.random.default_rng(request.seed).integers(-3, 4, pixels.shape) * (kind != "black")
            yield Generation(request=request, pixels=np.clip(pixels + noise, 0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def memex_generator():
    return Copier()
"""


@pytest.fixture
def hostile(pytester, monkeypatch):
    """Run an audit over a training set with these captions, every output on; return its folder and output."""
    path = pytester.path
    pytester.makeconftest(CONFTEST)
    for folder in ("audits", "images"):
        (path / folder).mkdir()
    for name in ("test_duplicated_prompts.py", "test_replica_rates.py"):
        shutil.copy(AUDITS / name, path / "audits" / name)
    kinds, lines = [], []
    for i, caption in enumerate(CAPTIONS):
        name = (NAMES[i] if i < len(NAMES) else str(i)) + ".png"
        coarse = np.random.default_rng(i).integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC).save(path / "images" / name)
        lines.append(json.dumps({"file_name": name, "text": caption}))
        kind = "extracted" if caption in EXTRACTED else "flagged" if caption in FLAGGED else "black"
        kinds.append((caption.strip(), kind, name))
    (path / "images" / "metadata.jsonl").write_text("\n".join(lines))
    (path / "kinds.json").write_text(json.dumps(kinds))
    (path / "summary.md").touch()
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path / "summary.md"))
    run = pytester.runpytest_inprocess(
        "audits", "-vv", "-rA", "-W", "default", "--memex-model", "none", "--memex-training-set", "images",
        "--memex-embedder", "specimen", "--memex-json", "result.json", "--memex-report", "report.md",
        "--memex-evidence", "full:evidence", "--junitxml", "junit.xml", "--alluredir", "allure-results",
    )  # fmt: skip
    return path, run


def unprintable(text):
    """Return what could steer a terminal, or show text in another order than it stands."""
    kinds = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return {c for c in text if unicodedata.category(c) in kinds and c not in "\n\t"}


def markdown_tokens(text):
    """Return the types of everything that a strict CommonMark parser with tables sees, and its headings."""
    types, headings = set(), []
    queue = MarkdownIt("commonmark").enable("table").parse(text)
    for before, token in zip([None, *queue], queue, strict=False):
        types |= {token.type, *(child.type for child in token.children or ())}
        if before and before.type == "heading_open":
            headings.append(token.content)
    return types, headings


def test_hostile_captions_break_and_inject_nothing(hostile):
    path, run = hostile
    assert run.ret == 1
    run.assert_outcomes(failed=len(EXTRACTED) + len(BLACK) + 1, passed=len(FLAGGED), warnings=len(FLAGGED))

    # JSON: whole, of its schema, every caption as it was.
    found = json.loads((path / "result.json").read_text())
    jsonschema.validate(found, json.loads(SCHEMA_FILE.read_text()))
    verdicts = {finding["prompt"]: finding["verdict"] for finding in found["findings"]}
    assert verdicts == {
        **{caption.strip(): "extracted" for caption in EXTRACTED},
        **{caption.strip(): "flagged" for caption in FLAGGED},
        **{caption.strip(): "undecided" for caption in BLACK},
    }

    # Terminal: nothing steers it, no line of it is a command to GitHub's runner.
    shown = run.stdout.str()
    assert not unprintable(shown)
    assert not [line for line in shown.splitlines() if line.lstrip().startswith("::")]

    # JUnit: well-formed XML, one case a prompt.
    cases = list(ET.parse(path / "junit.xml").iter("testcase"))
    assert len(cases) == len(CAPTIONS) + 1
    assert not [e for e in ET.parse(path / "junit.xml").iter() if e.tag in ("b", "script", "img")]

    # Allure: every file is whole and has a plain name.
    files = list((path / "allure-results").iterdir())
    assert all(re.fullmatch(r"[\w.-]+", file.name, re.ASCII) for file in files)
    results = [json.loads(file.read_text()) for file in files if file.suffix == ".json"]
    assert sum("uuid" in result and "status" in result for result in results if isinstance(result, dict)) == (
        len(CAPTIONS) + 1
    )
    for line in (path / "allure-results" / "environment.properties").read_text(encoding="ascii").splitlines():
        assert re.fullmatch(r"(\\.|[^\\ =])+ = .*", line)

    # Markdown: no markup but that of the page.
    for name in ("report.md", "summary.md"):
        text = (path / name).read_text()
        assert not unprintable(text) - {"\u200d"}
        types, headings = markdown_tokens(text)
        assert not types & {"html_block", "html_inline", "link_open", "image", "fence", "hr", "code_block"}
        assert not [heading for heading in headings if "heading" in heading.split()]

    # Nothing was written, or run, outside of the folders that were named.
    assert {file.name for file in path.iterdir()} - {"__pycache__", ".pytest_cache"} == {
        ".memex", "allure-results", "audits", "conftest.py", "evidence", "images", "junit.xml", "kinds.json",
        "report.md", "result.json", "summary.md",
    }  # fmt: skip
    assert all(re.fullmatch("[0-9a-f]{12}", folder.name) for folder in (path / "evidence").iterdir())
    kept = [file.relative_to(path / ".memex").as_posix() for file in (path / ".memex").rglob("*")]
    assert all(re.fullmatch(r"[\w./-]+", name, re.ASCII) for name in kept)
