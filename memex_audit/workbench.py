"""Lay out what an audit needs, from its settings: model, training set, calibration, store.

Everything is made when first asked for, and once. The plugin and the command line work on this.
"""

import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memex_audit import specimen
from memex_audit.config import AUTO, SPECIMEN_LORA, Settings
from memex_audit.errors import ConfigurationError, EmbedderError, TrainingSetError
from memex_audit.few_captions import protocols_of_few_captions, tie_uncaptioned
from memex_audit.protocols import Embedder, Generator, Index, TrainingSet
from memex_audit.records import Calibration, PromptSet, Protocol, Provenance
from memex_audit.thresholds import choose_calibration, choose_protocol, looks_of
from memex_audit.work_units import ALONE, Worker

if TYPE_CHECKING:
    from memex_audit.audit import Audit, Progress
    from memex_audit.extraction.matching import Matcher
    from memex_audit.generation.model_folder import SamplerSettings
    from memex_audit.generation.store import UnitStore
    from memex_audit.training_set import MinedSet

STORE_FOLDER = ".memex"
CALIBRATION_FILE = "memex-calibration.json"
DEFAULT_BATCH_SIZE = 8
SPECIMEN_SETS = (str(specimen.TRAINING_SET), str(specimen.LORA_TRAINING_SET))
MiningProgress = Callable[[int, int | None], None]


class Workbench:
    """The parts of one audit; `load_generator`, `load_embedder` and `load_index` may be replaced."""

    def __init__(self, settings: Settings, rootdir: Path, worker: Worker = ALONE) -> None:
        self.settings = settings
        self.rootdir = rootdir
        self._worker = worker
        self.notes: list[str] = []
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        self.load_generator: Callable[[], Generator] = lambda: self.open_generator(self.open_pipeline)
        self.load_embedder: Callable[[], Embedder] = self.open_embedder
        self.load_index: Callable[[], Index] = self.open_index
        self.mining_progress: MiningProgress | None = None
        # A user's own generator comes without a folder, and so without settings or calibration beside it.
        self._draws_from_folder = False

    # -- store and model

    @cached_property
    def store_folder(self) -> Path:
        """The store: --memex-store, or .memex below the root folder."""
        from memex_audit.generation.store import open_store_folder

        return open_store_folder(self.store_path)

    @property
    def store_path(self) -> Path:
        """Where the store is, or would be made."""
        given = self.settings.store
        return self._path(given) if given else self.rootdir / STORE_FOLDER

    @cached_property
    def model_folder(self) -> Path:
        """The folder of the model's pipeline, fetched if it is a hub id."""
        from memex_audit.generation.model_folder import check_model_folder, fetch_model, looks_like_hub_id

        spec = self.settings.model
        if spec.startswith(specimen.PREFIX):
            return specimen.twin_folder(spec)
        if looks_like_hub_id(spec) and not self._path(spec).exists():
            return fetch_model(spec)
        return check_model_folder(self._path(spec))

    @cached_property
    def lora_file(self) -> Path | None:
        """The file of the LoRA on top of the model, if there is one."""
        from memex_audit.generation.model_folder import find_lora

        if self.settings.lora is None:
            return None
        path = self.settings.lora.path
        return find_lora(specimen.LORA if path == SPECIMEN_LORA else self._path(path))

    @cached_property
    def sampler(self) -> "SamplerSettings":
        """Sampler settings: options over the model's memex.toml over the pipeline's defaults."""
        from memex_audit.generation.model_folder import SamplerSettings, read_sampler_settings

        beside, chosen = read_sampler_settings(self.model_folder), self.settings
        return SamplerSettings(
            steps=chosen.steps or beside.steps,
            guidance=beside.guidance if chosen.guidance is None else chosen.guidance,
            size=chosen.size or beside.size,
            batch_size=chosen.batch_size or beside.batch_size,
        )

    @cached_property
    def batch_size(self) -> int:
        """How many pictures are drawn at once."""
        if self.generator and self._draws_from_folder and self.sampler.batch_size:
            return self.sampler.batch_size
        return self.settings.batch_size or DEFAULT_BATCH_SIZE

    @cached_property
    def generator(self) -> Generator:
        """The generator that draws.

        Raises:
            GeneratorError: it lacks something that a generator must offer.
            ConfigurationError: it may be used by one process at a time, and there are more than devices.
        """
        from memex_audit.generation.guards import check_generator

        generator = check_generator(self.load_generator())
        if self.settings.lora and not self._draws_from_folder:
            raise ConfigurationError(
                "--memex-lora must have a pipeline to be loaded into, got a `memex_generator` of your own; "
                "load the LoRA there, and make it part of that generator's fingerprint."
            )
        if self._worker.count > 1 and not generator.shareable:
            from memex_audit.generation.devices import device_of_worker

            device_of_worker(self.settings.device, self._worker, share_cpu=False)
        return generator

    @cached_property
    def device(self) -> str:
        """The device of this process: the one asked for, or this worker's among several."""
        from memex_audit.generation.devices import device_of_worker

        return device_of_worker(self.settings.device, self._worker)

    def open_pipeline(self) -> Any:
        """Load the model's pipeline, with the LoRA on top."""
        from memex_audit.generation.diffusers_pipeline import load_pipeline

        pipeline = load_pipeline(self.model_folder, device=self.device, dtype=self.settings.dtype)
        return self._with_lora(pipeline)

    def _with_lora(self, pipeline: Any) -> Any:
        if self.settings.lora and self.lora_file:
            from memex_audit.generation.lora import apply_lora

            apply_lora(pipeline, self.lora_file, self.settings.lora.weight)
        return pipeline

    def open_generator(self, open_pipeline: Callable[[], Any]) -> Generator:
        """Make a generator of the model's pipeline."""
        from memex_audit.generation.diffusers_pipeline import DiffusersGenerator
        from memex_audit.generation.fingerprints import fine_tune_fingerprint, model_fingerprint

        self._draws_from_folder = True
        cache = self.store_folder / "fingerprints.json"
        fingerprint = model_fingerprint(self.model_folder, cache)
        if self.settings.lora and self.lora_file:
            fingerprint = fine_tune_fingerprint(fingerprint, self.lora_file, self.settings.lora.weight, cache)
        # A user's own `memex_model` comes without the LoRA.
        pipeline = self._with_lora(open_pipeline())
        return DiffusersGenerator(pipeline, fingerprint=fingerprint, sampler=self.sampler)

    def without_lora(self) -> "Workbench | None":
        """Return a bench for the same pipeline without its LoRA, with the thresholds of this one.

        None for a generator of a user's own, whose pipeline is not known.
        """
        from memex_audit.generation.diffusers_pipeline import DiffusersGenerator
        from memex_audit.generation.fingerprints import model_fingerprint
        from memex_audit.generation.lora import WithoutLora

        generator, base = self.generator, self.reference(self.settings.model)
        if not isinstance(generator, DiffusersGenerator):
            return None
        fingerprint = model_fingerprint(self.model_folder, self.store_folder / "fingerprints.json")
        base.load_generator = lambda: WithoutLora(generator, fingerprint=fingerprint)
        base.protocol, base.batch_size, base.matcher = self.protocol, self.batch_size, self.matcher
        return base

    def reference(self, model: str) -> "Workbench":
        """Return a bench like this one, training set included, for a model without this one's LoRA."""
        location = self.training_set.location if self.training_set else None
        settings = replace(self.settings, model=model, lora=None, training_set=location)
        return Workbench(settings, self.rootdir, self._worker)

    @cached_property
    def settings_digest(self) -> str:
        """Digest of all that changes a picture but weights and prompt."""
        from memex_audit.generation.fingerprints import settings_digest

        return settings_digest({**self.generator.settings, "root_seed": self.settings.seed})

    @cached_property
    def unit_store(self) -> "UnitStore":
        """Where this model's pictures are kept."""
        from memex_audit.extraction.block_sums import block_sums
        from memex_audit.generation.store import UnitStore

        return UnitStore(
            self.store_folder,
            fingerprint=self.generator.fingerprint,
            digest=self.settings_digest,
            root_seed=self.settings.seed,
            summarize=lambda pixels: block_sums(pixels[None]).sums[0],
            note=self.notes.append,
        )

    # -- training set and prompts

    @cached_property
    def training_set(self) -> TrainingSet | None:
        """The training set; the specimen brings its own."""
        from memex_audit.training_set import open_training_set

        location = self.settings.training_set
        needs_captions = self.settings.prompts is None
        if location is None and self.settings.lora and self.settings.lora.path == SPECIMEN_LORA:
            return open_training_set(specimen.LORA_TRAINING_SET)
        if location is None and self.settings.model.startswith(specimen.PREFIX):
            return open_training_set(specimen.TRAINING_SET)
        if location is None:
            return None
        return open_training_set(self._path(location), needs_captions=needs_captions)

    @cached_property
    def embedder_spec(self) -> str:
        """Which embedder: for "auto" the specimen's for its own set, else open_clip's ViT-B-32."""
        from memex_audit.training_set.embedding import DEFAULT_EMBEDDER

        chosen = self.settings.embedder
        if chosen == AUTO:
            own = self.training_set is not None and self.training_set.location in SPECIMEN_SETS
            return specimen.EMBEDDER if own else DEFAULT_EMBEDDER
        return specimen.EMBEDDER if chosen == "specimen" else chosen

    @cached_property
    def mined(self) -> "MinedSet | None":
        """The mined training set, from the cache if it was mined before."""
        if self.training_set is None:
            return None
        try:
            return self._mine(self.settings.max_prompts)
        except EmbedderError as error:
            if self.settings.embedder != AUTO or self.embedder_spec == specimen.EMBEDDER:
                raise
            self.notes.append(
                f"near-copies were found with the specimen's small embedder: {error} Copies that differ by "
                "more than compression, a pixel of shift or a few per cent of scale may be missed."
            )
            self.embedder_spec = specimen.EMBEDDER
            return self._mine(self.settings.max_prompts)

    def _mine(self, max_prompts: int) -> "MinedSet":
        from memex_audit.training_set import embedder_name, mine

        assert self.training_set is not None
        return mine(
            self.training_set,
            self.open_embedder,
            embedder_name=embedder_name(self.embedder_spec),
            cache=self.store_folder / "embeddings",
            max_prompts=max_prompts,
            seed=self.settings.seed,
            similarity=self.settings.duplicate_similarity,
            progress=self.mining_progress,
        )

    @cached_property
    def prompts(self) -> PromptSet:
        """The prompts to audit: a file's, or the most duplicated of the training set."""
        from memex_audit.training_set import read_prompt_file

        if self.settings.prompts is None:
            if self.mined is None:
                raise ConfigurationError(
                    "an audit needs prompts: give the model's training set with --memex-training-set PATH, "
                    "or a file with --memex-prompts FILE."
                )
            if not self.mined.prompts.prompts:
                raise TrainingSetError(
                    "a training set must have captions to make prompts of, got pictures without any; give "
                    "the prompts that they were trained under with --memex-prompts FILE."
                )
            return self.mined.prompts
        listed = read_prompt_file(self._path(self.settings.prompts))
        listed = replace(listed, prompts=listed.prompts[: self.settings.max_prompts])
        return self.tie_to_training_set(listed) if self.mined else listed

    @cached_property
    def prompts_as_read(self) -> PromptSet:
        """The prompts to audit, those that the model reads alike in one group."""
        from memex_audit.generation.prompt_tokens import group_as_read

        prompts, notes = group_as_read(self.prompts, self.generator)
        self.notes += notes
        return prompts

    def tie_to_training_set(self, listed: PromptSet) -> PromptSet:
        """Give listed prompts the training images that stand under the same caption."""
        everything = self._mine(2**31 - 1).prompts
        known = {prompt.prompt_id: prompt for prompt in everything.prompts}
        tied = tuple(
            prompt if prompt.example_ids else known.get(prompt.prompt_id, prompt) for prompt in listed.prompts
        )
        assert self.mined is not None
        tied, n_captions = tie_uncaptioned(tied, everything, self.mined.load_uncaptioned_ids())
        return replace(
            listed,
            prompts=tied,
            n_examples=everything.n_examples,
            n_captions=n_captions,
            duplicated_share=everything.duplicated_share,
            set_aside=(*listed.set_aside, *everything.set_aside),
        )

    @cached_property
    def embedder(self) -> Embedder:
        """The embedder of the training index."""
        return self.load_embedder()

    @cached_property
    def index(self) -> Index:
        """The index over the training set."""
        return self.load_index()

    def open_embedder(self) -> Embedder:
        """Load the embedder that the training set was mined with."""
        from memex_audit.training_set import load_embedder

        return load_embedder(self.embedder_spec, device="cpu")

    def open_index(self) -> Index:
        """Build the index over the mined training set."""
        if self.mined is None:
            raise ConfigurationError(
                "an index needs a training set: give one with --memex-training-set PATH."
            )
        return self.mined.load_index()

    @cached_property
    def matcher(self) -> "Matcher | None":
        """Looks pictures up in the training set; None without one."""
        from memex_audit.extraction.matching import Matcher

        if self.training_set is None:
            return None
        return Matcher(self.training_set, lambda: self.index, lambda: self.embedder)

    # -- thresholds and the audit

    @cached_property
    def calibration(self) -> Calibration:
        """Thresholds: given by options, else of a calibration of this model, else the shipped default."""
        given = self.settings.calibration
        chosen = choose_calibration(
            self.settings,
            given=self._path(given) if given else None,
            places=self.calibration_places(),
            fingerprint=self.generator.fingerprint,
            settings_key=self.settings_key,
        )
        if chosen.embedder and self.mined and chosen.embedder != self.mined.embedder_name:
            self.notes.append(
                f"the calibration's match delta was measured with the embedder {chosen.embedder}, this audit "
                f"looks pictures up with {self.mined.embedder_name}: `memex calibrate` measures it anew."
            )
        return chosen

    def calibration_places(self) -> tuple[Path, ...]:
        """Where a calibration of this model is looked for; the first is where one is written."""
        from memex_audit.generation.fingerprints import model_key

        protocol = "-".join([self.settings.preset, *map(str, looks_of(self.settings))])
        name = f"{model_key(self.generator.fingerprint)}-{self.settings_key}-{protocol}.json"
        own = self.store_folder / "calibrations" / name
        return (own, self.model_folder / CALIBRATION_FILE) if self._draws_from_folder else (own,)

    @property
    def settings_key(self) -> str:
        """Digest of the sampler settings without the seed: thresholds hold for every seed."""
        from memex_audit.generation.fingerprints import settings_digest

        return settings_digest(dict(self.generator.settings))

    @cached_property
    def protocol(self) -> Protocol:
        """How a prompt is decided here."""
        return choose_protocol(self.settings, self.calibration)

    def audit(
        self, prompts: PromptSet, *, units: Sequence[Sequence[str]] = (), progress: "Progress | None" = None
    ) -> "Audit":
        """Return the audit of these prompts on this bench."""
        from memex_audit.audit import Audit, no_progress

        own = protocols_of_few_captions(self.settings, self.protocol, prompts) if self.matcher else {}
        return Audit(
            prompts=prompts,
            protocol=max(own.values(), key=lambda protocol: protocol.looks, default=self.protocol),
            protocols=own,
            store=self.unit_store,
            generator=lambda: self.generator,
            evaluations_per_image=lambda: self.generator.evaluations_per_image,
            matcher=self.matcher,
            batch_size=self.batch_size,
            units=units,
            progress=progress or no_progress,
        )

    def provenance(self) -> Provenance:
        """Return where this run's result comes from."""
        mined = self.mined
        return Provenance(
            memex_version=importlib.metadata.version("memex-audit"),
            started=self.started,
            model=self.settings.model,
            lora=self.settings.lora.path if self.settings.lora else None,
            lora_weight=self.settings.lora.weight if self.settings.lora else None,
            model_fingerprint=self.generator.fingerprint,
            settings=dict(self.generator.settings),
            settings_digest=self.settings_digest,
            training_set=self.training_set.location if self.training_set else None,
            training_set_fingerprint=mined.content_fingerprint if mined else None,
            embedder=mined.embedder_name if mined else None,
            device=str(getattr(self.generator, "device", "unknown")),
            seed=self.settings.seed,
            versions={
                name: importlib.metadata.version(name) for name in ("torch", "diffusers", "numpy", "pytest")
            },
            store=str(self.store_folder),
        )

    def _path(self, text: str) -> Path:
        path = Path(text).expanduser()
        return path if path.is_absolute() else Path.cwd() / path
