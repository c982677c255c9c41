"""Which models can only be asked: a --memex-model with one of these prefixes is no folder of weights.

folder:PATH                             generations that were made before
openai+https://HOST/v1?model=NAME       an HTTP endpoint of the images API
python:MODULE:FACTORY                   an object of the user's own
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from memex_audit.config import API_KEY_ENV, Settings
from memex_audit.errors import ConfigurationError
from memex_audit.generation.black_box.endpoint import PREFIX
from memex_audit.protocols import Generator
from memex_audit.records import Frame, PromptSet

if TYPE_CHECKING:
    from memex_audit.generation.black_box.folder_of_images import FolderOfImages
    from memex_audit.generation.black_box.images_api import ImagesApi
    from memex_audit.generation.black_box.recorded_pictures import RecordedPictures

FOLDER = "folder:"
ENDPOINT = PREFIX
OBJECT = "python:"

# Options of a sampler that is not here: a picture of a black box would be the same with any value.
OF_A_SAMPLER = ("steps", "guidance", "size", "negative_prompt", "scheduler", "lora")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a model that is asked may need beside its name.

    `api_key`: gives the value of the key's variable, None where it is not set; `note`: hears what the user
    should know of the model.
    """

    rootdir: Path
    store_folder: Callable[[], Path]
    api_key: Callable[[], str | None]
    note: Callable[[str], None]


def is_black_box(model: str) -> bool:
    """Whether a --memex-model names something that can only be asked.

    >>> is_black_box("folder:exports"), is_black_box("my-model"), is_black_box("specimen:duplicated")
    (True, False, False)
    """
    return model.startswith(tuple(_OPENERS))


def open_black_box(settings: Settings, around: Surroundings) -> Generator:
    """Return the generator that a --memex-model with a prefix names.

    Raises:
        ConfigurationError: it is written otherwise than it must be, or an option does not go with it.
        ModelError: a folder holds no pictures with their prompts.
        GeneratorError: a user's own code raises.
    """
    check_options(settings)
    prefix = next(prefix for prefix in _OPENERS if settings.model.startswith(prefix))
    return _OPENERS[prefix](settings, around)


def check_options(settings: Settings) -> None:
    """Refuse options that a model which is asked cannot heed, and those that only an endpoint heeds.

    Raises:
        ConfigurationError: the message names the option.
    """
    model = settings.model
    if settings.max_images is not None and not model.startswith(ENDPOINT):
        raise ConfigurationError(
            "--memex-max-images must be of a model that is asked over HTTP "
            f"(openai+https://HOST/v1?model=NAME), got {model}; --memex-budget says what may be drawn here."
        )
    if not is_black_box(model):
        return
    given = [name for name in OF_A_SAMPLER if getattr(settings, name, None) is not None]
    given = [name for name in given if not (name == "size" and model.startswith(ENDPOINT))]
    if given:
        flag = f"--memex-{given[0].replace('_', '-')}"
        raise ConfigurationError(
            f"{flag} must be of a model that is drawn with here, got {model}, which is "
            "only asked; leave it out."
        )
    if settings.budget and settings.budget.evaluations is not None and not model.startswith(OBJECT):
        instead = "--memex-max-images N or minutes" if model.startswith(ENDPOINT) else "minutes"
        raise ConfigurationError(
            f"--memex-budget must be in minutes for a model that is only asked, got network evaluations, of "
            f"which {model} does not say how many a picture takes; give {instead}."
        )


def folder_of(model: str) -> Path:
    """Return the folder of generations, or the manifest, that a --memex-model names."""
    return Path.cwd() / Path(model.removeprefix(FOLDER)).expanduser()


def recorded_prompts(recorded: "RecordedPictures") -> PromptSet:
    """Return the prompts of a folder of generations, those with most pictures first."""
    from memex_audit.training_set.prompt_files import listed_prompt

    return PromptSet(
        prompts=tuple(map(listed_prompt, recorded.prompts)),
        frame=Frame(description=f"prompts like those of {recorded.location.name}", size=None),
        set_aside=recorded.set_aside,
    )


def _open_folder(settings: Settings, around: Surroundings) -> "FolderOfImages":
    from memex_audit.generation.black_box.folder_of_images import FolderOfImages
    from memex_audit.generation.black_box.recorded_pictures import read_recorded

    folder = FolderOfImages(
        read_recorded(folder_of(settings.model)),
        root_seed=settings.seed,
        cache=around.store_folder() / "fingerprints.json",
        max_pixels=settings.max_pixels,
    )
    if settings.prompts and (aside := folder.recorded.set_aside):
        around.note(
            f"{len(aside):,} files or lines of the folder of generations were set aside; the first: "
            f"{aside[0].reason}"
        )
    return folder


def _open_endpoint(settings: Settings, around: Surroundings) -> "ImagesApi":
    from memex_audit.generation.black_box.api_key import ApiKey
    from memex_audit.generation.black_box.asked_pictures import AskedPictures
    from memex_audit.generation.black_box.asking import Asking
    from memex_audit.generation.black_box.endpoint import parse_endpoint
    from memex_audit.generation.black_box.images_api import ImagesApi
    from memex_audit.generation.fingerprints import model_key

    endpoint = parse_endpoint(settings.model.removeprefix(ENDPOINT), size=settings.size)
    asked = AskedPictures(
        around.store_folder() / "asked" / f"{model_key(endpoint.fingerprint)}.json",
        most=settings.max_images,
        requests_per_minute=settings.requests_per_minute,
    )
    key = ApiKey(around.api_key(), name=settings.api_key_env)
    if not key.is_set and settings.api_key_env != API_KEY_ENV:
        raise ConfigurationError(
            f"--memex-api-key-env must name a variable that is set, got {settings.api_key_env}, which is "
            "not; export it, or leave the option out where the endpoint takes no key."
        )
    if settings.max_images is not None:
        around.note(
            f"{endpoint.host} is asked for at most {settings.max_images:,} pictures, in all runs with this "
            "store (--memex-max-images)"
        )
    return ImagesApi(
        endpoint,
        Asking(endpoint, key, asked),
        max_pixels=settings.max_pixels,
        note=around.note,
    )


def _make_object(settings: Settings, around: Surroundings) -> Generator:
    from memex_audit.generation.black_box.user_object import make_generator

    return make_generator(settings.model.removeprefix(OBJECT), around.rootdir)


_OPENERS: dict[str, Callable[[Settings, Surroundings], Generator]] = {
    FOLDER: _open_folder,
    ENDPOINT: _open_endpoint,
    OBJECT: _make_object,
}
