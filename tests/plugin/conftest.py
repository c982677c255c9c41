"""A small project that audits a generator of its own: what it gives back is known, and it draws at once."""

import shutil
from pathlib import Path

# In-process runs forget what they import: loaded here, heavy libraries are loaded once for all of them.
import faiss  # noqa: F401
import numpy as np
import open_clip  # noqa: F401
import pyarrow.parquet  # noqa: F401
import pytest
import rich.progress  # noqa: F401
import scipy.stats  # noqa: F401
import torch  # noqa: F401
from PIL import Image

AUDITS = Path(__file__).parents[2] / "audits"

CONFTEST = '''
import os
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from memex_audit.records import Generation


class Copier:
    """Gives back the training image of captions that start with "copied", and noise for any other."""

    fingerprint = "f" * 64
    settings = {"kind": "copier"}
    seeded = True
    shareable = not Path("exclusive").exists()
    evaluations_per_image = 2

    def generate(self, requests):
        with Path("drawn.log").open("a") as log:
            for request in requests:
                log.write(f"{request.prompt}\\t{request.seed}\\n")
        with Path("workers.log").open("a") as log:
            for request in requests:
                log.write(f"{request.prompt}\\t{os.getpid()}\\n")
        for request in requests:
            random = np.random.default_rng(request.seed)
            name = request.prompt.replace(" ", "-") + ".png"
            if request.prompt.startswith("broken"):
                raise RuntimeError("the device is gone")
            if request.prompt.startswith("black"):
                yield Generation(request=request, pixels=None, reason="blank")
                continue
            if request.prompt.startswith("copied") and Path("images", name).exists():
                pixels = np.asarray(Image.open(Path("images", name)).convert("RGB")).astype(int)
                pixels = np.clip(pixels + random.integers(-3, 4, pixels.shape), 0, 255).astype(np.uint8)
            else:
                pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            yield Generation(request=request, pixels=pixels)


@pytest.fixture(scope="session")
def memex_generator():
    return Copier()
'''

# A handful of captions stands for a set of thousands: as a fine-tune it would be judged by its images.
MANY_CAPTIONS = """

patch = pytest.MonkeyPatch()


def pytest_configure():
    # Not by its dotted name: that would find a module of an earlier run in this process.
    patch.setattr(import_module("memex_audit.rates.images_extracted"), "FEW_CAPTIONS", 0)


def pytest_unconfigure():
    patch.undo()
"""


def picture(caption: str) -> Image.Image:
    """Return a picture that is a function of its caption: a smooth random field."""
    seed = int.from_bytes(caption.encode()[-8:], "big")
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC)


class Project:
    """A folder with audits/, images/ with captions, and a generator in its conftest.py."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path = pytester.path
        pytester.makeconftest(CONFTEST + MANY_CAPTIONS)
        (self.path / "audits").mkdir()
        for name in ("test_duplicated_prompts.py", "test_replica_rates.py"):
            shutil.copy(AUDITS / name, self.path / "audits" / name)

    def take_for_a_fine_tune(self) -> None:
        """Judge the handful of captions as what they are."""
        self.pytester.makeconftest(CONFTEST)

    def take_the_model_that_is_named(self) -> None:
        """Have no generator of its own: the model is what --memex-model says."""
        self.pytester.makeconftest("from importlib import import_module\n\nimport pytest\n" + MANY_CAPTIONS)

    def write_module(self, name: str) -> None:
        """Write a module that has the generator as a class, Copier."""
        (self.path / f"{name}.py").write_text(CONFTEST)

    def captions(self, *captions: str) -> None:
        """Put one picture with its caption into images/ for each."""
        folder = self.path / "images"
        folder.mkdir(exist_ok=True)
        for caption in captions:
            stem = caption.replace(" ", "-")
            picture(caption).save(folder / f"{stem}.png")
            (folder / f"{stem}.txt").write_text(caption)

    def prompts(self, *captions: str) -> None:
        """Write prompts.csv."""
        (self.path / "prompts.csv").write_text("prompt\n" + "".join(f"{caption}\n" for caption in captions))

    def audit(self, *arguments: str) -> pytest.RunResult:
        """Run pytest on audits/, or on what the arguments name; with xdist in processes of its own."""
        named = [a for a in arguments if a.startswith("audits")] or ["audits"]
        others = [a for a in arguments if not a.startswith("audits")]
        workers = {"-n1", "-n2"} & set(arguments)
        run = self.pytester.runpytest_subprocess if workers else self.pytester.runpytest_inprocess
        return run(*named, "-W", "default", "--memex-model", "none", "--memex-json", "result.json", *others)

    @property
    def drawn(self) -> list[str]:
        """Every picture drawn so far, as `prompt<TAB>seed`."""
        log = self.path / "drawn.log"
        return log.read_text().splitlines() if log.exists() else []

    @property
    def drawn_by(self) -> dict[str, set[str]]:
        """The processes that drew pictures, by prompt."""
        drawn: dict[str, set[str]] = {}
        for line in (self.path / "workers.log").read_text().splitlines():
            prompt, process = line.split("\t")
            drawn.setdefault(prompt, set()).add(process)
        return drawn


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    return Project(pytester)
