"""The command `memex generate`: draws what an audit will ask for, on as many machines as there are."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from memex_audit.black_boxes import ENDPOINT
from memex_audit.command_options import ended_as_by_ctrl_c, runner_options, settings_options
from memex_audit.config import DRAWN_WITH


@click.command()
@click.argument("prompts", metavar="[PROMPTS]", required=False)
@runner_options
@click.option(
    "--controls/--no-controls",
    default=True,
    show_default=True,
    help="Also draw what the suite's controls draw: 60 prompts that no training image stands under, and 8 of "
    "the specimen.",
)
@settings_options(
    "model", "model_config", "textual_inversion", "lora",
    "training_set", "embedder", "duplicate_similarity", "join", "max_prompts", "preset", "generations",
    "blind_spot", "clique_size", "edge_delta", "match_delta", "calibration", *DRAWN_WITH, "seed", "store",
    "keep", "crop", "max_pixels", "max_images", "requests_per_minute", "api_key_env",
)  # fmt: skip
@click.pass_context
def generate(
    context: click.Context,
    /,
    *,
    prompts: str | None,
    runner: str,
    workers: int | None,
    shard: str,
    address: str | None,
    controls: bool,
    **options: str | None,
) -> None:
    """Draw what the audit of PROMPTS will ask for; pytest with the same --memex-store then only judges.

    PROMPTS is a prompt file, such as `memex mine` writes; without one the training set is mined, as an audit
    does. Reads the project's settings of pytest as an audit does; options go before them, and --keep is
    `evidence` unless it is given. May be ended at any time, run again, and run several times at once: nothing
    that reached the store is drawn again.
    """
    from memex_audit.pytest_settings import read_pytest_settings
    from memex_audit.runners.choosing import Sharing
    from memex_audit.runners.generating import draw_ahead
    from memex_audit.runners.sharding import parse_shard

    part = parse_shard(shard)
    kept = options["keep"]
    options |= {"prompts": prompts, "keep": kept or "evidence"}
    settings, rootdir = read_pytest_settings(options, Path.cwd())
    if kept is None and settings.model.startswith(ENDPOINT):
        settings = replace(settings, keep="all")  # what is paid for is not drawn again
    sharing = Sharing(kind=runner, workers=workers, address=address)
    with ended_as_by_ctrl_c():
        tally = draw_ahead(
            settings, rootdir, part, sharing, controls=controls, say=partial(click.echo, err=True)
        )
    click.echo(f"--shard {part}: {tally.last_line('prompt')}")
    context.exit(int(bool(tally.failures)))
