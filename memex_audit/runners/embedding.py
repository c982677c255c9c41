"""Embed a unit: a shard of a training set, that `memex mine` and an audit then find."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from memex_audit.config import Settings
from memex_audit.errors import StoreUnwritable
from memex_audit.protocols import Embedder
from memex_audit.runners.choosing import Sharing, open_runner, workers_here
from memex_audit.runners.claiming import had_claim
from memex_audit.runners.places import as_seen_everywhere
from memex_audit.runners.sharding import Shard
from memex_audit.runners.told import Tally, follow
from memex_audit.runners.work import Doing, Receipt, WorkUnit
from memex_audit.training_set.embedding import embedder_name, load_embedder
from memex_audit.training_set.embedding_shards import EmbeddedShards, claim_of
from memex_audit.training_set.made_once import claims_of
from memex_audit.training_set.mining import open_shards
from memex_audit.training_set.shard_files import read_shard_facts
from memex_audit.work_units import Worker
from memex_audit.workbench import Workbench

EMBEDDINGS = "embeddings"


def embed_ahead(
    settings: Settings, shard: Shard, sharing: Sharing, *, say: Callable[[str], None]
) -> tuple[Tally, int]:
    """Embed the shards of a training set that are this part's; return how many are still missing of all.

    Args:
        settings: with the training set, the embedder and the store.
        shard: every n-th shard of the set.
        sharing: among which processes.
        say: writes a line for the user.

    Raises:
        TrainingSetError: the set cannot be read, or not be divided.
        RunnerError: workers end one after another, or meet the same error.
    """
    bench = Workbench(as_seen_everywhere(settings, Path.cwd()), Path.cwd())
    shards = _shards_of(bench)
    numbers = [number for number in shards.numbers() if shard.holds_number(number)]
    units = [WorkUnit(name=f"shard-{number:06}", kind="shards", items=(str(number),)) for number in numbers]
    n_workers = sharing.workers or (workers_here(settings.device) if sharing.kind == "local" else None)
    runner = open_runner(
        sharing,
        EmbeddingWork(settings=bench.settings, embedder=bench.embedder_spec),
        workers=n_workers,
        store=bench.store_folder,
        on_gpu=settings.device != "cpu",
        say=say,
    )
    say(f"--shard {shard}: {len(units):,} of {len(shards.numbers()):,} shards; store {bench.store_folder}")
    tally = Tally(what="image", done="embedded")
    with closing(runner.run(units)) as receipts:  # ended early, workers end with it
        follow(receipts, tally, len(units), say)
    return tally, len(shards.missing())


def import_embeddings(folder: Path, settings: Settings) -> str:
    """Take embeddings of clip-retrieval for a training set, and say what was taken.

    Raises:
        TrainingSetError: they, or the training set, are not as they must be.
        EmbedderError: they are not of the embedder.
    """
    from memex_audit.training_set import open_training_set
    from memex_audit.training_set.clip_retrieval import import_clip_retrieval

    bench = Workbench(settings, Path.cwd())
    assert settings.training_set is not None  # an argument of the command
    found = import_clip_retrieval(
        folder,
        # Captions are those of the import.
        open_training_set(settings.training_set, needs_captions=False, max_pixels=settings.max_pixels),
        bench.open_embedder,
        embedder_name=embedder_name(bench.embedder_spec),
        cache=bench.store_folder / EMBEDDINGS,
    )
    said = f"{found.n:,} images imported from {folder}"
    if found.n_without:
        said += f"; {found.n_without:,} others of the training set have no embedding there"
    if found.n_unknown:
        said += f"; {found.n_unknown:,} rows there are of no image of it"
    return said


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingWork:
    """Embeds shards of a training set; `embedder` is the name of one, `auto` no more."""

    settings: Settings
    embedder: str

    def begin(self, worker: Worker) -> Doing:
        """Open the set; the embedder is loaded for the first shard that is missing."""
        return _Embedding(Workbench(self.settings, Path.cwd(), worker), self.embedder).do


class _Embedding:
    """One worker at its shards."""

    def __init__(self, bench: Workbench, spec: str) -> None:
        self._bench = bench
        bench.embedder_spec = spec
        self._shards = _shards_of(bench)
        self._claims = claims_of(self._shards.folder.parent)

    def do(self, unit: WorkUnit, patient: bool) -> Receipt:
        """Embed one shard; `patient` waits for who holds it."""
        number = int(unit.items[0])
        with had_claim(self._claims, claim_of(self._shards.folder, number), patient=patient) as had:
            return self._receipt(unit, number) if had else Receipt(unit=unit.name, held=True)

    def _receipt(self, unit: WorkUnit, number: int) -> Receipt:
        began, cpu_before = time.perf_counter(), time.process_time()
        made = 0
        try:
            if not self._shards.has(number):
                made = self._shards.embed(number, self._embedder)
        except OSError as error:
            raise StoreUnwritable(
                f"the store {self._bench.store_folder} must be writable, got {error.strerror or error}; free "
                "space or name another with --store. What was embedded before is kept."
            ) from error
        _, set_aside, n = read_shard_facts(self._shards.folder, number)
        return Receipt(
            unit=unit.name,
            items=1,
            made=made,
            found=n - made,
            set_aside=len(set_aside),
            seconds=time.perf_counter() - began,
            cpu_seconds=time.process_time() - cpu_before,
        )

    @cached_property
    def _embedder(self) -> Embedder:
        return load_embedder(self._bench.embedder_spec, device=self._bench.device)


def _shards_of(bench: Workbench) -> EmbeddedShards:
    training_set = bench.training_set
    assert training_set is not None  # the command has one as its argument
    return open_shards(
        training_set,
        embedder_name=embedder_name(bench.embedder_spec),
        cache=bench.store_folder / EMBEDDINGS,
    )
