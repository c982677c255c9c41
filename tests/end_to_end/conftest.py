"""A browser to look at reports with, and npm `allure` to build them: what the tests marked `browser` need."""

import base64
import fcntl
import io
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet
import pytest
from PIL import Image

from memex_audit.explain import prompt_slug
from memex_audit.specimen import TRAINING_SET

ROOT = Path(__file__).parents[2]

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
PATIENCE_S = 60


def tool(*names: str, how: str) -> str:
    """Return the first of these programs that is on PATH; a test that needs it fails where none is."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.fail(f"{names[0]} must be on PATH for tests marked `browser`, got none; {how}", pytrace=False)
    return found


class Page:
    """A page of headless Chromium, spoken to in its DevTools protocol over a pipe.

    `requested`: every address that pages asked for.
    """

    def __init__(self, profile: Path) -> None:
        program = tool(*BROWSERS, how="install Debian's chromium, or leave them out: -m 'not browser'")
        theirs_in, self._to = (_out_of_the_way(end) for end in os.pipe())
        ours, theirs_out = (_out_of_the_way(end) for end in os.pipe())

        def put_where_the_browser_looks() -> None:
            os.dup2(theirs_in, 3)
            os.dup2(theirs_out, 4)

        self._process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "--window-size=1400,2400", "about:blank"],
            preexec_fn=put_where_the_browser_looks,  # noqa: PLW1509 - no thread here holds a lock
            close_fds=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._read = os.fdopen(ours, "rb", buffering=0)
        self._buffer = b""
        self._numbers = itertools.count(1)
        self._session: str | None = None
        self.requested: list[str] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: object) -> dict:
        """Send a command and return its result."""
        message = {"id": next(self._numbers), "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        for answer in iter(self._receive, None):
            if answer.get("id") == message["id"]:
                assert "error" not in answer, answer
                return answer["result"]
        raise AssertionError(f"the browser closed the pipe while it was asked to {method}")

    def _receive(self) -> dict | None:
        while b"\0" not in self._buffer:
            data = self._read.read(1 << 20)
            if not data:
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(line)
        if message.get("method") == "Network.requestWillBeSent":
            self.requested.append(message["params"]["request"]["url"])
        return message

    def open(self, url: str) -> None:
        """Go to an address; a page that is there already is loaded anew."""
        self.send("Page.navigate", url="about:blank")
        self.send("Page.navigate", url=url)

    def evaluate(self, expression: str) -> object:
        """Return the value of a JavaScript expression, awaited if it is a promise."""
        answer = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )  # fmt: skip
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    @property
    def text(self) -> str:
        """What a reader sees."""
        return str(self.evaluate("document.body ? document.body.innerText : ''"))

    def wait_for(self, expression: str) -> object:
        """Wait until a JavaScript expression is truthy, and return it."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if value := self.evaluate(expression):
                return value
            time.sleep(0.1)
        raise AssertionError(f"not on the page after {PATIENCE_S} s: {expression}\n{self.text[:3000]}")

    def wait_for_text(self, text: str) -> None:
        """Wait until a reader sees this text."""
        self.wait_for(f"document.body && document.body.innerText.includes({json.dumps(text)})")

    def click(self, selector: str, text: str = "") -> None:
        """Click the first element that matches the selector and holds the text."""
        self.wait_for(f"""(() => {{
            const found = [...document.querySelectorAll({json.dumps(selector)})]
                .find(one => one.textContent.includes({json.dumps(text)}));
            if (found) found.click();
            return Boolean(found);
        }})()""")

    def screenshot(self) -> bytes:
        """Return what is seen as PNG."""
        return base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])

    def close(self) -> None:
        """End the browser."""
        os.close(self._to)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._read.close()


def _out_of_the_way(end: int) -> int:
    """Move a pipe's end off 3 and 4, which the browser reads and writes."""
    moved = fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(end)
    return moved


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    page = Page(tmp_path_factory.mktemp("profile"))
    yield page
    page.close()


# -- an audit with every kind of finding, and every file that it writes

COPIED = "copied zanzibar lighthouse at dusk"
HOSTILE = 'copied <img src=x onerror="document.title=1"> & $(touch x) quokka'
NEAR = "near miss of a narwhal façade"
CLEAN = tuple(f"clean pangolin street number {number}" for number in range(57))
CAPTIONS = (COPIED, HOSTILE, NEAR, *CLEAN)
SIDE = 96

GENERATOR = '''
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from memex_audit.records import Generation

FILES = json.loads(Path("images.json").read_text())


class Copier:
    """Gives "copied" captions their picture back, "near" ones the first time, and noise for any other."""

    fingerprint = "f" * 64
    settings = {"kind": "copier"}
    seeded = True
    shareable = True
    evaluations_per_image = 20

    def __init__(self):
        self.nears = set()

    def generate(self, requests):
        for request in requests:
            random = np.random.default_rng(request.seed)
            once = request.prompt.startswith("near") and request.prompt not in self.nears
            self.nears.add(request.prompt)
            if once or request.prompt.startswith("copied"):
                picture = np.asarray(Image.open(FILES[request.prompt]).convert("RGB")).astype(int)
                picture = np.clip(picture + random.integers(-3, 4, picture.shape), 0, 255)
            else:
                picture = random.integers(0, 256, (96, 96, 3))
            yield Generation(request=request, pixels=picture.astype(np.uint8))


@pytest.fixture(scope="session")
def memex_generator():
    return Copier()
'''


class Project:
    """A folder with a training set, the shipped suite, and a generator that is known to give some back.

    The pictures are contact sheets of nine of the specimen's: recognisable, and full of detail.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "audits").mkdir(parents=True)
        (path / "images").mkdir()
        (path / "conftest.py").write_text(GENERATOR)
        for name in ("test_duplicated_prompts.py", "test_replica_rates.py"):
            shutil.copy(ROOT / "audits" / name, path / "audits" / name)
        self._icons = list(_icons())
        self._random = random.Random(0)
        self._files: dict[str, str] = {}
        self.add(*CAPTIONS)

    def add(self, *captions: str) -> None:
        """Put a picture of its own into the training set for each caption, named by it."""
        for caption in captions:
            picture = Image.new("RGB", (SIDE, SIDE))
            for number, icon in enumerate(self._random.sample(self._icons, 9)):
                picture.paste(icon.resize((32, 32)), (number % 3 * 32, number // 3 * 32))
            name = f"images/{prompt_slug(caption)}.png"
            picture.save(self.path / name)
            (self.path / name).with_suffix(".txt").write_text(caption)
            self._files[caption] = name
        (self.path / "images.json").write_text(json.dumps(self._files))

    def audit(self, outputs: str, *arguments: str, **environment: str) -> Path:
        """Run the audit, all that it writes into one folder; return the folder."""
        folder = self.path / outputs
        folder.mkdir()
        (folder / "summary.md").touch()
        command = [
            sys.executable, "-m", "pytest", "audits", "-q", "-p", "no:cacheprovider", "--rootdir", ".",
            "--memex-model", "none", "--memex-training-set", "images", "--memex-embedder", "specimen",
            "--alluredir", f"{outputs}/allure-results", "--junitxml", f"{outputs}/junit.xml",
            "--memex-json", f"{outputs}/result.json", "--memex-report", f"{outputs}/report.md", *arguments,
        ]  # fmt: skip
        summary = {"GITHUB_STEP_SUMMARY": str(folder / "summary.md")}
        run = subprocess.run(
            command, cwd=self.path, env=os.environ | summary | environment, capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip
        (folder / "terminal.txt").write_text(run.stdout + run.stderr)
        assert run.returncode == 1, run.stdout + run.stderr
        return folder


def _icons():
    table = pyarrow.parquet.read_table(TRAINING_SET, columns=["image", "text"])
    last = None
    for row in table.to_pylist():
        if row["text"] != last:
            yield Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")
        last = row["text"]


@pytest.fixture(scope="session")
def build_report():
    """Build a report in a folder with npm's `allure`; return the page."""
    allure = tool(
        "allure", how="npm install --prefix FOLDER allure, and put FOLDER/node_modules/.bin on PATH"
    )

    def build(folder: Path, *arguments: str) -> Path:
        run = subprocess.run(
            [allure, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False
        )
        assert run.returncode == 0, run.stdout + run.stderr
        (page,) = folder.glob("**/index.html")
        return page

    return build


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    return Project(tmp_path_factory.mktemp("project") / "audited")
