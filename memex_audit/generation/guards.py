"""Set aside what is no picture, before it can look like a replica of another one that is none, and refuse
what a generator must not answer."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from memex_audit.errors import ConfigurationError, GeneratorError
from memex_audit.generation.fingerprints import settings_digest
from memex_audit.protocols import Generator
from memex_audit.records import Generation, GenerationRequest

# Distances are taken on a 4 x 4 grid of tiles.
SMALLEST_SIDE = 4
PORT = ("fingerprint", "settings", "seeded", "shareable", "evaluations_per_image", "generate")
# A safety checker's black picture has deviation 0; one level of noise on a flat colour about 0.3.
FLAT_DEVIATION = 1.0


def to_bytes(pixels: NDArray[np.floating]) -> tuple[NDArray[np.uint8] | None, str | None]:
    """Turn float pixels in [0, 1] into uint8, or give the reason why they are no picture.

    NaN and infinity are looked for first: turned into bytes they would be black.
    """
    if not np.isfinite(pixels).all():
        return None, "not finite"
    image = np.clip(np.round(pixels * 255), 0, 255).astype(np.uint8)
    reason = flat_reason(image)
    return (None, reason) if reason else (image, None)


def flat_reason(image: NDArray[np.uint8]) -> str | None:
    """Return why this uint8 (h, w, 3) image is set aside as blank, or None.

    Blank generations (a safety checker's, an overflow's) agree with each other in every pixel, and would
    form a clique.
    """
    if image.ndim != 3 or image.shape[2] != 3:
        return f"shape {image.shape}"
    if float(image.reshape(-1, 3).std(axis=0).max()) < FLAT_DEVIATION:
        return "blank"
    return None


def check_generator(generator: Generator) -> Generator:
    """Return the generator if it offers what protocols.Generator does.

    Raises:
        GeneratorError: something is missing, or cannot identify what is drawn.
    """
    name = type(generator).__name__
    missing = [attribute for attribute in PORT if not hasattr(generator, attribute)]
    if missing:
        raise GeneratorError(
            f"a generator must offer {', '.join(PORT)}, got {name} without {', '.join(missing)}; "
            "see memex_audit.protocols.Generator."
        )
    if not isinstance(generator.fingerprint, str) or not generator.fingerprint:
        raise GeneratorError(
            f"a generator's fingerprint must be a text that identifies its weights, got "
            f"{generator.fingerprint!r} of {name}; a digest of the weights will do."
        )
    try:
        settings_digest(dict(generator.settings))
    except (TypeError, ValueError) as error:
        raise GeneratorError(
            f"a generator's settings must be a mapping of names to numbers, texts and lists, got of {name}: "
            f"{error}; write them as plain values."
        ) from error
    return generator


def check_draws_again(generator: Generator, keep: str) -> None:
    """Refuse to drop pixels that could not be had again, or only for money.

    Raises:
        ConfigurationError: the generator gives other pictures for the same seeds, or each is paid for.
    """
    name = type(generator).__name__
    why = None
    if getattr(generator, "keeps_every_batch", False):
        why = f"{name}, whose pictures are paid for: what is not kept would be paid for again"
    elif not generator.seeded:
        why = f"{name}, which says seeded = False: what is not kept could not be drawn again"
    if why:
        raise ConfigurationError(
            "--memex-keep evidence or none must have a generator that draws a picture again from its seed, "
            f"got --memex-keep {keep} with {why}; keep all (--memex-keep all)."
        )


def check_answers(
    name: str, requested: Sequence[GenerationRequest], given: Sequence[object], *, whole: bool
) -> Iterator[Generation]:
    """Yield a generator's answers to a batch, blank ones without their pixels.

    Args:
        name: of the generator, for messages.
        requested: the batch.
        given: its answers.
        whole: False where it broke off, and the last answers are missing.

    Raises:
        GeneratorError: another number or order of answers, before any is yielded; or an answer that is
            no picture, after those before it.
    """
    if len(given) > len(requested) or (whole and len(given) < len(requested)):
        raise GeneratorError(
            f"the generator {name} must answer every request in order, got {len(given)} answers to "
            f"{len(requested)} requests; yield one Generation a request."
        )
    for number, (request, answer) in enumerate(zip(requested, given, strict=False), start=1):
        if not isinstance(answer, Generation):
            raise GeneratorError(
                f"the generator {name} must yield Generations, got {type(answer).__name__} for request "
                f"{number} of {len(requested)}; yield Generation(request=request, pixels=pixels)."
            )
        if answer.request != request:
            raise GeneratorError(
                f"the generator {name} must answer every request in order, got another request back for "
                f"request {number} of {len(requested)}; yield each Generation with the request it answers."
            )
    for generation in given:
        assert isinstance(generation, Generation)
        yield _checked(name, generation)


def _checked(name: str, generation: Generation) -> Generation:
    pixels: object = generation.pixels
    if pixels is None:
        # Only what was drawn here is reduced, after it was looked at.
        return replace(generation, reason=generation.reason or "no pixels", sums=None, size=None)
    if fault := picture_fault(pixels):
        raise GeneratorError(
            f"the generator {name} must give pixels as a uint8 array of shape (height, width, 3), sides of "
            f"{SMALLEST_SIDE} or more, got {fault}; convert them (np.round(255 * x) where x is in [0, 1])."
        )
    assert isinstance(pixels, np.ndarray)
    reason = flat_reason(pixels)
    return replace(generation, pixels=None, reason=reason) if reason else generation


def picture_fault(pixels: object) -> str | None:
    """Return what these pixels are, where they are not uint8 (h, w, 3) of a size that can be compared."""
    if not isinstance(pixels, np.ndarray):
        return f"a {type(pixels).__name__}"
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        return f"{pixels.dtype} of shape {pixels.shape}"
    if min(pixels.shape[:2]) < SMALLEST_SIDE:
        return f"{pixels.dtype} of shape {pixels.shape}"
    return None
