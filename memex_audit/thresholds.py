"""Choose what a prompt is decided by: options over a calibration of this model over the shipped default."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from memex_audit.config import PRESETS, Settings
from memex_audit.errors import CalibrationError, ConfigurationError
from memex_audit.records import Calibration, Protocol

if TYPE_CHECKING:
    from memex_audit.extraction.protocol import SequentialTest

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

    test = planned_test(settings)
    # A clique size given beside a calibration is an option on top of it, like a delta.
    boundaries = (test.clean_at, planned_test(replace(settings, clique_size=None)).clean_at)

    def misfit(calibration: Calibration) -> str | None:
        if calibration.model_fingerprint != fingerprint:
            return "another model"
        if calibration.settings_digest != settings_key:
            return "other sampler settings"
        if (calibration.protocol, calibration.looks) != (settings.preset, test.looks):
            return f"the protocol {_shown(calibration.protocol, calibration.looks)}"
        if calibration.clean_at and calibration.clean_at not in boundaries:
            return "another blind spot or clique size"
        return None

    if given is None:
        readable = (read_calibration(path) for path in places if path.is_file())
        fitting = (calibration for calibration in readable if misfit(calibration) is None)
        chosen = next(fitting, _default(settings.preset, test))
    elif found := misfit(chosen := read_calibration(given)):
        raise CalibrationError(
            f"a calibration must be made for the model, sampler settings and protocol of the audit "
            f"({_shown(settings.preset, test.looks)}), got {settings.calibration} for {found}; run "
            "`memex calibrate` for this one."
        )
    options = {
        name: value
        for name in ("edge_delta", "match_delta", "clique_size")
        if (value := getattr(settings, name)) is not None
    }
    return replace(chosen, source="given", **options) if options else chosen


def planned_test(settings: Settings) -> "SequentialTest":
    """Return the looks at a prompt, and what decides at each: the preset's, with options on top.

    A number of generations is one look; a clique size is the least that flags at any look.

    Raises:
        ConfigurationError: the clique cannot be that large, or no test sees so small a share.
    """
    from memex_audit.extraction.protocol import clique_test, plan_look, plan_test

    preset = PRESETS[settings.preset]
    looks = (settings.generations,) if settings.generations else preset.looks
    fixed = settings.clique_size or preset.clique_size
    if len(looks) == 1 and fixed:
        _check_clique_size(fixed, looks[-1])
        return clique_test(looks, fixed)
    if settings.generations:
        return plan_look(settings.generations, null_share=preset.null_share, alpha=preset.alpha)
    test = plan_test(
        blind_spot=settings.blind_spot or preset.blind_spot,
        null_share=preset.null_share,
        alpha=preset.alpha,
        power=preset.power,
        looks=looks,
    )
    if fixed is None:
        return test
    _check_clique_size(fixed, test.looks[-1])
    at_least = tuple(max(flag, fixed) for flag in test.flag_at[:-1])
    flag_at = (*(min(flag, n + 1) for flag, n in zip(at_least, test.looks, strict=False)), fixed)
    clean_at = (*(min(clean, fixed - 1) for clean in test.clean_at[:-1]), fixed - 1)
    return replace(test, flag_at=flag_at, clean_at=clean_at)


def choose_protocol(settings: Settings, calibration: Calibration) -> Protocol:
    """Return the test of the settings with the calibration's thresholds.

    Raises:
        ConfigurationError: as `planned_test`.
    """
    test = planned_test(settings)
    return Protocol(
        name=settings.preset,
        looks=test.looks,
        clique_size=test.flag_at[-1],
        flag_at=test.flag_at,
        clean_at=test.clean_at,
        edge_delta=calibration.edge_delta,
        match_delta=calibration.match_delta,
    )


def _check_clique_size(clique_size: int, generations: int) -> None:
    if clique_size > generations:
        raise ConfigurationError(
            f"the clique size must not exceed the generations a prompt, got {clique_size} of "
            f"{generations}; give --memex-clique-size."
        )


def _shown(protocol: str, looks: Sequence[int]) -> str:
    return f"{protocol}, {' then '.join(map(str, looks))} generations"


def _default(preset_name: str, test: "SequentialTest") -> Calibration:
    return Calibration(
        source="default",
        edge_delta=DEFAULT_EDGE_DELTA,
        match_delta=PRESETS[preset_name].match_delta or DEFAULT_MATCH_DELTA,
        clique_size=test.flag_at[-1],
        protocol=preset_name,
    )
