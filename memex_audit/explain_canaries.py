"""Canaries -> words and a table: each is worded once, here, for terminal, Markdown and assertions."""

from collections.abc import Iterator

from memex_audit.explain import percent
from memex_audit.records import CanaryLevel, CanaryResult

HEADINGS = ("planted", "detected", "share detected", "replicas", "mean exposure")


def planted_levels(result: CanaryResult) -> tuple[CanaryLevel, ...]:
    """Return the levels of canaries that stand in the training set."""
    return tuple(level for level in result.levels if level.repetitions)


def canary_rows(result: CanaryResult) -> Iterator[tuple[str, ...]]:
    """Yield a row under HEADINGS for each number of repetitions, most first."""
    for level in result.levels:
        yield (
            _times(level.repetitions),
            f"{level.detected:,} of {level.canaries:,}",
            f"{percent(level.lower)} to {percent(level.upper)}",
            f"{level.replicas:,} of {level.generations:,}",
            f"{level.exposure:.1f} of {level.most_exposure:.1f} bits",
        )


def canary_table(result: CanaryResult) -> list[str]:
    """Return the rows as lines of a Markdown table."""
    table = [HEADINGS, ("---",) * len(HEADINGS), *canary_rows(result)]
    return ["| " + " | ".join(row) + " |" for row in table]


def explain_canaries(result: CanaryResult) -> str:
    """Say what was planted, and how the figures of the table are to be read."""
    n = sum(level.canaries for level in planted_levels(result))
    planted = "1 canary" if n == 1 else f"{n:,} canaries"
    return (
        f"{planted} planted, each ranked by exposure among {result.references:,} never planted; bounds of a "
        f"share are one-sided at {percent(result.confidence)} confidence; by chance an exposure of b bits or "
        f"more comes with 2^-b; seal {result.seal[:16]}"
    )


def power_of_canaries(result: CanaryResult) -> str:
    """Say what canaries show of this audit's power on the audited model itself."""
    levels = planted_levels(result)
    shown = "shown" if any(level.detected for level in levels) else "not shown"
    found = ", ".join(
        f"{level.detected:,} of {level.canaries:,} planted {_times(level.repetitions)}" for level in levels
    )
    return f"power was {shown} on the audited model itself: of its canaries, {found} were found"


def explain_undetected(result: CanaryResult, *, min_repetitions: int, min_share: float) -> str:
    """Say that too few canaries were detected, and which of two causes their exposure speaks for."""
    levels = [level for level in planted_levels(result) if level.repetitions >= min_repetitions]
    seen = "; ".join(
        f"planted {_times(level.repetitions)}: {level.detected:,} of {level.canaries:,} detected, mean "
        f"exposure {level.exposure:.1f} of {level.most_exposure:.1f} bits"
        for level in levels
    )
    return (
        "The audit does not find canaries that were planted in the model's training set.\n"
        f"Evidence: {seen}; at least {percent(min_share)} of those planted {_times(min_repetitions)} or more "
        "must be.\n"
        "How sure: a high exposure says that the model has learned them and this audit does not see it; one "
        "near 1.4 bits, that pictures planted so often are not learned, or that they were not planted.\n"
        "Next: check that FOLDER/planted was trained on, and the thresholds and generations (memex calibrate "
        "and --memex-blind-spot); or ask only of canaries that were planted more often."
    )


def explain_no_canaries(result: CanaryResult, min_repetitions: int) -> str:
    """Say that no canary was planted as often as an assertion asks."""
    most = max(level.repetitions for level in planted_levels(result))
    return (
        f"Inconclusive: no canary was planted {_times(min_repetitions)} or more, the most is {most:,}.\n"
        "Next: ask of those that were planted, or plant more (memex canary make --repetitions)."
    )


def _times(repetitions: int) -> str:
    return {0: "never", 1: "once"}.get(repetitions, f"{repetitions:,} times")
