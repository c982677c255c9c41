"""The command `memex embed`: embeds a training set ahead of mining, on as many machines as there are."""

from functools import partial
from pathlib import Path

import click

from memex_audit.command_options import ended_as_by_ctrl_c, runner_options, settings_options
from memex_audit.config import read_settings


@click.command()
@click.argument("training_set")
@click.option(
    "--import",
    "imported",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Take the embeddings that `clip-retrieval inference` wrote there, and embed nothing.",
)
@runner_options
@settings_options("embedder", "device", "max_pixels", "store")
@click.pass_context
def embed(
    context: click.Context,
    /,
    *,
    training_set: str,
    imported: Path | None,
    runner: str,
    workers: int | None,
    shard: str,
    address: str | None,
    **options: str | None,
) -> None:
    """Embed the images of TRAINING_SET; `memex mine` and audits with the same store then find them embedded.

    Every worker takes 4,096 images at a time. May be ended at any time, run again, and run several times at
    once: nothing that reached the store is embedded again.
    """
    from memex_audit.explain import counted
    from memex_audit.runners.choosing import Sharing
    from memex_audit.runners.embedding import embed_ahead, import_embeddings
    from memex_audit.runners.sharding import parse_shard

    if imported:
        click.echo(import_embeddings(imported, read_settings({**options, "training_set": training_set})))
        return
    part = parse_shard(shard)
    settings = read_settings({**options, "training_set": training_set})
    sharing = Sharing(kind=runner, workers=workers, address=address)
    with ended_as_by_ctrl_c():
        tally, n_missing = embed_ahead(settings, part, sharing, say=partial(click.echo, err=True))
    left = f"; of the set {counted(n_missing, 'shard')} still missing" if n_missing else ""
    click.echo(f"--shard {part}: {tally.last_line('shard')}{left}")
    context.exit(int(bool(tally.failures)))
