"""Lay out what an audit needs, from its settings: model, training set, calibration, store.

Everything is made when first asked for, and once. The plugin and the command line work on this.
"""

import importlib.metadata
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from memex_audit.few_captions import protocols_of_few_captions
from memex_audit.rates.images_extracted import has_few_captions
from memex_audit.records import Calibration, PromptSet, Protocol, Provenance, prompt_set_digest
from memex_audit.set_bench import SetBench
from memex_audit.thresholds import choose_calibration, choose_protocol, planned_test

if TYPE_CHECKING:
    from memex_audit.audit import Audit, Progress
    from memex_audit.judged import JudgedFindings
    from memex_audit.spending import Spending

CALIBRATION_FILE = "memex-calibration.json"
# Settings that say how a run is judged, shown or kept, or what is drawn and not how pictures are looked at.
OF_THE_RUN = (
    "api_key_env", "attention_slicing", "baseline", "baseline_policy", "batch_size", "budget", "calibration",
    "canaries", "compile", "confidence", "device", "evidence", "evidence_mb", "granularity", "inconclusive",
    "json", "limit", "max_images", "max_prompts", "minimal_trigger", "neighbours", "offload", "on_extracted",
    "prompts", "redact", "report", "requests_per_minute", "screen", "store", "untargeted",
    "untargeted_held_out",
)  # fmt: skip


class Workbench(SetBench):
    """The parts of one audit; `load_generator`, `load_embedder` and `load_index` may be replaced."""

    # -- other models on the same bench

    def without_lora(self) -> "Workbench | None":
        """Return a bench for the same pipeline without its LoRA, with the thresholds of this one.

        None for a generator of a user's own, whose pipeline is not known.
        """
        from memex_audit.generation.described_model import DescribedModel
        from memex_audit.generation.diffusers_pipeline import DiffusersGenerator
        from memex_audit.generation.lora import WithoutLora

        generator, base = self.generator, self.reference(self.settings.model)
        if isinstance(generator, DescribedModel):
            generator = generator.loaded
        if not isinstance(generator, DiffusersGenerator):
            return None
        files = replace(self.model_files, lora=None)
        fingerprint = files.fingerprint(self.store_folder / "fingerprints.json")
        base.load_generator = lambda: WithoutLora(generator, fingerprint=fingerprint)
        base.protocol, base.batch_size, base.matcher = self.protocol, self.batch_size, self.matcher
        base.looks_up_otherwise = self.looks_up_otherwise
        return base

    def reference(self, model: str) -> "Workbench":
        """Return a bench like this one, training set included, for a model without this one's LoRA."""
        # As it was given: a location may be shown without its password.
        location = self.settings.training_set or (self.training_set.location if self.training_set else None)
        settings = replace(
            self.settings, model=model, model_config=None, textual_inversion=None, lora=None,
            training_set=location,
        )  # fmt: skip
        return Workbench(settings, self.rootdir, self._worker)

    # -- prompts as the model tells them apart

    @cached_property
    def prompts_as_read(self) -> PromptSet:
        """The prompts to audit, of those that the model reads alike the first."""
        from memex_audit.generation.described_model import DescribedModel
        from memex_audit.generation.prompt_tokens import merge_read_alike

        prompts, notes = merge_read_alike(self.prompts, self.generator)
        if isinstance(self.generator, DescribedModel):
            self.generator.remember_tokens()
        self.notes += notes
        return prompts

    @cached_property
    def audit_set(self) -> PromptSet:
        """The prompts that are drawn for: all that the model tells apart, or those that a screen leaves.

        Raises:
            ScreenUnavailable: the screen's quantity does not exist for this model.
            ConfigurationError: the prompts are a sample of their frame.
        """
        name, prompts = self.settings.screen, self.prompts_as_read
        if name == "none":
            return prompts
        if has_few_captions(prompts):
            self.notes.append("captions are few: every one is audited, and no screen was used")
            return prompts
        from filelock import FileLock

        from memex_audit.rates.attempts import attempt_of
        from memex_audit.screened_set import divide_by_screen
        from memex_audit.screening.screens import screen_prompts

        # With pytest-xdist the first worker takes the scores, and the others find them.
        with FileLock(self.store_folder / "screens.lock"):
            scores = screen_prompts(
                lambda: self.generator,
                name,
                [prompt.text for prompt in prompts.prompts],
                request=self.unit_store.request,
                batch_size=self.batch_size,
                kept=self.screen_scores,
            )
        chosen = divide_by_screen(
            prompts,
            scores,
            self.calibration,
            limit=self.settings.limit,
            # That of a first run: a set that changed with the ledger could not be audited twice.
            confidence=attempt_of(1, self.settings.confidence).confidence,
            seed=self.settings.seed,
        )
        n, cost = len(prompts.prompts), sum(score.network_evaluations for score in scores)
        self.notes.append(
            f"{name} scored {n:,} prompts with {cost:,} network evaluations; pictures were drawn for "
            f"{len(chosen.prompts):,} of them"
        )
        return chosen

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

        protocol = "-".join([self.settings.preset, *map(str, planned_test(self.settings).looks)])
        name = f"{model_key(self.generator.fingerprint)}-{self.settings_key}-{protocol}.json"
        own = self.store_folder / "calibrations" / name
        return (own, self.model_folder / CALIBRATION_FILE) if self._draws_from_folder else (own,)

    @cached_property
    def protocol(self) -> Protocol:
        """How a prompt is decided here."""
        return choose_protocol(self.settings, self.calibration)

    def audit(
        self,
        prompts: PromptSet,
        *,
        units: Sequence[Sequence[str]] = (),
        progress: "Progress | None" = None,
        spending: "Spending | None" = None,
    ) -> "Audit":
        """Return the audit of these prompts on this bench."""
        from memex_audit.audit import Audit, no_progress

        own = protocols_of_few_captions(self.settings, self.protocol, prompts) if self.matcher else {}
        if self.unit_store.same_model:
            self.unit_store.same_model.know(prompt.text for prompt in prompts.prompts)
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
            spending=spending,
            keep=self.settings.keep,
            judged=self.judged,
        )

    @cached_property
    def judged(self) -> "JudgedFindings | None":
        """What was judged before of this model's pictures; None where it cannot be told from others.

        Whatever may change a finding goes in: all settings but those that are known not to.
        """
        from memex_audit.generation.fingerprints import file_digests, model_key
        from memex_audit.judged import JudgedFindings

        if self.looks_up_otherwise:
            return None
        settings = {name: value for name, value in asdict(self.settings).items() if name not in OF_THE_RUN}
        detector = self._path(self.settings.sscd) if self.settings.sscd and self.training_set else None
        places = (model_key(self.generator.fingerprint), self.settings_digest)
        return JudgedFindings(
            self.store_folder.joinpath("findings", *places),
            context={
                "settings": settings,
                "generator": self.generator.fingerprint,
                "drawn with": self.settings_digest,
                "evaluations": self.generator.evaluations_per_image,
                "training set": self.mined.content_fingerprint if self.mined else None,
                "embedder": self.mined.embedder_name if self.mined else None,
                "detector": list(file_digests([detector]).values()) if detector else None,
            },
            state_of=self.unit_store.state_of,
        )

    def provenance(self) -> Provenance:
        """Return where this run's result comes from."""
        mined = self.mined
        return Provenance(
            memex_version=importlib.metadata.version("memex-audit"),
            started=self.started,
            model=self.settings.model,
            model_config=self.settings.model_config,
            textual_inversion=self.settings.textual_inversion,
            crop=self.settings.crop if self.training_set else None,
            lora=self.settings.lora.path if self.settings.lora else None,
            lora_weight=self.settings.lora.weight if self.settings.lora else None,
            model_fingerprint=self.generator.fingerprint,
            settings=self.shown_settings,
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
            prompt_set=prompt_set_digest(prompt.prompt_id for prompt in self.prompts.prompts),
        )
