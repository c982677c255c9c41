"""Look ahead: thresholds, and how much is drawn."""

import time
from dataclasses import replace
from pathlib import Path

from memex_audit.batch_size import BatchSize
from memex_audit.config import Settings
from memex_audit.doctor.checks import Check, missing, ok, warning
from memex_audit.doctor.model import Drawing
from memex_audit.extraction.block_sums import n_blocks
from memex_audit.extraction.protocol import outcomes
from memex_audit.generation.drawing_requests import draw_requests
from memex_audit.generation.fingerprints import model_key
from memex_audit.project import shown
from memex_audit.rates.images_extracted import generations_for, has_few_captions
from memex_audit.records import Calibration, GenerationRequest, PromptSet
from memex_audit.thresholds import planned_test
from memex_audit.workbench import CALIBRATION_FILE, Workbench

LONG_S = 12 * 3600
QUICK_S = 10.0
BYTES_A_PIXEL = 3
BYTES_A_BLOCK = 6


def check_calibration(bench: Workbench, folder: Path) -> Check:
    """Look for a calibration of this model and protocol; its sampler settings are compared by the audit.

    Raises:
        CalibrationError: one that was named, or lies where an audit looks, cannot be read.
    """
    from memex_audit.extraction.calibration_file import read_calibration

    cache = bench.store_path / "fingerprints.json"
    fingerprint = _fingerprint(bench, folder, cache if cache.exists() else None)
    own = (bench.store_path / "calibrations").glob(f"{model_key(fingerprint)}-*.json")
    given = bench.settings.calibration
    places = [Path(given).expanduser()] if given else [*sorted(own), folder / CALIBRATION_FILE]
    read = {path: read_calibration(path) for path in places if given or path.is_file()}
    for path, calibration in read.items():
        if _fits(calibration, bench, fingerprint):
            place = "beside the model" if path.parent == folder else shown(path)
            counts = f"{calibration.flagged:,} of {calibration.negatives:,} negatives flagged"
            return ok("calibration", f"{place}: {counts}")
    if given:
        advice = "run `memex calibrate` for this model, or leave --memex-calibration out"
        return missing("calibration", f"{given} is one of another model or protocol", advice)
    others = f"; {len(read)} of another model or protocol" if read else ""
    said = f"none{others}: the shipped thresholds are used, and false alarms on this model are not bounded"
    return warning("calibration", said, "memex calibrate --model MODEL --training-set PATH")


def _fingerprint(bench: Workbench, folder: Path, cache: Path | None) -> str:
    return replace(bench.model_files, folder=folder).fingerprint(cache)


def _fits(calibration: Calibration, bench: Workbench, fingerprint: str) -> bool:
    found = (calibration.model_fingerprint, calibration.protocol, calibration.looks)
    return found == (fingerprint, bench.settings.preset, planned_test(bench.settings).looks)


def pictures_of_a_prompt(settings: Settings) -> tuple[int, int]:
    """Return the pictures of a prompt in which no two agree, and of one that is decided last.

    Not the first look: a test that is to see rare replicas stops nowhere before it has seen enough.
    """
    test = planned_test(settings)
    return round(float(outcomes(0.0, test).generations)), test.looks[-1]


def pictures_to_draw(settings: Settings, prompts: PromptSet | None, n_prompts: int) -> tuple[int, int]:
    """Return how many pictures are drawn if none of a prompt's agree, and if every prompt is decided last.

    Args:
        settings: of the audit.
        prompts: None where they are not known yet.
        n_prompts: how many there are, or at most can be.
    """
    least, most = pictures_of_a_prompt(settings)
    if (
        prompts is None
        or not has_few_captions(prompts)
        or settings.generations
        or settings.preset != "default"
    ):
        return n_prompts * least, n_prompts * most
    exact = sum(generations_for(len(prompt.example_ids)) for prompt in prompts.prompts)
    return exact, exact


def bytes_to_keep(
    pictures: tuple[int, int], size: tuple[int, int] | None, keep: str = "all"
) -> tuple[int, int] | None:
    """Return the bytes that so many pictures take at most: pixels are kept without loss, if they are.

    With `keep` "evidence" the fewest if block sums settle every prompt.
    """
    if size is None:
        return None
    with_pixels = size[0] * size[1] * BYTES_A_PIXEL
    without = n_blocks(*size) * BYTES_A_BLOCK
    least, most = {"all": (with_pixels, with_pixels), "none": (without, without)}.get(
        keep, (without, with_pixels)
    )
    return pictures[0] * least, pictures[1] * most


def check_plan(pictures: tuple[int, int], drawing: Drawing, seconds: float | None, device: str) -> Check:
    """Say how much an audit draws, and how long that takes where a picture was timed."""
    least, most = pictures
    said = f"{least:,} to {most:,} pictures" if least < most else f"{least:,} pictures"
    if drawing.size:
        said += f" of {drawing.size[1]} x {drawing.size[0]}"
    if drawing.evaluations:
        said += f", {drawing.evaluations} network evaluations each"
    said += ", less what the store holds"
    if seconds is None:
        return ok("to draw", f"{said}; `memex doctor --try` measures how long that takes")
    times = " to ".join(time_text(count * seconds) for count in sorted({least, most}))
    said += f"; at {seconds:.2g} s each on {device}, {times}"
    if least * seconds > LONG_S:
        advice = "take a faster --memex-device, or fewer --memex-max-prompts; what is ended goes on later"
        return warning("to draw", said, advice)
    return ok("to draw", said)


def draw_one(bench: Workbench, prompt: str) -> tuple[float | None, Check]:
    """Load the model and draw a picture; where that was quick, time a batch too. Return a picture's seconds.

    Raises:
        MemexAuditError: it cannot be loaded, or does not draw.
    """
    began = time.monotonic()
    generator, batch_size = bench.generator, BatchSize.of(bench.batch_size)
    loaded = time.monotonic()
    (picture,) = draw_requests(generator, [GenerationRequest(prompt=prompt, seed=0)], batch_size)
    seconds = time.monotonic() - loaded
    if picture.pixels is None:
        advice = "half precision can overflow: try --memex-dtype fp32 or bf16"
        return None, missing("try", f"the model gave no picture: {picture.reason}", advice)
    height, width = picture.pixels.shape[:2]
    said = f"loaded in {loaded - began:.2g} s; drew {width} x {height} in {seconds:.2g} s"
    if seconds < QUICK_S:  # mostly the warming up
        again, n = time.monotonic(), batch_size.at_once
        batch = [GenerationRequest(prompt=prompt, seed=seed) for seed in range(n)]
        tuple(draw_requests(generator, batch, batch_size))
        seconds = (time.monotonic() - again) / n
        said += f", and {n} in {n * seconds:.2g} s ({batch_size.at_once} at once)"
    calibration = "calibrated" if bench.calibration.calibrated else "uncalibrated"
    return seconds, ok("try", f"{said}; {calibration} at these sampler settings")


def time_text(seconds: float) -> str:
    """Write a time.

    >>> time_text(42), time_text(600), time_text(9000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 2 * 3600 else f"{seconds / 3600:.1f} h"
