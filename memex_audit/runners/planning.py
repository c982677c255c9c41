"""Cut an audit into units: which prompts of a shard are drawn for together, and what the controls draw."""

import hashlib
from collections.abc import Sequence

from memex_audit.config import PRESETS, Settings
from memex_audit.controls import NEGATIVE_PROMPTS
from memex_audit.errors import ConfigurationError
from memex_audit.records import AuditPrompt
from memex_audit.runners.drawing import NEGATIVES, PLANTED, PROMPTS
from memex_audit.runners.sharding import Shard
from memex_audit.runners.work import WorkUnit
from memex_audit.work_units import LARGEST_UNIT
from memex_audit.workbench import Workbench

# Few enough that a shard of many has its part of the negative control's prompts, and no more.
NEGATIVES_AT_ONCE = 4


def plan_drawing(
    prompts: Sequence[AuditPrompt], settings: Settings, shard: Shard, *, controls: bool
) -> list[WorkUnit]:
    """Return the units of a shard, in the order of the prompts: the most duplicated come first.

    Args:
        prompts: of the whole audit.
        settings: of the audit: a batch of pictures fits into a unit.
        shard: of them that is drawn here.
        controls: also the shard's part of what the suite's controls draw.
    """
    size = max(LARGEST_UNIT, (settings.batch_size or 0) // PRESETS[settings.preset].looks[0])
    own = [prompt.prompt_id for prompt in prompts if shard.holds_prompt(prompt.text)]
    units = [_unit(PROMPTS, own[first : first + size]) for first in range(0, len(own), size)]
    if not controls:
        return units
    for number, first in enumerate(range(0, NEGATIVE_PROMPTS, NEGATIVES_AT_ONCE)):
        if shard.holds_number(number):
            rows = range(first, min(first + NEGATIVES_AT_ONCE, NEGATIVE_PROMPTS))
            units.append(_unit(NEGATIVES, [str(row) for row in rows]))
    if shard.number == 1:
        units.append(_unit(PLANTED, ["all"]))
    return units


def _unit(kind: str, items: Sequence[str]) -> WorkUnit:
    name = hashlib.sha256("\0".join((kind, *items)).encode()).hexdigest()[:24]
    return WorkUnit(name=name, kind=kind, items=tuple(items))


def check_can_be_shared(bench: Workbench, *, processes: int | None, shards: int) -> None:
    """Refuse what cannot be drawn ahead of the audit, or not by several.

    Args:
        bench: of the audit.
        processes: that draw at once; None for as many as a cluster has room for.
        shards: that the prompts are divided into.

    Raises:
        ConfigurationError: the message says why, and what to do.
    """
    settings = bench.settings
    if settings.model.startswith("folder:"):
        raise ConfigurationError(
            f"`memex generate` must have a model that draws, got {settings.model}, whose pictures are there "
            "already; audit them with pytest."
        )
    if reason := bench.why_no_prompts:
        raise ConfigurationError(
            f"`memex generate` draws for prompts, and there are none: {reason}; pytest draws for the "
            "untargeted extraction by itself."
        )
    if settings.screen != "none" and (processes, shards) != (1, 1):
        raise ConfigurationError(
            f"--memex-screen {settings.screen} scores the whole audit set before anything is drawn, so it is "
            "one process's work, got several workers or shards; draw with --workers 1 and no --shard, or "
            "without a screen."
        )
    if settings.budget and processes is None:
        raise ConfigurationError(
            "--memex-budget is shared out in equal parts, got no number of workers on Ray; give --workers N."
        )


def left_to_pytest(settings: Settings) -> list[str]:
    """Return what an audit with these settings draws beside its prompts, which is not drawn ahead."""
    asked = {
        "canaries": settings.canaries,
        "minimal triggers": settings.minimal_trigger,
        "prompts like the known ones": settings.neighbours,
        "an untargeted extraction": settings.untargeted,
    }
    return [name for name, value in asked.items() if value]
