"""How far pictures of the same request differ between batches: a table of docs/models.md.

`python docs/scripts/batch_tolerance.py` draws four pictures of every family's tiny model at once, in the
other order, two at once and alone, and writes the largest differences into the page between its marks.
"""

import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from memex_audit.records import GenerationRequest
from memex_audit.specimen.measure import write_between

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memex_audit.generation.diffusers_pipeline import DiffusersGenerator

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "models.md"
BEGIN, END = "<!-- batch_tolerance.py: begin -->", "<!-- batch_tolerance.py: end -->"
HEAD = "| family | in the other order | two at once | alone |\n| --- | --- | --- | --- |"


def differences(generator: "DiffusersGenerator", prompts: Sequence[str]) -> tuple[int, int, int]:
    """Return the largest differences, in levels of 255, from four pictures that are drawn at once."""
    requests = [GenerationRequest(prompt=prompts[i % 2], seed=2**40 + i) for i in range(4)]
    together = _pixels(generator, requests)
    backwards = _pixels(generator, requests[::-1])[::-1]
    pairs = np.concatenate([_pixels(generator, requests[first : first + 2]) for first in (0, 2)])
    alone = np.concatenate([_pixels(generator, [request]) for request in requests])
    first, second, third = (int(np.abs(together - other).max()) for other in (backwards, pairs, alone))
    return first, second, third


def _pixels(generator: "DiffusersGenerator", requests: Sequence[GenerationRequest]) -> "NDArray[np.int64]":
    drawn = [generation.pixels for generation in generator.generate(requests)]
    return np.stack([pixels for pixels in drawn if pixels is not None]).astype(np.int64)


def main() -> None:
    """Measure every family, and write the page."""
    sys.path.insert(0, str(ROOT / "tests" / "adapters"))
    from families.builders import EVERY_FAMILY
    from families.examination import generator_of, prompts_of

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    rows = []
    for family, build in EVERY_FAMILY.items():
        with tempfile.TemporaryDirectory() as folder:
            generator = generator_of(build(Path(folder) / "model"))
            found = differences(generator, prompts_of(family, generator))
        rows.append("| " + " | ".join(map(str, (family, *found))) + " |")
    said = f"Levels of 255, float32 on a CPU, torch {torch.__version__}, one thread."
    write_between(PAGE, BEGIN, "\n".join([said, "", HEAD, *rows]), END)


if __name__ == "__main__":
    main()
