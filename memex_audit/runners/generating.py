"""From an audit's settings to pictures in the store: plan, share out, follow."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from memex_audit.config import Settings
from memex_audit.explain import counted
from memex_audit.runners.choosing import Sharing, open_runner, workers_here
from memex_audit.runners.drawing import DrawingWork
from memex_audit.runners.places import as_seen_everywhere
from memex_audit.runners.planning import check_can_be_shared, left_to_pytest, plan_drawing
from memex_audit.runners.sharding import Shard
from memex_audit.runners.told import Tally, follow, now_and_then
from memex_audit.workbench import Workbench


def draw_ahead(
    settings: Settings,
    rootdir: Path,
    shard: Shard,
    sharing: Sharing,
    *,
    controls: bool,
    say: Callable[[str], None],
) -> Tally:
    """Draw what an audit with these settings asks for, as far as it is of this shard.

    Args:
        settings: of the audit.
        rootdir: of its project.
        shard: of the prompts.
        sharing: among which processes.
        controls: also draw for the suite's controls.
        say: writes a line for the user.

    Raises:
        ConfigurationError: it cannot be drawn ahead, or not by several.
        RunnerError: workers end one after another, or meet the same error.
    """
    bench = Workbench(as_seen_everywhere(settings, rootdir), rootdir)
    n_workers = sharing.workers or (workers_here(settings.device) if sharing.kind == "local" else None)
    check_can_be_shared(bench, processes=n_workers, shards=shard.count)
    bench.mining_progress = now_and_then(say)
    prompts = bench.prompts
    for line in (*bench.notes, *_remarks(bench)):
        say(f"note: {line}")
    units = plan_drawing(prompts.prompts, settings, shard, controls=controls)
    work = DrawingWork(
        settings=bench.settings, rootdir=rootdir, prompts=prompts, budget_share=1 / (n_workers or 1)
    )
    runner = open_runner(
        sharing, work, workers=n_workers, store=bench.store_folder, on_gpu=settings.device != "cpu", say=say
    )
    tally = Tally(what="picture", done="drawn")
    n = len(prompts.prompts)
    say(f"--shard {shard}: {counted(len(units), 'unit')} of {n:,} prompts; store {bench.store_folder}")
    with closing(runner.run(units)) as receipts:  # ended early, workers end with it
        follow(receipts, tally, len(units), say)
    return tally


def _remarks(bench: Workbench) -> list[str]:
    """Say what the audit will draw all the same."""
    remarks, settings = [], bench.settings
    if left := left_to_pytest(settings):
        remarks.append(f"pytest draws by itself for {', '.join(left)}")
    if bench.training_set is None:
        remarks.append(
            "without --training-set pictures are not compared with training images: an audit that has the "
            "training set draws further pictures of a prompt where one of them lies near an image of its own"
        )
    listed = settings.prompts
    if listed and len(bench.prompts.prompts) == settings.max_prompts:
        remarks.append(f"at most {settings.max_prompts:,} prompts are drawn for (--max-prompts)")
    return remarks
