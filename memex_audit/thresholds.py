"""Choose what a prompt is decided by: options over a calibration of this model over the shipped default."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from memex_audit.config import PRESETS, Settings
from memex_audit.errors import CalibrationError, ConfigurationError
from memex_audit.records import Calibration, Protocol

# Thresholds of a model that was never calibrated; docs/decisions/003-thresholds.md says where they come from.
DEFAULT_EDGE_DELTA = 0.10
DEFAULT_MATCH_DELTA = 0.10


def choose_calibration(
    settings: Settings, *, given: Path | None, places: Sequence[Path], fingerprint: str, settings_key: str
) -> Calibration:
    """Return the thresholds of this model, with what options set of them on top.

    Args:
        settings: of the audit.
        given: a calibration file that the user named; it must fit.
        places: files that are taken where they are there and fit.
        fingerprint: of the model.
        settings_key: digest of the sampler settings.

    Raises:
        CalibrationError: `given` cannot be read or is another model's.
    """
    from memex_audit.extraction.calibration import read_calibration

    def fits(calibration: Calibration) -> bool:
        found = (calibration.model_fingerprint, calibration.settings_digest, calibration.protocol)
        return found == (fingerprint, settings_key, settings.preset)

    if given is None:
        readable = (read_calibration(path) for path in places if path.is_file())
        chosen = next(filter(fits, readable), _default(settings.preset))
    elif not fits(chosen := read_calibration(given)):
        raise CalibrationError(
            f"{settings.calibration} was made for another model, other sampler settings or another protocol; "
            "run `memex calibrate` for this one."
        )
    options = {
        name: value
        for name in ("edge_delta", "match_delta", "clique_size")
        if (value := getattr(settings, name)) is not None
    }
    return replace(chosen, source="given", **options) if options else chosen


def choose_protocol(settings: Settings, calibration: Calibration) -> Protocol:
    """Return the preset's looks, or the number of generations given, with the calibration's thresholds.

    Raises:
        ConfigurationError: the clique cannot be that large.
    """
    looks = (settings.generations,) if settings.generations else PRESETS[settings.preset].looks
    if calibration.clique_size > looks[-1]:
        raise ConfigurationError(
            f"the clique size must not exceed the generations a prompt, got {calibration.clique_size} of "
            f"{looks[-1]}; give --memex-clique-size."
        )
    return Protocol(
        name=settings.preset,
        looks=looks,
        clique_size=calibration.clique_size,
        edge_delta=calibration.edge_delta,
        match_delta=calibration.match_delta,
    )


def _default(preset_name: str) -> Calibration:
    preset = PRESETS[preset_name]
    return Calibration(
        source="default",
        edge_delta=preset.edge_delta or DEFAULT_EDGE_DELTA,
        match_delta=preset.match_delta or DEFAULT_MATCH_DELTA,
        clique_size=preset.clique_size,
        protocol=preset_name,
    )
