"""The tables of docs/models.md, from what was seen of every family's tiny model.

`python docs/scripts/models_page.py` builds the models, tries them and writes the page between its marks; the
tests of the families do the same and fail where the page is stale.
"""

import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import diffusers
import peft
import transformers

from memex_audit.specimen.measure import write_between

if TYPE_CHECKING:
    from families.examination import Result

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "models.md"
BEGIN, END = "<!-- models_page.py: begin -->", "<!-- models_page.py: end -->"
NOTES = (
    "LoRA: one that was made for the test was put on top and changed the pictures; else diffusers has no",
    "loader of LoRAs for this pipeline. Image-to-image: diffusers has a pipeline that starts from a picture",
    "by the same parts; no audit needs it.",
)
ASKED_BY = {"prompt": "prompt", "class": "class label", "number": "no prompt"}


def tables(results: Sequence["Result"], refused: dict[str, str]) -> str:
    """Return the tables: what works on each family, the reasons where it does not, what does not load.

    Args:
        results: of all families.
        refused: what is said of a family that diffusers saves and that cannot be audited, by its name.
    """
    reasons = _numbered(_reason(why) for result in results for why in result.screens.values() if why)
    tokens = [result.pipeline for result in results if result.takes_tokens]
    files = [result.pipeline for result in results if result.reads_one_file]
    head = ("family", "pipeline", "asked by", "picture", *_screens(results), "LoRA", "image-to-image")
    lines = [
        _versions(),
        "",
        *_table(head, [_row(result, reasons) for result in results]),
        "",
        "A number is the reason why a screen is refused:",
        "",
        *(f"{number}. {reason}" for reason, number in reasons.items()),
        "",
        *NOTES,
        "",
        "Tokens learned by [textual inversion](how-to/lora.md#textual-inversion) go into",
        f"{_pipelines(tokens)}: tried on",
        "Stable Diffusion 1 and XL. [One file](how-to/lora.md#a-checkpoint-in-one-file) is read of",
        f"{_pipelines(files)}: tried on Stable Diffusion 1.",
        "",
        "diffusers saves these too, and they are refused:",
        "",
        *_table(("family", "what is said"), list(refused.items())),
    ]
    return "\n".join(lines)


def _versions() -> str:
    packages = (diffusers, transformers, peft)
    return f"Tried with {', '.join(f'{package.__name__} {package.__version__}' for package in packages)}."


def _pipelines(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in dict.fromkeys(names))


def _screens(results: Sequence["Result"]) -> tuple[str, ...]:
    return tuple(results[0].screens)


def _row(result: "Result", reasons: dict[str, int]) -> tuple[str, ...]:
    (picture,) = result.pictures
    drawn = "set aside: " + str(picture.reason) if picture.pixels is None else "drawn"
    screens = ("yes" if why is None else f"no ({reasons[_reason(why)]})" for why in result.screens.values())
    more = ("yes" if works else "no" for works in (result.lora is None, result.image_to_image))
    return result.family, f"`{result.pipeline}`", ASKED_BY[result.asked_by], drawn, *screens, *more


def _reason(message: str) -> str:
    """Return of a message what does not depend on the numbers of a tiny model."""
    said = re.sub(r"\b(KarrasVe|CMStochasticIterative)Scheduler\b", "its scheduler", message)
    said = re.sub(r"\b\w+(Pipeline|Cascade)\b", "the pipeline", said)
    if found := re.search(r"has none: (.*)\. It does not exist", said):
        return found[1]
    return re.split(r", got |, on \d|; audit", said)[0]


def _numbered(texts: Iterable[str]) -> dict[str, int]:
    return {text: number for number, text in enumerate(dict.fromkeys(texts), start=1)}


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rows)]


def main() -> None:
    """Build and try every family, and write the page."""
    sys.path.insert(0, str(ROOT / "tests" / "adapters"))
    from families.builders import EVERY_FAMILY, REFUSED
    from families.examination import examine, what_is_said

    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder)
        results = [
            examine(name, build(models / str(number)))
            for number, (name, build) in enumerate(EVERY_FAMILY.items())
        ]
        refused = {name: what_is_said(build(models / name)) for name, (build, _) in REFUSED.items()}
    write_between(PAGE, BEGIN, tables(results, refused), END)


if __name__ == "__main__":
    main()
