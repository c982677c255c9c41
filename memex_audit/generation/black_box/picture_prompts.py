"""Find the prompt of a generation in the picture itself: what the program that drew it wrote down."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

# Midjourney: the user, the first words of the prompt, the job, and which of its pictures.
JOB_NAME = re.compile(
    r"(?P<user>[^_]+)_(?P<words>.+)_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?:_\d+)?", re.IGNORECASE
)
# Midjourney's Description: the prompt, --parameters, and the job.
JOB_ID = re.compile(r"\s*Job ID:\s*\S+\s*$")
PARAMETERS = re.compile(r"\s+--[a-z][a-z0-9]*\b.*$", re.DOTALL)
# AUTOMATIC1111: the prompt, a line of what it must not show, a line of settings.
NEGATIVE_LINE = "Negative prompt:"
SETTINGS_LINE = re.compile(r"Steps: \d+(?:, |$)")
SEED = re.compile(r"\bSeed: (\d+)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class PicturePrompt:
    """What a picture was drawn from; `seed` is None where nothing says it for this picture alone."""

    text: str
    seed: int | None = None


def find_prompt(path: Path) -> PicturePrompt | None:
    """Return the prompt of a picture by its text chunks (parameters, Description, prompt), or its name.

    Raises:
        ValueError: the file is no picture, or holds a prompt in a form that is not read here.
    """
    return _of_texts(_text_chunks(path)) or of_file_name(path.stem)


def of_file_name(stem: str) -> PicturePrompt | None:
    """Return the words that Midjourney puts into a name: the beginning of the prompt, without its marks.

    >>> of_file_name("someone_a_lighthouse_in_fog_--ar_21_--v_6_0a1b2c3d-0000-4000-8000-0123456789ab_2").text
    'a lighthouse in fog'
    """
    found = JOB_NAME.fullmatch(stem)
    words = " ".join(found["words"].replace("_", " ").split()) if found else ""
    text = PARAMETERS.sub("", f" {words}").strip()
    return PicturePrompt(text=text) if text else None


def of_description(text: str) -> PicturePrompt:
    """Return the prompt of Midjourney's Description, without its parameters.

    Its `--seed` is that of four pictures, and so of none.

    >>> of_description("a lighthouse in fog --ar 16:9 --v 6 Job ID: 0a1b2c3d").text
    'a lighthouse in fog'
    """
    return PicturePrompt(text=PARAMETERS.sub("", JOB_ID.sub("", text)).strip())


def of_parameters(text: str) -> PicturePrompt:
    r"""Return prompt and seed of AUTOMATIC1111's parameters.

    >>> of_parameters("a lighthouse\nNegative prompt: fog\nSteps: 20, Sampler: Euler a, Seed: 42, Size: 8x8")
    PicturePrompt(text='a lighthouse', seed=42)
    """
    prompt, seed = [], None
    for line in text.splitlines():
        if SETTINGS_LINE.match(line):
            found = SEED.search(line)
            seed = int(found[1]) if found else None
            break
        prompt.append(line)
    whole, _, _ = "\n".join(prompt).partition(NEGATIVE_LINE)
    return PicturePrompt(text=whole.strip(), seed=seed)


def _text_chunks(path: Path) -> Mapping[str, str]:
    try:
        with Image.open(path) as image:
            return {str(key): value for key, value in image.info.items() if isinstance(value, str)}
    except Exception as error:  # fed with broken bytes a decoder raises what it likes
        raise ValueError("no picture: its header cannot be read") from error


def _of_texts(texts: Mapping[str, str]) -> PicturePrompt | None:
    if found := texts.get("parameters", "").strip():
        return of_parameters(found)
    if found := texts.get("Description", "").strip():
        return of_description(found)
    found = texts.get("prompt", "").strip()
    if found.startswith("{"):
        raise ValueError("its prompt is a graph of ComfyUI: name its prompt in a manifest")
    return PicturePrompt(text=found) if found else None
