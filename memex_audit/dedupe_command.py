"""The command `memex dedupe`: which near-copies to leave out of a training set, as advice in a file."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from memex_audit.command_options import settings_options
from memex_audit.config import read_settings
from memex_audit.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.command()
@click.argument("training_set")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Parquet file to write.")
@click.option(
    "--findings",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="RESULT.json",
    help="Result of an audit (--memex-json): says how the extraction rate grows with near-copies.",
)
@settings_options("embedder", "duplicate_similarity", "join", "store")
def dedupe(training_set: str, out: Path, findings: Path | None, **options: str | None) -> None:
    """Write which near-copies of TRAINING_SET to keep and which to drop, each with the reason.

    It is advice: the training set is read, and nothing of it is changed.
    """
    from memex_audit.explain import counted
    from memex_audit.training_set import open_training_set
    from memex_audit.training_set.deduplication import advise, write_advice
    from memex_audit.workbench import Workbench

    if out.suffix.lower() != ".parquet":
        raise ConfigurationError(f"--out must be written as .parquet, got {out.name}; name it so.")
    risk = list(_risk(findings)) if findings else []
    bench = Workbench(read_settings({**options, "training_set": training_set}), Path.cwd())
    bench.training_set = open_training_set(training_set, needs_captions=False)
    mined = bench.mined
    assert mined is not None  # a training set is given
    counts, groups = mined.load_duplicates()
    advice = advise(mined.load_vectors(), mined.load_example_ids(), counts, groups)
    n_groups, n_dropped = write_advice(out, advice)
    for note in bench.notes:
        click.echo(f"note: {note}", err=True)
    for entry in mined.prompts.set_aside:
        click.echo(f"set aside: {entry.what}: {entry.reason}", err=True)
    click.echo(
        f"{counted(len(counts), 'image')}, {counted(n_groups, 'group')} of near-copies (cosine "
        f"{mined.similarity:g} or more); {n_dropped:,} to drop, {n_dropped / len(counts):.1%}; "
        f"written to {out}"
    )
    for line in risk:
        click.echo(line)


def _risk(result: Path) -> "Iterator[str]":
    """Say the extraction rate by how often images stand in the training set."""
    from memex_audit.rates.duplication_tiers import rates_by_duplication
    from memex_audit.reporting.json_report import read_result

    read = read_result(result)
    if not read.findings:
        raise ConfigurationError(f"--findings must hold findings of prompts, got none in {result}.")
    yield "near-copies  groups  extracted  rate (95 % interval)"
    for tier in rates_by_duplication(read.findings, confidence=0.95):
        share = tier.extracted / tier.groups
        yield (
            f"{tier.name:>11}  {tier.groups:>6,}  {tier.extracted:>9,}  "
            f"{share:.1%} ({tier.lower:.1%} to {tier.upper:.1%})"
        )
