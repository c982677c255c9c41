"""Lay out what draws, from an audit's settings: store, model with its fine-tunes, sampler, generator.

Everything is made when first asked for, and once.
"""

import logging
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memex_audit import specimen
from memex_audit.batch_size import BatchSize
from memex_audit.black_boxes import Surroundings, check_options, is_black_box, open_black_box
from memex_audit.code_digest import code_digest
from memex_audit.config import SPECIMEN_LORA, Settings
from memex_audit.errors import ConfigurationError
from memex_audit.protocols import Generator
from memex_audit.work_units import ALONE, Worker

if TYPE_CHECKING:
    from memex_audit.generation.black_box.recorded_pictures import RecordedPictures
    from memex_audit.generation.diffusers_pipeline import DiffusersGenerator
    from memex_audit.generation.execution import Execution
    from memex_audit.generation.model_files import ModelFiles
    from memex_audit.generation.model_folder import SamplerSettings
    from memex_audit.generation.store import UnitStore
    from memex_audit.screening.score_files import ScoreFiles

STORE_FOLDER = ".memex"
DEFAULT_BATCH_SIZE = 8
# Options that are of no effect on a user's own generator.
OF_A_PIPELINE = ("negative_prompt", "scheduler", "attention_slicing", "offload", "compile")
# Options that put something on top of a pipeline.
FINE_TUNES = ("lora", "textual_inversion")
# Options that say where and how a pipeline is loaded.
LOADED_BY = ("dtype", "device", "attention_slicing", "offload", "compile")


class ModelBench:
    """The parts of an audit that draw; `load_generator` may be replaced."""

    def __init__(self, settings: Settings, rootdir: Path, worker: Worker = ALONE) -> None:
        self.settings = settings
        self.rootdir = rootdir
        self._worker = worker
        self.notes: list[str] = []
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        self._began = time.time()
        # Hears at once what a user who waits should know.
        self.tell: Callable[[str], None] = logging.getLogger(__name__).warning
        self.load_generator: Callable[[], Generator] = lambda: self.open_generator(self.open_pipeline)
        # Whether a user's own fixture loads the model: nothing tells what it would be.
        self.loads_otherwise = False
        # A user's own generator comes without a folder, and so without settings or calibration beside it.
        self._draws_from_folder = False

    @property
    def worker(self) -> Worker:
        """The place of this process among those that audit at the same time."""
        return self._worker

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
        from memex_audit.generation.model_files import folder_of
        from memex_audit.generation.model_folder import check_model_folder, fetch_model, looks_like_hub_id

        spec = self.settings.model
        if is_black_box(spec):
            raise ConfigurationError(
                f"this must have a model with weights, got {spec}, which can only be asked; give a diffusers "
                "folder with --memex-model FOLDER."
            )
        if spec.startswith(specimen.PREFIX):
            return specimen.twin_folder(spec)
        if looks_like_hub_id(spec) and not self._path(spec).exists():
            return fetch_model(spec)
        return check_model_folder(self._path(folder_of(spec, self.settings.model_config)))

    @cached_property
    def model_files(self) -> "ModelFiles":
        """The model's folder or file, and the fine-tunes on top of it."""
        from memex_audit.generation.model_files import ModelFiles
        from memex_audit.generation.model_folder import find_weights, is_checkpoint

        model, tokens, lora = self.settings.model, self.settings.textual_inversion, self.settings.lora
        return ModelFiles(
            folder=self.model_folder,
            checkpoint=find_weights(self._path(model), "--memex-model") if is_checkpoint(model) else None,
            tokens=find_weights(self._path(tokens), "--memex-textual-inversion") if tokens else None,
            lora=self.lora_file,
            lora_weight=lora.weight if lora else 1.0,
        )

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
            negative_prompt=(
                beside.negative_prompt if chosen.negative_prompt is None else chosen.negative_prompt
            ),
            scheduler=chosen.scheduler or beside.scheduler,
        )

    @cached_property
    def batch_size(self) -> BatchSize:
        """How many pictures are drawn at once: fewer, for the rest of the run, once memory ran out."""
        beside = self.sampler.batch_size if self.generator and self._draws_from_folder else None
        if getattr(self.generator, "keeps_every_batch", False):
            beside = getattr(self.generator, "batch_size", None)
        return BatchSize(beside or self.settings.batch_size or DEFAULT_BATCH_SIZE, self.notes.append)

    @cached_property
    def generator(self) -> Generator:
        """The generator that draws.

        Raises:
            GeneratorError: it lacks something that a generator must offer.
            ConfigurationError: it may be used by one process at a time, and there are more than devices; or
                it cannot draw again what is not kept.
        """
        from memex_audit.generation.guards import check_draws_again, check_generator

        check_options(self.settings)
        generator = check_generator(self.load_generator())
        if self.settings.keep != "all":
            check_draws_again(generator, self.settings.keep)
        if not self._draws_from_folder:
            self._refuse_options_of_a_pipeline()
        for name in FINE_TUNES:
            if getattr(self.settings, name) and not self._draws_from_folder:
                raise ConfigurationError(
                    f"--memex-{name.replace('_', '-')} must have a pipeline to be loaded into, got a "
                    "`memex_generator` of your own; load it there, and make it part of that generator's "
                    "fingerprint."
                )
        if self._worker.count > 1 and not generator.shareable:
            from memex_audit.generation.devices import device_of_worker

            device_of_worker(self.settings.device, self._worker, share_cpu=False)
        return generator

    def _refuse_options_of_a_pipeline(self) -> None:
        for name in OF_A_PIPELINE:
            if getattr(self.settings, name) is not None:
                raise ConfigurationError(
                    f"--memex-{name.replace('_', '-')} must have a pipeline of diffusers to be set on, got a "
                    "generator of another kind; set it there, and put into its `settings` what changes one."
                )

    @cached_property
    def black_box(self) -> Generator:
        """What asks a model that can only be asked; made without torch."""
        return open_black_box(
            self.settings,
            Surroundings(
                rootdir=self.rootdir,
                store_folder=lambda: self.store_folder,
                api_key=lambda: os.environ.get(self.settings.api_key_env),
                note=self._note_once,
            ),
        )

    @property
    def recorded(self) -> "RecordedPictures":
        """What a folder of generations holds."""
        from memex_audit.generation.black_box.folder_of_images import FolderOfImages

        assert isinstance(self.black_box, FolderOfImages)
        return self.black_box.recorded

    def _note_once(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def pictures_left(self) -> int | None:
        """How many pictures the endpoint may still be asked for; None where there is no end."""
        left: int | None = getattr(self.generator, "pictures_left", None)
        return left

    @cached_property
    def device(self) -> str:
        """The device of this process: the one asked for, or this worker's among several."""
        from memex_audit.generation.devices import device_of_worker

        return device_of_worker(self.settings.device, self._worker)

    def open_pipeline(self) -> Any:
        """Load the model's pipeline, with its fine-tunes on top; how it is run is set when it draws."""
        from memex_audit.generation.devices import choose_dtype
        from memex_audit.generation.execution import check_execution
        from memex_audit.generation.pipeline_loading import load_pipeline

        check_execution(self._execution, self.device)
        # What is brought to the device a part at a time is loaded beside it, in the format it has there.
        place = "cpu" if self.settings.offload else self.device
        dtype = choose_dtype(self.settings.dtype, self.device)
        files = self.model_files
        pipeline = load_pipeline(files.folder, device=place, dtype=dtype, checkpoint=files.checkpoint)
        return self._with_fine_tunes(pipeline)

    @property
    def _execution(self) -> "Execution":
        from memex_audit.generation.execution import Execution

        chosen = self.settings
        return Execution(
            attention_slicing=chosen.attention_slicing, offload=chosen.offload, compile=chosen.compile
        )

    def _with_fine_tunes(self, pipeline: Any) -> Any:
        files = self.model_files
        if files.tokens:
            from memex_audit.generation.textual_inversion import apply_textual_inversion

            apply_textual_inversion(pipeline, files.tokens)
        if files.lora:
            from memex_audit.generation.lora import apply_lora

            apply_lora(pipeline, files.lora, files.lora_weight)
        return pipeline

    def open_generator(self, open_pipeline: Callable[[], Any]) -> Generator:
        """Make a generator of the model's pipeline; of a model that can only be asked, what asks it."""
        if is_black_box(self.settings.model):
            return self.black_box
        from memex_audit.generation.described_model import DescribedModel, description_file

        self._draws_from_folder = True
        fingerprint = self.model_files.fingerprint(self.store_folder / "fingerprints.json")

        def load() -> "DiffusersGenerator":
            return self._load_generator(open_pipeline, fingerprint)

        if self.loads_otherwise:
            return load()
        return DescribedModel(load, description_file(self.store_folder / "descriptions", self._loaded_with))

    def _load_generator(self, open_pipeline: Callable[[], Any], fingerprint: str) -> "DiffusersGenerator":
        from memex_audit.generation.diffusers_pipeline import DiffusersGenerator
        from memex_audit.generation.execution import set_execution

        # A user's own `memex_model` comes without the fine-tunes.
        pipeline = self._with_fine_tunes(open_pipeline())
        set_execution(pipeline, self._execution, self.device)
        return DiffusersGenerator(pipeline, fingerprint=fingerprint, sampler=self.sampler)

    @property
    def _loaded_with(self) -> dict[str, object]:
        """Whatever decides how the model is loaded, and what it then says of itself."""
        return {
            "fingerprint": self.model_files.fingerprint(self.store_folder / "fingerprints.json"),
            "sampler": asdict(self.sampler),
            "options": [getattr(self.settings, name) for name in LOADED_BY],
            "worker": asdict(self._worker),
            "machine": [platform.node(), platform.machine()],
            "code": code_digest(),
        }

    @property
    def shown_settings(self) -> dict[str, object]:
        """What changes a picture, for reports; with captions redacted, a negative prompt by its digest."""
        shown = dict(self.generator.settings)
        text = shown.get("negative_prompt")
        if self.settings.redacts_captions and isinstance(text, str):
            shown["negative_prompt"] = sha256(text.encode()).hexdigest()[:12]
        return shown

    @cached_property
    def settings_digest(self) -> str:
        """Digest of all that changes a picture but weights and prompt."""
        from memex_audit.generation.fingerprints import settings_digest

        return settings_digest({**self.generator.settings, "root_seed": self.settings.seed})

    @cached_property
    def unit_store(self) -> "UnitStore":
        """Where this model's pictures are kept."""
        from memex_audit.extraction.block_sums import block_sums
        from memex_audit.generation.identity import Identity, settings_sha256
        from memex_audit.generation.same_model import SameModel
        from memex_audit.generation.store import UnitStore

        seed = {"root_seed": self.settings.seed}
        store = UnitStore(
            self.store_folder,
            fingerprint=self.generator.fingerprint,
            digest=self.settings_digest,
            root_seed=self.settings.seed,
            summarize=lambda pixels: block_sums(pixels[None]).sums[0],
            note=self._note_once,
            tell=self.tell,
            keeps_pixels=self.settings.keep != "none",
            identity=Identity(
                fingerprint=self.generator.fingerprint,
                model=self.settings.model,
                settings={**self.shown_settings, **seed},
                settings_sha256=settings_sha256({**self.generator.settings, **seed}),
                names_prompt=not self.settings.redacts_captions,
            ),
        )
        if self._is_taken_at_its_word:
            store.same_model = SameModel(store, self._began)
        return store

    @property
    def _is_taken_at_its_word(self) -> bool:
        """Whether nothing but the generator's word says which model it is, and it can be put to the test."""
        known = self._draws_from_folder or getattr(self.generator, "named_by_files", False)
        paid = getattr(self.generator, "keeps_every_batch", False)
        return self.generator.seeded and not known and not paid

    @cached_property
    def screen_scores(self) -> "ScoreFiles":
        """Where this model's screen scores are kept."""
        from memex_audit.generation.fingerprints import model_key
        from memex_audit.screening.score_files import ScoreFiles

        key = model_key(self.generator.fingerprint)
        return ScoreFiles(self.store_folder / "screens" / key / self.settings_digest)

    @property
    def settings_key(self) -> str:
        """Digest of the sampler settings without the seed: thresholds hold for every seed."""
        from memex_audit.generation.fingerprints import settings_digest

        return settings_digest(dict(self.generator.settings))

    def _path(self, text: str) -> Path:
        path = Path(text).expanduser()
        return path if path.is_absolute() else Path.cwd() / path
