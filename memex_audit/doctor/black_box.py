"""Look at a model that can only be asked, without asking it anything."""

import os

from memex_audit.black_boxes import ENDPOINT, FOLDER, OBJECT, check_options, folder_of
from memex_audit.config import Settings
from memex_audit.doctor.checks import Check, ok, warning
from memex_audit.doctor.plan import pictures_of_a_prompt
from memex_audit.generation.black_box.endpoint import parse_endpoint
from memex_audit.generation.black_box.recorded_pictures import RecordedPictures, read_recorded
from memex_audit.thresholds import planned_test

# What audits/test_controls.py asks for: sixty prompts, a first look each.
NEGATIVE_CONTROL = 60


def find_recorded(settings: Settings) -> RecordedPictures | None:
    """Return what a folder of generations holds; None for any other model.

    Raises:
        ModelError: it holds no pictures with their prompts.
    """
    return read_recorded(folder_of(settings.model)) if settings.model.startswith(FOLDER) else None


def check_black_box(settings: Settings, recorded: RecordedPictures | None) -> Check:
    """Say what is asked.

    Raises:
        ConfigurationError: it is written otherwise than it must be, or an option does not go with it.
    """
    check_options(settings)
    if recorded is not None:
        return _check_recorded(settings, recorded)
    if settings.model.startswith(ENDPOINT):
        return _check_endpoint(settings)
    module = settings.model.removeprefix(OBJECT)
    return ok("model", f"{module}, imported when the audit starts; `memex doctor --try` does it now")


def _check_recorded(settings: Settings, recorded: RecordedPictures) -> Check:
    counts = [len(pictures) for pictures in recorded.by_prompt.values()]
    each = f"{min(counts)} to {max(counts)}" if min(counts) < max(counts) else f"{counts[0]}"
    said = f"{settings.model}: {recorded.n_pictures:,} pictures of {len(counts):,} prompts, {each} each"
    if recorded.set_aside:
        said += f"; {len(recorded.set_aside):,} more set aside, the first: {recorded.set_aside[0].reason}"
    first = planned_test(settings).looks[0]
    few = sum(count < first for count in counts)
    if few:
        advice = f"record {first} of each; --memex-generations N looks at N once"
        return warning("model", f"{said}; {few:,} prompts have fewer than a look takes: undecided", advice)
    return ok("model", said)


def _check_endpoint(settings: Settings) -> Check:
    endpoint = parse_endpoint(settings.model.removeprefix(ENDPOINT), size=settings.size)
    said = f"{endpoint.model} at {endpoint.host}, {'with' if endpoint.seeded else 'without'} seeds"
    if os.environ.get(settings.api_key_env):
        return ok("model", f"{said}; the key is in {settings.api_key_env}")
    said += f"; no key in {settings.api_key_env}"
    if endpoint.is_local:
        return ok("model", said)
    return warning(
        "model", said, f"export {settings.api_key_env}=..., or name another with --memex-api-key-env"
    )


def check_asking(settings: Settings, pictures: tuple[int, int], *, calibrated: bool) -> Check:
    """Say how many pictures an endpoint is asked for, and whether the cap covers them."""
    least, most = pictures
    said = f"{least:,} to {most:,} pictures are asked for" if least < most else f"{least:,} are asked for"
    more = 0 if calibrated else NEGATIVE_CONTROL * pictures_of_a_prompt(settings)[0]
    if more:
        said += f", and {more:,} for the negative control in audits/test_controls.py"
    said += ", less what the store holds; a second attempt counts again"
    if settings.max_images is None:
        advice = "--memex-max-images N says how many may be asked for"
        return warning("to ask", said, advice)
    if settings.max_images < least + more:
        advice = "give more, or fewer --memex-max-prompts: what is not decided is UNDECIDED, and not clean"
        return warning("to ask", f"{said}; --memex-max-images {settings.max_images:,} ends before", advice)
    return ok("to ask", f"{said}; at most {settings.max_images:,}")
