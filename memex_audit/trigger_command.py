"""The command `memex trigger`: the words of a prompt that are enough to give its training image back."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from memex_audit.command_options import settings_options
from memex_audit.config import DRAWN_WITH
from memex_audit.errors import ConfigurationError

if TYPE_CHECKING:
    from memex_audit.records import AuditPrompt, Finding
    from memex_audit.workbench import Workbench


@click.command()
@click.argument("prompt", metavar="PROMPT")
@click.option(
    "--budget",
    type=click.IntRange(min=2),
    default=200,
    show_default=True,
    metavar="N",
    help="Most generations that the search looks at.",
)
@settings_options(
    "model", "model_config", "textual_inversion", "lora",
    "training_set", "embedder", "duplicate_similarity", "join", "prompts", "max_prompts", "preset",
    "generations", "clique_size", "edge_delta", "match_delta", "calibration", *DRAWN_WITH, "seed", "store",
    "crop", "redact",
    "max_images", "requests_per_minute", "api_key_env",
)  # fmt: skip
def trigger(prompt: str, budget: int, **options: str | None) -> None:
    """Find the shortest prompt that still gives back the training image that PROMPT gives back.

    PROMPT is the id of a prompt of the audit set, or any text. It is audited first; words of it are then left
    out, or replaced, as long as 2 of the first 4 generations show the image. Reads the project's settings of
    pytest as an audit does; what was drawn before is not drawn again.
    """
    from memex_audit.pytest_settings import read_pytest_settings
    from memex_audit.triggers.triggering import with_trigger
    from memex_audit.workbench import Workbench

    settings, rootdir = read_pytest_settings(options, Path.cwd())
    bench = Workbench(settings, rootdir)
    found = with_trigger(bench, _audited(bench, prompt), budget)
    for note in bench.notes:
        click.echo(f"note: {note}", err=True)
    click.echo("\n".join(trigger_lines(found, redact=settings.redacts_captions)))


def trigger_lines(finding: "Finding", *, redact: bool) -> list[str]:
    """Return what the search found, as lines of a terminal.

    Raises:
        ConfigurationError: nothing was searched, as the prompt gives no training image back.
    """
    from memex_audit.explain import counted, example_name, explain_trigger, figures, prompt_name

    name, found = prompt_name(finding, redact=redact), finding.trigger
    if found is None or finding.match is None:
        raise ConfigurationError(
            f"PROMPT must give a training image back, got {name}: {finding.verdict.value.replace('_', ' ')} "
            f"({figures(finding)}); give one that an audit extracted."
        )
    return [
        f"{name} gives back training image {example_name(finding.match, redact=redact)}",
        explain_trigger(found, redact=redact),
        f"{counted(found.generations, 'generation')} looked at, {found.network_evaluations:,} network "
        "evaluations where none of them was kept from before",
    ]


def _audited(bench: "Workbench", prompt: str) -> "Finding":
    """Audit one prompt by itself: of the audit set, or a text tied to the images that stand under it."""
    if bench.matcher is None:
        raise ConfigurationError(
            "a trigger must be searched with the training set, got none; give it with --training-set PATH."
        )
    everything = bench.prompts
    named = [known for known in everything.prompts if prompt in (known.prompt_id, known.text)]
    chosen = named[0] if named else _of_text(prompt)
    alone = replace(everything, prompts=(chosen,), strata=())
    if not named:
        alone = bench.tie_to_training_set(alone)
    return bench.audit(alone).finding(alone.prompts[0])


def _of_text(text: str) -> "AuditPrompt":
    from memex_audit.records import AuditPrompt
    from memex_audit.training_set.prompts import prompt_id_of

    if not text.split():
        raise ConfigurationError("PROMPT must have a word, got none.")
    return AuditPrompt(
        prompt_id=prompt_id_of(text), text=text, group_id=prompt_id_of(text), duplication_count=1
    )
