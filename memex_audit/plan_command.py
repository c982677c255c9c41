"""The command `memex plan`: what a pass takes, before hours are spent on it."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from memex_audit.command_options import settings_options
from memex_audit.config import DRAWN_WITH, Settings
from memex_audit.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memex_audit.doctor.audit_plan import AuditPlan
    from memex_audit.rates.planning import PlannedAudit

HEAD = ("extracted", "groups", "generations", "evaluations", "time")


@click.command()
@click.option(
    "--frame-size", type=click.IntRange(min=1), metavar="N",
    help="Groups of the population that the rate is to speak of; default: that of the prompts, where known.",
)  # fmt: skip
@click.option("--no-draw", is_flag=True, help="Do not load the model: no time is measured.")
@click.option("--json", "as_json", is_flag=True, help="Write the plan as JSON.")
@settings_options(
    "limit", "confidence", "model", "model_config", "textual_inversion", "lora",
    "training_set", "embedder", "duplicate_similarity", "join", "prompts",
    "max_prompts", "preset", "generations", "blind_spot", "clique_size", *DRAWN_WITH, "calibration", "store",
)  # fmt: skip
def plan(frame_size: int | None, no_draw: bool, as_json: bool, **options: str | None) -> None:
    """Say what a pass takes: groups, generations, network evaluations and hours, and how likely it is.

    Reads the project's settings of pytest as an audit does; options go before them. Draws a few pictures to
    time them.
    """
    from memex_audit.doctor.audit_plan import make_plan
    from memex_audit.pytest_settings import read_pytest_settings

    _check_limit(options)
    settings, rootdir = read_pytest_settings(options, Path.cwd())
    found = make_plan(settings, rootdir, frame_size=frame_size, draw=not no_draw)
    if as_json:
        click.echo(json.dumps(plan_as_json(found), indent=2))
        return
    from memex_audit.reporting.terminal import WIDEST, wrapped

    width = min(shutil.get_terminal_size().columns, WIDEST)
    for line in plan_lines(found):
        # What starts with a space is a table's.
        click.echo(line if line.startswith(" ") else "\n".join(wrapped(line, width)))


def _check_limit(options: "dict[str, str | None]") -> None:
    """Answer a limit of 0 with what can be had instead.

    Raises:
        ConfigurationError: the limit is 0.
    """
    usual = Settings()
    try:
        limit, confidence = float(options["limit"] or 1), float(options["confidence"] or usual.confidence)
    except ValueError:
        return  # read_settings says what they must be
    if limit != 0 or not 0.5 <= confidence < 1:
        return
    from memex_audit.explain import percent
    from memex_audit.rates.planning import bound_if_none_seen

    text = options["max_prompts"] or ""
    groups = int(text) if text.isdecimal() and int(text) else usual.max_prompts
    raise ConfigurationError(
        f"--limit must be above 0, got 0: no number of groups shows that nothing is extracted. None seen in "
        f"{groups:,} groups bounds the rate by {percent(bound_if_none_seen(groups, confidence))} with "
        f"{percent(confidence)} confidence; give a limit that you could bear."
    )


def plan_lines(plan: "AuditPlan") -> list[str]:
    """Return the plan as lines of a terminal."""
    from memex_audit.explain import percent
    from memex_audit.rates.attempts import attempt_of

    first = percent(attempt_of(1, plan.confidence).confidence, 3)
    lines = [
        f"A pass of {plan.model} at limit {percent(plan.limit)}, with {percent(plan.confidence)} confidence "
        f"(a first run is bounded at {first}), preset {plan.preset}",
        *_cost_lines(plan),
    ]
    if plan.counts_images:
        lines.append(
            "captions are so few that the rate counts training images: no number of groups is needed"
        )
    chance = "on the right the chance of a pass at that true rate"
    lines += ["", f"For prompts like these; {chance}:", *_table(plan, plan.like_these)]
    if plan.frame_size:
        lines += ["", f"For a frame of {plan.frame_size:,} groups; {chance}:", *_table(plan, plan.in_frame)]
        if not plan.in_frame:
            lines.append("  none")
    lines += ["", *_as_set_up(plan)]
    extension = attempt_of(2, plan.confidence).confidence
    lines.append(
        f"For one extension of an inconclusive audit, fixed beforehand: {plan.first_run:,} groups, then "
        f"{plan.with_extension:,} in all, bounded at {percent(extension, 3)}."
    )
    return lines


def _cost_lines(plan: "AuditPlan") -> list[str]:
    cost = plan.cost
    said = f"{cost.least} generations a prompt" + (
        f" in which no two agree, up to {cost.most} otherwise" if cost.most > cost.least else ""
    )
    if cost.evaluations:
        said += f"; {cost.evaluations} network evaluations each"
    if cost.seconds:
        said += f"; {cost.seconds:.2g} s each, measured on {plan.device}"
    return [said]


def _as_set_up(plan: "AuditPlan") -> list[str]:
    from memex_audit.explain import percent

    if plan.n_groups is None or plan.none_seen is None:
        return [f"This audit has at most {plan.n_prompts:,} prompts; their groups are known once it has run."]
    verb = "passes" if plan.none_seen <= plan.limit else "is inconclusive"
    return [
        f"This audit has {plan.n_groups:,} groups: if none is extracted the rate is at most "
        f"{percent(plan.none_seen)}, which {verb} for prompts like these."
    ]


def _table(plan: "AuditPlan", planned: "Sequence[PlannedAudit]") -> list[str]:
    """Align the plans in columns, the first and the chances apart from what they cost."""
    from memex_audit.doctor.plan import time_text
    from memex_audit.explain import percent

    head = (*HEAD, *(f"at {percent(rate)}" for rate in plan.rates))
    rows = []
    for audit in planned:
        generations, _ = plan.generations(audit.groups)
        cost = plan.cost
        rows.append(
            (
                f"{audit.allowed}",
                f"{audit.groups:,}",
                f"{generations:,}",
                f"{generations * cost.evaluations:,}" if cost.evaluations else "-",
                time_text(generations * cost.seconds) if cost.seconds else "-",
                *(f"{chance:.0%}" for chance in audit.chances),
            )
        )
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return [
        "  " + "  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in (head, *rows)
    ]


def plan_as_json(plan: "AuditPlan") -> dict[str, Any]:
    """Return the plan as JSON: shares, counts, hours."""
    return {
        "model": plan.model,
        "preset": plan.preset,
        "device": plan.device,
        "limit": plan.limit,
        "confidence": plan.confidence,
        "generations_a_prompt": {"least": plan.cost.least, "most": plan.cost.most},
        "evaluations_a_generation": plan.cost.evaluations,
        "seconds_a_generation": plan.cost.seconds,
        "prompts": plan.n_prompts,
        "groups": plan.n_groups,
        "counts_training_images": plan.counts_images,
        "none_seen_upper": plan.none_seen,
        "true_rates": list(plan.rates),
        "like_these": [_audit_as_json(plan, audit) for audit in plan.like_these],
        "frame_size": plan.frame_size,
        "in_frame": [_audit_as_json(plan, audit) for audit in plan.in_frame],
        "first_run_groups": plan.first_run,
        "groups_with_extension": plan.with_extension,
    }


def _audit_as_json(plan: "AuditPlan", audit: "PlannedAudit") -> dict[str, Any]:
    generations = plan.generations(audit.groups)
    cost = plan.cost
    return {
        "allowed": audit.allowed,
        "groups": audit.groups,
        "generations": list(generations),
        "evaluations": [n * cost.evaluations for n in generations] if cost.evaluations else None,
        "hours": [n * cost.seconds / 3600 for n in generations] if cost.seconds else None,
        "pass_probability": list(audit.chances),
    }
