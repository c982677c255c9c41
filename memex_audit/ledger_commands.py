"""The commands over finished runs: `memex runs`, `show`, `compare` and `bless`."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from memex_audit.comparing import AuditComparison, Baseline
    from memex_audit.ledger import Ledger, RunSummary
    from memex_audit.records import AuditResult

STORE = ".memex"
Command = Callable[..., Any]

store_option = click.option(
    "--store", type=click.Path(path_type=Path), metavar="FOLDER",
    help="Store whose ledger is read; default: the project's, found from this folder upwards.",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON.")
redact_option = click.option("--redact", type=click.Choice(["captions"]), help="Show no prompt text.")
plot_option = click.option(
    "--plot", type=click.Path(path_type=Path), metavar="FILE.svg", help="Draw the rates."
)


@click.command()
@json_option
@plot_option
@store_option
def runs(as_json: bool, plot: Path | None, store: Path | None) -> None:
    """List the finished runs of a store, oldest first.

    --plot draws the runs that were made like the latest one: the same prompts, sampler and seed.
    """
    ledger = open_ledger(store)
    found = ledger.runs()
    if plot:
        left_out = _plot_runs(ledger, found, plot)
        said = f" ({left_out:,} runs left out: other prompts or settings, or no rate)" if left_out else ""
        click.echo(f"written: {plot}{said}", err=True)
    if as_json:
        click.echo(json.dumps([_summary(run) for run in found], indent=2))
        return
    if not found:
        click.echo(f"no run yet in {ledger.path}; `pytest audits/` writes one")
        return
    click.echo(f"{'id':8}  {'created':25}  {'verdict':12}  {'rate':>7}  model")
    for run in found:
        click.echo(f"{run.id:8}  {run.created:25}  {run.verdict:12}  {_rate(run):>7}  {run.model}")


@click.command()
@click.argument("run", metavar="RUN")
@json_option
@redact_option
@store_option
def show(run: str, as_json: bool, redact: str | None, store: Path | None) -> None:
    """Show a finished run as it was shown at its end.

    RUN: the beginning of an id, `latest`, `latest~1` for the one before, or a JSON file of --memex-json.
    """
    from memex_audit.reporting.json_report import result_to_bytes
    from memex_audit.reporting.terminal import write_summary

    result = load_result(store, run)
    if as_json:
        click.echo(result_to_bytes(result, redact=redact is not None).decode(), nl=False)
        return
    width = shutil.get_terminal_size().columns
    write_summary(_Terminal(width=width), result, width=width, redact=redact is not None)


@click.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.option("--confidence", type=click.FloatRange(0.5, 1, max_open=True), default=0.95, show_default=True)
@json_option
@plot_option
@redact_option
@store_option
def compare(
    *,
    before: str,
    after: str,
    confidence: float,
    as_json: bool,
    plot: Path | None,
    redact: str | None,
    store: Path | None,
) -> None:
    """Say how run B differs from the earlier run A, over the prompts that both have.

    A and B: the beginning of an id, `latest`, `latest~1` for the one before, a JSON file of --memex-json, or
    a baseline of `memex bless`. Both must have been made with the same sampler settings, seed and protocol.
    """
    from memex_audit.comparing import compare_audits
    from memex_audit.explain_comparison import explain_comparison

    (first, names), (second, more) = _load_audit(store, before), _load_audit(store, after)
    texts = {} if redact else {name: text for name, text in {**names, **more}.items() if text}
    compared = compare_audits(first, second, confidence=confidence, texts=texts)
    if plot:
        _plot_pair(compared, plot)
        click.echo(f"written: {plot}", err=True)
    if as_json:
        click.echo(json.dumps(_comparison(compared), indent=2))
        return
    click.echo(explain_comparison(compared))


@click.command()
@click.argument("run", metavar="RUN")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE",
    help="Where to write it; default: audits/baselines/NAME.json, where audits of this model look for it.",
)  # fmt: skip
@store_option
def bless(run: str, out: Path | None, store: Path | None) -> None:
    """Write RUN down as the baseline that later audits are compared with, to be reviewed and committed.

    The file holds ids and counts, no prompt text, and is the same for the same run, byte by byte.
    """
    from memex_audit.baseline_file import baseline_path, write_baseline
    from memex_audit.comparing import baseline_of
    from memex_audit.errors import ComparisonError
    from memex_audit.records import RunVerdict

    result = load_result(store, run)
    if result.verdict in (RunVerdict.INCOMPLETE, RunVerdict.ERROR):
        raise ComparisonError(
            f"a baseline must be of a whole run, got one that is {result.verdict}: prompts that it left out "
            "would never be missed; run the whole suite."
        )
    baseline = baseline_of(result)
    target = out or _project(store) / baseline_path(baseline.model)
    write_baseline(target, baseline)
    extracted = sum(outcome.verdict.value == "extracted" for outcome in baseline.prompts)
    click.echo(
        f"written: {target} ({baseline.model}, {len(baseline.prompts):,} prompts, {extracted:,} extracted); "
        "review and commit it"
    )


COMMANDS = (runs, show, compare, bless)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terminal:
    """Writes a summary as pytest's terminal reporter does."""

    width: int

    def write(self, content: str, **markup: bool) -> None:
        colour = next((name for name in ("green", "red", "yellow") if markup.get(name)), None)
        click.secho(
            content, nl=False, fg=colour, bold=markup.get("bold"), reverse=markup.get("invert")
        )  # fmt: skip

    def write_sep(self, sep: str, title: str, **markup: bool) -> None:
        self.write(f" {title} ".center(self.width - 1, sep) + "\n", **markup)


def find_store(given: Path | None, folder: Path) -> Path:
    """Return the store: the one given, the nearest .memex with a ledger from here up, or the project's."""
    from memex_audit.ledger import LEDGER_FILE

    if given:
        return given
    above = (place / STORE for place in (folder, *folder.parents))
    if found := next((store for store in above if (store / LEDGER_FILE).exists()), None):
        return found
    from memex_audit.pytest_settings import read_pytest_settings

    settings, rootdir = read_pytest_settings({}, folder)
    return Path(settings.store).expanduser().absolute() if settings.store else rootdir / STORE


def open_ledger(store: Path | None) -> "Ledger":
    """Return the ledger of the store that is meant."""
    from memex_audit.ledger import Ledger

    return Ledger(find_store(store, Path.cwd()))


def load_result(store: Path | None, name: str) -> "AuditResult":
    """Return a run by its name in the ledger, or the result in a file of that name."""
    if Path(name).is_file():
        from memex_audit.reporting.json_report import read_result

        return read_result(Path(name))
    ledger = open_ledger(store)
    return ledger.result(ledger.find(name).id)


def _load_audit(store: Path | None, name: str) -> "tuple[Baseline, dict[str, str]]":
    """Return what a run is compared by, with the texts of its prompts."""
    from memex_audit.baseline_file import is_baseline, read_baseline
    from memex_audit.comparing import baseline_of

    if Path(name).is_file() and is_baseline(Path(name)):
        return read_baseline(Path(name)), {}
    result = load_result(store, name)
    return baseline_of(result), {finding.prompt_id: finding.prompt for finding in result.findings}


def _project(store: Path | None) -> Path:
    """Return the folder that the project's store lies in, for what is committed beside it."""
    if store:
        return Path.cwd()
    found = find_store(None, Path.cwd())
    return found.parent if found.name == STORE else Path.cwd()


def _summary(run: "RunSummary") -> dict[str, object]:
    return {name: getattr(run, name) for name in ("id", "model", "created", "verdict", "rate")}


def _rate(run: "RunSummary") -> str:
    from memex_audit.explain import percent

    return "-" if run.rate is None else percent(run.rate)


def _comparison(compared: "AuditComparison") -> dict[str, object]:
    from memex_audit.reporting.json_report import record_to_dict

    found = record_to_dict(compared.found)
    for change in found["changes"]:
        change["prompt"] = compared.texts.get(change["prompt_id"])
    return {
        "before": {"model": compared.before.model, "model_fingerprint": compared.before.model_fingerprint},
        "after": {"model": compared.after.model, "model_fingerprint": compared.after.model_fingerprint},
        "regressed": compared.found.regressed,
        "difference": compared.found.difference,
        **found,
        "remarks": list(compared.remarks),
    }


def _plot_runs(ledger: "Ledger", found: "tuple[RunSummary, ...]", path: Path) -> int:
    from memex_audit.errors import LedgerError
    from memex_audit.reporting.checkpoint_chart import CheckpointRate, rate_by_checkpoint

    rated = [run for run in found if run.rate is not None and run.verdict != "incomplete"]
    if not rated:
        raise LedgerError(
            f"a plot must have a run with a rate, got none in {ledger.path}; run the whole suite."
        )
    latest = rated[-1]
    alike = [
        run
        for run in rated
        if (run.settings_digest, run.prompt_set) == (latest.settings_digest, latest.prompt_set)
    ]
    rates = [CheckpointRate.of(run.model, rate) for run in alike if (rate := ledger.result(run.id).rate)]
    _write(path, rate_by_checkpoint(rates))
    return len(found) - len(alike)


def _plot_pair(compared: "AuditComparison", path: Path) -> None:
    from memex_audit.reporting.checkpoint_chart import CheckpointRate, rate_by_checkpoint

    _write(path, rate_by_checkpoint(CheckpointRate.pair(compared)))


def _write(path: Path, text: str) -> None:
    from memex_audit.errors import ReportError
    from memex_audit.whole_file import write_whole

    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise ReportError(f"the plot {path} must be writable, got {error.strerror or error}.") from error
