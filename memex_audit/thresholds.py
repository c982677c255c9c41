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
    from memex_audit.extraction.calibration_file import read_calibration

    def misfit(calibration: Calibration) -> str | None:
        if calibration.model_fingerprint != fingerprint:
            return "another model"
        if calibration.settings_digest != settings_key:
            return "other sampler settings"
        if (calibration.protocol, calibration.looks) != (settings.preset, looks_of(settings)):
            return f"the protocol {_shown(calibration.protocol, calibration.looks)}"
        return None

    if given is None:
        readable = (read_calibration(path) for path in places if path.is_file())
        fitting = (calibration for calibration in readable if misfit(calibration) is None)
        chosen = next(fitting, _default(settings.preset))
    elif found := misfit(chosen := read_calibration(given)):
        raise CalibrationError(
            f"a calibration must be made for the model, sampler settings and protocol of the audit "
            f"({_shown(settings.preset, looks_of(settings))}), got {settings.calibration} for {found}; run "
            "`memex calibrate` for this one."
        )
    options = {
        name: value
        for name in ("edge_delta", "match_delta", "clique_size")
        if (value := getattr(settings, name)) is not None
    }
    return replace(chosen, source="given", **options) if options else chosen


def looks_of(settings: Settings) -> tuple[int, ...]:
    """Return the cumulative generations a prompt: the number given in one look, or the preset's looks."""
    return (settings.generations,) if settings.generations else PRESETS[settings.preset].looks


def choose_protocol(settings: Settings, calibration: Calibration) -> Protocol:
    """Return the preset's looks, or the number of generations given, with the calibration's thresholds.

    Raises:
        ConfigurationError: the clique cannot be that large.
    """
    looks = looks_of(settings)
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


def _shown(protocol: str, looks: Sequence[int]) -> str:
    return f"{protocol}, {' then '.join(map(str, looks))} generations"


def _default(preset_name: str) -> Calibration:
    preset = PRESETS[preset_name]
    return Calibration(
        source="default",
        edge_delta=preset.edge_delta or DEFAULT_EDGE_DELTA,
        match_delta=preset.match_delta or DEFAULT_MATCH_DELTA,
        clique_size=preset.clique_size,
        protocol=preset_name,
    )
