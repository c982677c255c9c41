"""Lay out what pictures are looked up in, from an audit's settings: training set, prompts, embedder, index.

Everything is made when first asked for, and once.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from memex_audit import specimen
from memex_audit.black_boxes import FOLDER, recorded_prompts
from memex_audit.config import AUTO, SPECIMEN_LORA, Settings
from memex_audit.errors import ConfigurationError, EmbedderError, TrainingSetError
from memex_audit.few_captions import tie_uncaptioned
from memex_audit.model_bench import ModelBench
from memex_audit.protocols import Embedder, Index, TrainingSet
from memex_audit.records import Frame, PromptSet
from memex_audit.work_units import ALONE, Worker

if TYPE_CHECKING:
    from memex_audit.canaries.manifest import Manifest
    from memex_audit.extraction.matching import Matcher
    from memex_audit.training_set import MinedSet

SPECIMEN_SETS = (str(specimen.TRAINING_SET), str(specimen.LORA_TRAINING_SET))
MiningProgress = Callable[[int, int | None], None]


class SetBench(ModelBench):
    """The parts of an audit that know the training set; `load_embedder` and `load_index` may be replaced."""

    # False where prompts are mined and no more: embeddings alone will do.
    needs_pictures = True

    def __init__(self, settings: Settings, rootdir: Path, worker: Worker = ALONE) -> None:
        super().__init__(settings, rootdir, worker)
        self.load_embedder: Callable[[], Embedder] = self.open_embedder
        self.load_index: Callable[[], Index] = self.open_index
        self.mining_progress: MiningProgress | None = None
        # Whether pictures are looked up by parts of a user's own, of which nothing tells one from another.
        self.looks_up_otherwise = False

    @cached_property
    def training_set(self) -> TrainingSet | None:
        """The training set; the specimen brings its own."""
        from memex_audit.training_set import open_training_set
        from memex_audit.training_set.entries import HoldsEmbeddings

        location = self.settings.training_set
        needs_captions = self.settings.prompts is None and not self.untargeted_generations
        if location is None and self.settings.lora and self.settings.lora.path == SPECIMEN_LORA:
            return open_training_set(specimen.LORA_TRAINING_SET)
        if location is None and self.settings.model.startswith(specimen.PREFIX):
            return open_training_set(specimen.TRAINING_SET)
        if location is None:
            return None
        opened = open_training_set(
            self._of_set(location), needs_captions=needs_captions, max_pixels=self.settings.max_pixels
        )
        if self.needs_pictures and isinstance(opened, HoldsEmbeddings):
            raise opened.without_pictures()
        return opened

    @cached_property
    def held_out(self) -> TrainingSet | None:
        """Pictures that were not trained on, where a set of them is given."""
        from memex_audit.training_set import open_training_set

        location = self.settings.untargeted_held_out
        if location is None:
            return None
        return open_training_set(
            self._of_set(location), needs_captions=False, max_pixels=self.settings.max_pixels
        )

    def _of_set(self, location: str) -> str:
        # URLs and lists of paths are no path.
        return location if "://" in location or "::" in location else str(self._path(location))

    @cached_property
    def class_without_prompts(self) -> str | None:
        """The class of the model's pipeline if it takes no prompts; read without loading the model."""
        from memex_audit.untargeted.asking import class_without_prompts

        return class_without_prompts(self.settings.model, self._path(self.settings.model))

    @cached_property
    def untargeted_generations(self) -> int:
        """How many pictures are drawn for no prompt in particular, to be looked up in the training set."""
        from memex_audit.untargeted.asking import generations_to_draw

        return generations_to_draw(self.settings.untargeted, takes_prompts=self.class_without_prompts is None)

    @cached_property
    def why_no_prompts(self) -> str | None:
        """Why no prompt is audited, where an untargeted extraction is the audit; else None."""
        if self.class_without_prompts:
            return f"the model takes no prompts ({self.class_without_prompts})"
        if not self.untargeted_generations or self.settings.prompts or not self.settings.training_set:
            return None
        return None if self.prompts.prompts else "the training set has no captions to make prompts of"

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
            mined = self._mine()
        except EmbedderError as error:
            if self.settings.embedder != AUTO or self.embedder_spec == specimen.EMBEDDER:
                raise
            self.notes.append(
                f"near-copies were found with the specimen's small embedder: {error} Copies that differ by "
                "more than compression, a pixel of shift or a few per cent of scale may be missed."
            )
            self.embedder_spec = specimen.EMBEDDER
            mined = self._mine()
        if note := mined.load_note():
            self.notes.append(note)
        return mined

    def _mine(self) -> "MinedSet":
        from memex_audit.training_set import embedder_name, mine

        assert self.training_set is not None
        return mine(
            self.training_set,
            self.open_embedder,
            embedder_name=embedder_name(self.embedder_spec),
            cache=self.store_folder / "embeddings",
            max_prompts=self.settings.max_prompts,
            seed=self.settings.seed,
            similarity=self.settings.duplicate_similarity,
            join=self.settings.join,
            progress=self.mining_progress,
        )

    @cached_property
    def canary_manifest(self) -> "Manifest | None":
        """The canaries that were planted into the training set, where a manifest is given."""
        from memex_audit.canaries.manifest import read_manifest

        return read_manifest(self._path(self.settings.canaries)) if self.settings.canaries else None

    @cached_property
    def prompts(self) -> PromptSet:
        """The prompts to audit, without canaries: these are known to be in the training set."""
        if self.canary_manifest is None:
            return self._listed_prompts()
        kept, n_left_out = self.canary_manifest.leave_out(self._listed_prompts())
        if n_left_out:
            self.notes.append(f"{n_left_out} captions of canaries were left out of the audit set")
        return kept

    def _listed_prompts(self) -> PromptSet:
        """Return the prompts of a file, of recorded pictures, or the most duplicated of the training set."""
        from memex_audit.training_set import read_prompt_file

        if self.class_without_prompts:
            unknown = PromptSet(prompts=(), frame=Frame(description="no prompts", size=None))
            return replace(self.mined.prompts, prompts=(), strata=()) if self.mined else unknown
        if self.settings.prompts is None and self.settings.model.startswith(FOLDER):
            return self._as_listed(recorded_prompts(self.recorded))
        if self.settings.prompts is None:
            if self.mined is None:
                raise ConfigurationError(
                    "an audit needs prompts: give the model's training set with --memex-training-set PATH, "
                    "or a file with --memex-prompts FILE."
                )
            if not self.mined.prompts.prompts and not self.untargeted_generations:
                raise TrainingSetError(
                    "a training set must have captions to make prompts of, got pictures without any; give "
                    "the prompts that they were trained under with --memex-prompts FILE."
                )
            return self.mined.prompts
        return self._as_listed(read_prompt_file(self._path(self.settings.prompts)))

    def _as_listed(self, listed: PromptSet) -> PromptSet:
        if len(listed.prompts) > self.settings.max_prompts:
            # The first of a list are no sample of its frame.
            listed = replace(listed, prompts=listed.prompts[: self.settings.max_prompts], strata=())
        return self.tie_to_training_set(listed) if self.mined else listed

    def tie_to_training_set(self, listed: PromptSet) -> PromptSet:
        """Give listed prompts the training images that stand under the same caption."""
        assert self.mined is not None
        found = self.mined.load_prompts({prompt.prompt_id for prompt in listed.prompts})
        known = {prompt.prompt_id: prompt for prompt in found}
        tied = tuple(
            prompt if prompt.example_ids else replace(known.get(prompt.prompt_id, prompt), slice=prompt.slice)
            for prompt in listed.prompts
        )
        whole = self.mined.prompts
        tied, n_captions = tie_uncaptioned(
            tied, known, whole.n_captions or 0, self.mined.load_uncaptioned_ids()
        )
        return replace(
            listed,
            prompts=tied,
            n_examples=whole.n_examples,
            n_captions=n_captions,
            duplicated_share=whole.duplicated_share,
            set_aside=(*listed.set_aside, *whole.set_aside),
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
        detector = (lambda: self.copy_detector) if self.settings.sscd else None
        return Matcher(
            self.training_set,
            lambda: self.index,
            lambda: self.embedder,
            detector,
            crop=self.settings.crop,
        )

    @cached_property
    def copy_detector(self) -> Embedder:
        """SSCD, of the file that is named.

        Raises:
            EmbedderError: it is no such file.
        """
        from memex_audit.training_set.sscd import SscdDetector

        detector = SscdDetector(self._path(self.settings.sscd or ""))
        self.notes.append(
            f"cosines of SSCD are those of {detector.name}; from {detector.duplicate_similarity} on two "
            "pictures are copies, by what was published for photographs"
        )
        return detector
