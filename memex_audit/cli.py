"""The command line `memex`: what is done beside a test run."""

import shutil
from pathlib import Path
from typing import Any

import click

from memex_audit.canary_commands import canary
from memex_audit.command_options import settings_options
from memex_audit.config import DRAWN_WITH, OPTIONS, read_settings
from memex_audit.dedupe_command import dedupe
from memex_audit.embed_command import embed
from memex_audit.errors import MemexAuditError
from memex_audit.generate_command import generate
from memex_audit.ledger_commands import COMMANDS
from memex_audit.plan_command import plan
from memex_audit.project import GITHUB_FILE
from memex_audit.store_commands import store_group
from memex_audit.trigger_command import trigger


class MemexGroup(click.Group):
    """Shows this package's errors as one line."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except MemexAuditError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=MemexGroup)
@click.version_option(package_name="memex-audit")
def main() -> None:
    """Audit text-to-image diffusion models for memorized training images."""


@main.command()
@click.argument("training_set")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Parquet file to write.")
@settings_options("embedder", "duplicate_similarity", "join", "max_prompts", "store", "seed")
def mine(training_set: str, out: Path, **options: str | None) -> None:
    """Find the most duplicated images of TRAINING_SET and write their prompts for --memex-prompts."""
    from memex_audit.training_set import check_prompt_file_name, write_prompt_file
    from memex_audit.workbench import Workbench

    check_prompt_file_name(out)
    # The model's name decides which training set is meant where none is given; here one is.
    bench = Workbench(read_settings({**options, "training_set": training_set}), Path.cwd())
    bench.needs_pictures = False
    prompts = bench.prompts
    write_prompt_file(out, prompts)
    for note in bench.notes:
        click.echo(f"note: {note}", err=True)
    for entry in prompts.set_aside:
        click.echo(f"set aside: {entry.what}: {entry.reason}", err=True)
    share = f"{prompts.duplicated_share:.1%}" if prompts.duplicated_share is not None else "unknown"
    click.echo(
        f"{prompts.n_examples} images, {share} with a near-copy; {len(prompts.prompts)} prompts in "
        f"{len({p.group_id for p in prompts.prompts})} groups: {prompts.frame.description}; written to {out}"
    )


@main.command()
@click.option(
    "--negatives",
    type=click.Path(exists=True, path_type=Path),
    help="Prompts never trained on, one a line or as a prompt file; default: recombined captions.",
)
@click.option(
    "--reference",
    metavar="MODEL",
    help="Clean model of the same kind (a base model) to draw the negatives from; default: MODEL itself.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="Largest share of negatives that may be flagged.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Where to write it; default: the store, where audits of this model find it.",
)
@click.option(
    "--only-screens",
    is_flag=True,
    help="Measure only the screens' thresholds, and put them into the calibration that --out names.",
)
@settings_options(
    "model", "model_config", "textual_inversion", "lora",
    "training_set", "embedder", "prompts", "max_prompts", "preset", "generations",
    "clique_size", *DRAWN_WITH, "seed", "crop", "store",
    "max_images", "requests_per_minute", "api_key_env",
)  # fmt: skip
def calibrate(
    negatives: Path | None,
    reference: str | None,
    alpha: float,
    out: Path | None,
    only_screens: bool,
    **options: str | None,
) -> None:
    """Measure the thresholds on prompts that MODEL cannot have memorized."""
    from memex_audit.calibrating import calibrate_model, renew_screens
    from memex_audit.extraction.calibration_file import read_calibration, write_calibration
    from memex_audit.workbench import Workbench

    bench = Workbench(read_settings(options), Path.cwd())
    target = out or bench.calibration_places()[0]
    if only_screens:
        calibration = renew_screens(bench, negatives, alpha, read_calibration(target))
    else:
        clean = bench.reference(reference) if reference else None
        calibration = calibrate_model(bench, negatives, alpha, clean)
    write_calibration(target, calibration)
    for note in bench.notes:
        click.echo(f"note: {note}", err=True)
    for screen in calibration.screens:
        click.echo(
            f"screen {screen.name}: above {screen.threshold:.4g}, {screen.flagged} of {screen.negatives} "
            f"negatives flagged (95 % interval {screen.lower:.2%} to {screen.upper:.2%})"
        )
    click.echo(
        f"edge delta {calibration.edge_delta}, match delta {calibration.match_delta}: "
        f"{calibration.flagged} of {calibration.negatives} negatives flagged "
        f"(at most {calibration.upper:.2%} with 95 % confidence); written to {target}"
    )


@main.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=".", metavar="[DIR]")
@click.option("--github", is_flag=True, help=f"Also write {GITHUB_FILE}.")
@click.option("--gitlab", is_flag=True, help="Also write a job for GitLab.")
def init(folder: Path, github: bool, gitlab: bool) -> None:
    """Write the audit suite, and settings to fill in, into the project in DIR (default: this folder)."""
    from memex_audit import project

    placed = project.write_suite(folder)
    table = project.find_settings_table(folder)
    settings = project.write_settings(table)
    pipelines = [project.write_github_workflow(folder)] if github else []
    pipelines += [project.write_gitlab_pipeline(folder)] if gitlab else []
    for file in (*placed, settings, *pipelines):
        said = "written" if file.written else "left alone, it is there already"
        click.echo(f"{project.shown(file.path)}: {said}")
    if not settings.written and (to_add := project.settings_to_add(table)):
        click.echo(f"\n{to_add}")
    for step in project.next_steps(folder, pipelines):
        click.echo(step)


@main.command()
@click.argument("result", type=click.Path(path_type=Path), metavar="RESULT.json")
@click.option("--pytest-exit", metavar="CODE", default="", help="Exit code of the run that was to write it.")
@click.pass_context
def verdict(context: click.Context, result: Path, pytest_exit: str) -> None:
    """Say on one line what a run came to, and exit with it.

    RESULT.json is what --memex-json wrote. Exit codes: 0 pass, 1 fail, 3 inconclusive, 4 incomplete, 5 a case
    broke or there is no result; 2 is a mistake in the arguments.
    """
    from memex_audit.gate import judge

    if pytest_exit and not pytest_exit.isdecimal():
        raise click.BadParameter(f"must be a whole number, got {pytest_exit!r}", param_hint="--pytest-exit")
    gate = judge(result, int(pytest_exit) if pytest_exit else None)
    click.echo(gate.line)
    context.exit(gate.exit_code)


@main.command()
@click.option("--try", "draw", is_flag=True, help="Load the model too, draw one picture, and time it.")
@click.option("--json", "as_json", is_flag=True, help="Write the checks as JSON.")
@settings_options(*(option.name for option in OPTIONS if option.name not in ("json", "report")))
@click.pass_context
def doctor(context: click.Context, /, draw: bool, as_json: bool, **options: str | None) -> None:
    """Say what is missing before a long audit, in seconds and without drawing.

    Reads the project's settings of pytest as an audit does; options go before them. Exits with 1 if something
    would stop the audit, with 0 otherwise, warnings or not.
    """
    from memex_audit.doctor.examination import examine
    from memex_audit.doctor.shown import check_lines, checks_as_json, stops, summary_line
    from memex_audit.pytest_settings import read_pytest_settings

    settings, rootdir = read_pytest_settings(options, Path.cwd())
    width = shutil.get_terminal_size().columns
    checks = []
    for check in examine(settings, rootdir, draw=draw):
        checks.append(check)
        if not as_json:
            click.echo("\n".join(check_lines(check, width)))
    click.echo(checks_as_json(checks) if as_json else summary_line(checks))
    context.exit(int(stops(checks)))


@main.command()
@click.argument("result", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="Name of the model on its card; default: the last part of the audited one.")
@click.option(
    "--eval-results",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="REPOSITORY",
    help="Also write .eval_results/memex-audit.yaml into this model repository.",
)
@click.option(
    "--benchmark",
    metavar="ORG/DATASET",
    help="With --eval-results: the Hub's benchmark dataset that lists the result.",
)
@click.option("--task-id", metavar="ID", help="With --eval-results: a task of the benchmark's eval.yaml.")
def card(
    result: Path, name: str | None, eval_results: Path | None, benchmark: str | None, task_id: str | None
) -> None:
    """Print what a model card says of RESULT, the JSON of an audit."""
    from memex_audit.reporting.json_report import read_result
    from memex_audit.reporting.model_card import EVAL_RESULTS_FILE, eval_results_file, model_card_block
    from memex_audit.whole_file import write_whole

    read = read_result(result)
    block = model_card_block(read, name)
    if eval_results is not None:
        if not benchmark or not task_id:
            raise click.UsageError(
                "--eval-results needs --benchmark ORG/DATASET and --task-id ID: the Hub lists a result under "
                "a dataset that is registered there as a benchmark."
            )
        target = eval_results / EVAL_RESULTS_FILE
        write_whole(target, eval_results_file(read, benchmark=benchmark, task_id=task_id).encode())
        click.echo(f"written: {target}", err=True)
    click.echo(block, nl=False)


for _command in (*COMMANDS, canary, dedupe, embed, generate, plan, store_group, trigger):
    main.add_command(_command)
