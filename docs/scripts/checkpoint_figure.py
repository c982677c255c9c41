"""Draw the figure and the table of docs/how-to/checkpoints.md: `python docs/scripts/checkpoint_figure.py`.

They are made of benchmarks/data/checkpoints.json. With --store FOLDER that is written anew first, of the runs
in this store's ledger: one a checkpoint, made by the commands that the page names.
"""

import json
from pathlib import Path

import click

from memex_audit.explain import percent
from memex_audit.ledger import Ledger
from memex_audit.reporting.checkpoint_chart import CheckpointRate, rate_by_checkpoint
from memex_audit.reporting.json_report import record_from_dict, record_to_dict
from memex_audit.specimen.measure import BEGIN, END, write_between

ROOT = Path(__file__).parents[2]
DATA = ROOT / "benchmarks" / "data" / "checkpoints.json"
FIGURE = ROOT / "docs" / "assets" / "checkpoints.svg"
PAGE = ROOT / "docs" / "how-to" / "checkpoints.md"


@click.command()
@click.option("--store", type=click.Path(exists=True, path_type=Path), help="Write the data anew from it.")
def main(store: Path | None) -> None:
    """Write the figure and the table."""
    if store:
        DATA.write_text(json.dumps([record_to_dict(rate) for rate in read_store(store)], indent=2) + "\n")
    rates = [record_from_dict(CheckpointRate, entry) for entry in json.loads(DATA.read_text())]
    FIGURE.write_text(rate_by_checkpoint(rates))
    write_between(PAGE, BEGIN, table(rates), END)


def read_store(store: Path) -> list[CheckpointRate]:
    """Return the rates of a store's runs, oldest first."""
    ledger = Ledger(store)
    results = [(run.model, ledger.result(run.id).rate) for run in ledger.runs()]
    return [CheckpointRate.of(model, rate) for model, rate in results if rate]


def table(rates: list[CheckpointRate]) -> str:
    """Return the rates as a table."""
    rows = [
        f"| {rate.name} | {rate.extracted} of {rate.units} | {percent(rate.lower)} | {percent(rate.upper)} |"
        for rate in rates
    ]
    return "\n".join(["| checkpoint | groups extracted | at least | at most |", "|---|---|---|---|", *rows])


if __name__ == "__main__":
    main()
